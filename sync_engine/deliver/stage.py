"""Deliver as a stage, one per subscriber: golden.<entity> in; pushes, receipts and parked.<subscriber> out.

Promise: the newest version of every record at least once, versions of a record in rising order; versions in between may be skipped.
Every version is parked first and tried in the same batch: what is acknowledged leaves no trace in the log, the rest is there to be
retried, folded to one per key. The surprise: that a record has left the area leaves a trace, without a body, so that it is said once.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from itertools import islice
from types import MappingProxyType

import msgspec

from sync_engine.deliver.payload import Labels, body_of, event_of, left_at, webhook_id
from sync_engine.model import names
from sync_engine.model.avro import golden_of_datum
from sync_engine.model.declaration import TABLE, TOPIC, WEBHOOK, Subscriber
from sync_engine.model.golden import LEFT
from sync_engine.model.outcome import DeadLetter, Emit, Reason
from sync_engine.model.record import Record
from sync_engine.model.stage import Answer, Codec, Output, Request, Undecodable, View

TRIES_PER_SLICE: Mapping[str, int] = {WEBHOOK: 400, TOPIC: 1_000, TABLE: 1_000}
"""By the subscriber's kind: a request each, or one transaction of all."""
FIRST_TRY_SECONDS, RETRY_SECONDS = 0.5, 15.0
"""A first try may hold up the batch for so long only; a retry and a probe have the time that Standard Webhooks advises."""
ENDPOINT_BACKOFF_SECONDS_MAX, WAIT_SECONDS_MAX, GONE_SECONDS = 60.0, 3_600.0, 3_600.0
HTTP_TOO_MANY, HTTP_UNAVAILABLE = 429, 503
ENDPOINT_DOWN = "endpoint down"


class Parked(msgspec.Struct, array_like=True, gc=False):
    """The newest version of one record that the subscriber has not acknowledged.

    Without a body nothing waits: the subscriber knows that the record has left, and is told nothing more until it is back.
    """

    webhook_id: str
    version: int
    body: bytes
    effective_ms: int
    attempts: int = 0
    first_failed_ms: int = 0
    due_ms: int = 0
    why: str = ""
    logged: bool = False
    """Whether the parked topic has it, so that a null must follow when it is done."""
    left: bool = False
    """Whether the body says that the record has left."""


class Waiting:
    """The index of one partition's parked records. A key that is tried stands in neither place until its answer has come."""

    def __init__(self, parked: list[tuple[int, bytes]]) -> None:
        heapify(parked)
        self.by_due = parked
        """(due_ms, key) as a heap: a turn in which nothing is due costs a look at its first entry, however many wait."""
        self.fresh: dict[bytes, None] = {}
        """Decided in the batch in hand; empty behind `work`."""
        self.count = len(parked)
        self.has_more = False
        """Whether the last slice left some that are due, and the endpoint was well."""


class DeliverStage:
    """Delivers one entity of one node to one subscriber."""

    def __init__(self, subscriber: Subscriber, codec: Codec, labels: Labels = MappingProxyType({})) -> None:
        """`labels` = of every source."""
        self._labels = labels
        self.name = f"deliver.{subscriber.name}"
        self.inputs = (names.golden(subscriber.node, subscriber.entity),)
        self._parked_topic = names.parked(subscriber.node, subscriber.name)
        self._receipt_topic = names.receipt(subscriber.node)
        self.changelogs = (self._parked_topic,)
        self.state_type: type | None = Parked
        self.subscriber = subscriber
        self.tries = TRIES_PER_SLICE[subscriber.kind]
        """How many requests a partition's slice has at most. A batch that has no more records is tried whole, and nothing of it parked."""
        self._codec = codec
        self._waiting: dict[int, Waiting] = {}
        self._failures = 0
        """Rounds that failed since the last acknowledgement. Not 0: one probe a round, whatever is due."""
        self._down_until_ms = self._asked_until_ms = 0
        """Nothing is tried before the first; the second is the part of it that the receiver asked for."""
        self._failed_ms = self._alive_ms = self._probed_ms = 0

    def open(self, partition: int, view: View) -> None:
        parked: list[tuple[int, bytes]] = []
        after = b""
        while found := view.scan(after, 500):
            parked.extend((state.due_ms, key) for key, state in found if state.body)
            after = found[-1][0]
        self._waiting[partition] = Waiting(parked)
        if parked:
            # How long the endpoint is to be left alone is not in the log: whoever takes over asks with one record first.
            self._failures = max(self._failures, 1)

    def close(self, partition: int) -> None:
        self._waiting.pop(partition, None)

    def parked(self) -> int:
        """Records not yet acknowledged, over all partitions that are ours. From any thread."""
        return sum(waiting.count for waiting in list(self._waiting.values()))

    def keys(self, record: Record) -> Iterable[bytes]:
        return () if record.key is None else (record.key,)

    def decide(self, record: Record, view: View, now_ms: int) -> Sequence[Output]:
        if record.value is None or record.key is None:
            return ()
        try:
            _, datum = self._codec.decode(record.value)
        except Undecodable as error:
            return [error.letter]
        golden = golden_of_datum(self.subscriber.entity, record.key.decode(), datum)
        event = event_of(self.subscriber, golden)
        if event is None:
            return ()
        before: Parked | None = view.get(record.key)
        if before is not None and before.version >= golden.version:
            return [DeadLetter(Reason.BUG, "a golden log went back in version")] if before.version > golden.version else ()
        if before is not None and not before.body and 0 < left_at(self.subscriber, golden) <= before.version:
            return ()
        body = body_of(self.subscriber, golden, event, self._codec, self._labels)
        parked = Parked(webhook_id(self.subscriber, golden), golden.version, body, golden.effective_ms, left=event == LEFT)
        if before is not None:
            parked = msgspec.structs.replace(
                parked, attempts=before.attempts, first_failed_ms=before.first_failed_ms, due_ms=before.due_ms, logged=before.logged
            )
        outputs = [self._emit_parked(record.key, record.partition, parked)] if parked.logged else []
        view.put(record.key, parked)
        if before is None or not before.body:
            waiting = self._waiting[record.partition]
            waiting.fresh[record.key] = None
            waiting.count += 1
        return outputs

    def work(self, partition: int, view: View, now_ms: int) -> Sequence[Output]:
        waiting = self._waiting[partition]
        tries = self._tries(now_ms)
        tried = list(islice(waiting.fresh, tries))
        while len(tried) < tries and waiting.by_due and waiting.by_due[0][0] <= now_ms:
            tried.append(heappop(waiting.by_due)[1])
        outputs: list[Output] = []
        for key in tried:
            parked: Parked = view.get(key)
            limit = RETRY_SECONDS if parked.attempts or self._failures else FIRST_TRY_SECONDS
            outputs.append(Request(self.subscriber.settings, key, partition, parked.webhook_id, parked.body, limit))
        if tried:
            self._probed_ms = now_ms
        # The golden offset of what is new is committed with this batch: the log must have it, for the local store does not outlive a kill.
        why = ENDPOINT_DOWN if now_ms < self._down_until_ms else ""
        for key in islice(waiting.fresh, len(tried), None):
            outputs.append(self._park(key, partition, view.get(key), max(now_ms, self._down_until_ms), why, view, now_ms))
        waiting.fresh.clear()
        waiting.has_more = tries == self.tries and bool(waiting.by_due) and waiting.by_due[0][0] <= now_ms
        return outputs

    def has_more(self, partition: int) -> bool:
        return self._waiting[partition].has_more

    def _tries(self, now_ms: int) -> int:
        """How many requests a partition may send now. While the endpoint fails it is one a round over all partitions of ours."""
        if now_ms < self._down_until_ms:
            return 0
        if self._failures:
            # All calls of a round carry the same time.
            return 0 if self._probed_ms == now_ms else 1
        return self.tries

    def conclude(self, request: Request, answer: Answer, view: View, now_ms: int) -> Sequence[Emit]:
        parked: Parked = view.get(request.key)
        attempted = msgspec.structs.replace(parked, attempts=parked.attempts + 1)
        receipt = self._receipt(request.key, attempted, answer, now_ms)
        if answer.acknowledged:
            self._note_alive(now_ms)
            self._waiting[request.partition].count -= 1
            return [receipt, *self._done(request.key, request.partition, parked, view)]
        self._judge_endpoint(answer, now_ms)
        # Of a limited power: an endpoint that is dead for weeks must not overflow it.
        wait = max(answer.retry_after_seconds or 0.0, 2.0 ** min(attempted.attempts, 12))
        due_ms = max(now_ms + int(min(wait, WAIT_SECONDS_MAX) * 1000), self._down_until_ms)
        return [receipt, self._park(request.key, request.partition, attempted, due_ms, answer.why, view, now_ms)]

    def _note_alive(self, now_ms: int) -> None:
        self._alive_ms = now_ms
        # Nothing is tried before `_asked_until_ms`: if it is to come, it was asked for in this round, by the answer to another request.
        if now_ms >= self._asked_until_ms:
            self._failures = self._down_until_ms = self._failed_ms = 0

    def _judge_endpoint(self, answer: Answer, now_ms: int) -> None:
        """Whether this failure holds back all records, and until when. No answer makes that time shorter than another of its round did.

        A record that is refused (4xx) holds back itself alone; an endpoint that fails, and acknowledges nothing in the round, all; so does
        one that asks for a pause, whatever it acknowledges beside.
        """
        asked_seconds = 0.0
        if answer.gone:
            asked_seconds = GONE_SECONDS
        elif answer.status in (HTTP_TOO_MANY, HTTP_UNAVAILABLE):
            asked_seconds = min(answer.retry_after_seconds or 0.0, WAIT_SECONDS_MAX)
        fails = answer.status is None or answer.status >= 500 or answer.status == HTTP_TOO_MANY
        if not asked_seconds and (not fails or self._alive_ms == now_ms):
            return
        if self._failed_ms != now_ms:
            # All answers of a round carry the same time: a round counts once, however many were tried in it.
            self._failures, self._failed_ms = self._failures + 1, now_ms
        pause_seconds = min(2.0 ** min(self._failures, 6), ENDPOINT_BACKOFF_SECONDS_MAX)
        if asked_seconds:
            self._asked_until_ms = max(self._asked_until_ms, now_ms + int(asked_seconds * 1000))
        self._down_until_ms = max(self._down_until_ms, self._asked_until_ms, now_ms + int(pause_seconds * 1000))

    def _done(self, key: bytes, partition: int, parked: Parked, view: View) -> list[Emit]:
        """Nothing is kept of what is acknowledged, but that the record has left: each later version says it again."""
        if parked.left:
            told = Parked(parked.webhook_id, parked.version, b"", parked.effective_ms, logged=True, left=True)
            view.put(key, told)
            return [self._emit_parked(key, partition, told)]
        view.put(key, None)
        return [Emit(self._parked_topic, key, None, partition)] if parked.logged else []

    def _park(self, key: bytes, partition: int, parked: Parked, due_ms: int, why: str, view: View, now_ms: int) -> Emit:
        parked = msgspec.structs.replace(parked, due_ms=due_ms, why=why, first_failed_ms=parked.first_failed_ms or now_ms, logged=True)
        view.put(key, parked)
        heappush(self._waiting[partition].by_due, (due_ms, key))
        return self._emit_parked(key, partition, parked)

    def _emit_parked(self, key: bytes, partition: int, parked: Parked) -> Emit:
        datum = {
            "entity": self.subscriber.entity,
            "webhook_id": parked.webhook_id,
            "version": parked.version,
            "body": parked.body,
            "effective_ms": parked.effective_ms,
            "attempts": parked.attempts,
            "first_failed_ms": parked.first_failed_ms,
            "due_ms": parked.due_ms,
            "why": parked.why,
            "left": parked.left,
        }
        return Emit(self._parked_topic, key, self._codec.encode("sync.wire.Parked", datum), partition)

    def _receipt(self, key: bytes, parked: Parked, answer: Answer, now_ms: int) -> Emit:
        datum = {
            "subscriber": self.subscriber.id,
            "webhook_id": parked.webhook_id,
            "entity": self.subscriber.entity,
            "key_digest": blake2b(key, digest_size=8).hexdigest(),
            "version": parked.version,
            "outcome": "acknowledged" if answer.acknowledged else "failed",
            "status": answer.status,
            "attempts": parked.attempts,
            "at_ms": now_ms,
            "effective_ms": parked.effective_ms,
        }
        return Emit(self._receipt_topic, parked.webhook_id.encode(), self._codec.encode("sync.wire.Receipt", datum))

    def state_key(self, topic: str, key: bytes) -> bytes:
        return key

    def restore(self, topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]], view: View) -> None:
        if value is None:
            view.put(key, None)
            return
        datum = self._codec.decode(value)[1]
        view.put(
            key,
            Parked(
                datum["webhook_id"],
                datum["version"],
                datum["body"],
                datum["effective_ms"],
                datum["attempts"],
                datum["first_failed_ms"],
                datum["due_ms"],
                datum["why"],
                True,
                datum["left"],
            ),
        )
