"""Deliver as a stage, one per subscriber: golden.<entity> in; pushes, receipts and parked.<subscriber> out.

Promise: the newest version of every record at least once, versions of a record in rising order; versions in between may be skipped.
Every version is parked first and tried in the same batch: what is acknowledged leaves no trace in the log, the rest is there to be
retried, folded to one per key.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

from sync_engine.deliver.payload import body_of, event_of, webhook_id
from sync_engine.model import names
from sync_engine.model.avro import golden_of_datum
from sync_engine.model.declaration import Subscriber
from sync_engine.model.outcome import DeadLetter, Emit, Reason
from sync_engine.model.record import Record
from sync_engine.model.stage import Answer, Codec, Output, Request, Undecodable, View

TRIES_PER_SLICE = 200
FIRST_TRY_SECONDS, RETRY_SECONDS = 0.5, 15.0
"""A first try may hold up the batch for so long only; a retry has the time that Standard Webhooks advises."""
ENDPOINT_BACKOFF_SECONDS_MAX, KEY_BACKOFF_SECONDS_MAX, GONE_SECONDS = 60, 3_600.0, 3_600
HTTP_TOO_MANY = 429


class Parked(msgspec.Struct, array_like=True, gc=False):
    """The newest version of one record that the subscriber has not acknowledged."""

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


class DeliverStage:
    """Delivers one entity of one node to one subscriber."""

    def __init__(self, subscriber: Subscriber, codec: Codec) -> None:
        self.name = f"deliver.{subscriber.name}"
        self.inputs = (names.golden(subscriber.node, subscriber.entity),)
        self._parked_topic = names.parked(subscriber.node, subscriber.name)
        self._receipt_topic = names.receipt(subscriber.node)
        self.changelogs = (self._parked_topic,)
        self.state_type: type | None = Parked
        self._subscriber = subscriber
        self._codec = codec
        self._due: dict[int, dict[bytes, int]] = {}
        self._down_until_ms = 0
        self._failures = 0
        self._failed_ms = self._alive_ms = 0

    def open(self, partition: int, view: View) -> None:
        due: dict[bytes, int] = {}
        after = b""
        while found := view.scan(after, 500):
            due.update((key, state.due_ms) for key, state in found)
            after = found[-1][0]
        self._due[partition] = due

    def parked(self) -> int:
        """Records not yet acknowledged, over all partitions that are ours."""
        return sum(len(due) for due in self._due.values())

    def keys(self, record: Record) -> Iterable[bytes]:
        return () if record.key is None else (record.key,)

    def decide(self, record: Record, view: View, now_ms: int) -> Sequence[Output]:
        if record.value is None or record.key is None:
            return ()
        try:
            _, datum = self._codec.decode(record.value)
        except Undecodable as error:
            return [error.letter]
        golden = golden_of_datum(self._subscriber.entity, record.key.decode(), datum)
        event = event_of(self._subscriber, golden)
        if event is None:
            return ()
        before: Parked | None = view.get(record.key)
        if before is not None and before.version >= golden.version:
            return [DeadLetter(Reason.BUG, "a golden log went back in version")] if before.version > golden.version else ()
        parked = Parked(webhook_id(self._subscriber, golden), golden.version, body_of(self._subscriber, golden, event), golden.effective_ms)
        if before is not None:
            parked = msgspec.structs.replace(
                parked, attempts=before.attempts, first_failed_ms=before.first_failed_ms, due_ms=before.due_ms, logged=before.logged
            )
        view.put(record.key, parked)
        self._due.setdefault(record.partition, {})[record.key] = parked.due_ms
        return [self._emit_parked(record.key, record.partition, parked)] if parked.logged else ()

    def work(self, partition: int, view: View, now_ms: int) -> Sequence[Output]:
        outputs: list[Output] = []
        due = self._due.get(partition, {})
        ready = sorted((at, key) for key, at in due.items() if at <= now_ms)
        if now_ms < self._down_until_ms:
            # The endpoint is down: what is new is only written down, for one probe later.
            for _, key in ready:
                outputs.extend(self._park(key, partition, view.get(key), self._down_until_ms, "endpoint down", view, now_ms))
            return outputs
        # After a failure one probe goes first, the longest waiting: a dead endpoint costs one attempt a round and not one per record.
        tries = 1 if self._failures else TRIES_PER_SLICE
        for _, key in ready[:tries]:
            parked: Parked = view.get(key)
            limit = RETRY_SECONDS if parked.attempts else FIRST_TRY_SECONDS
            outputs.append(Request(self._subscriber.settings, key, partition, parked.webhook_id, parked.body, limit))
        for _, key in ready[tries:]:
            waiting: Parked = view.get(key)
            if not waiting.logged:
                # Its golden offset is committed with this batch: the log must have it, for the local store does not outlive a kill.
                logged = msgspec.structs.replace(waiting, logged=True)
                view.put(key, logged)
                outputs.append(self._emit_parked(key, partition, logged))
        return outputs

    def conclude(self, request: Request, answer: Answer, view: View, now_ms: int) -> Sequence[Emit]:
        parked: Parked = view.get(request.key)
        attempted = msgspec.structs.replace(parked, attempts=parked.attempts + 1)
        receipt = self._receipt(request.key, attempted, answer, now_ms)
        if answer.acknowledged:
            self._failures, self._down_until_ms, self._alive_ms = 0, 0, now_ms
            del self._due[request.partition][request.key]
            view.put(request.key, None)
            return [receipt, Emit(self._parked_topic, request.key, None, request.partition)] if parked.logged else [receipt]
        self._judge_endpoint(answer, now_ms)
        wait = max(answer.retry_after_seconds or 0.0, min(2.0**attempted.attempts, KEY_BACKOFF_SECONDS_MAX))
        due_ms = max(now_ms + int(min(wait, KEY_BACKOFF_SECONDS_MAX) * 1000), self._down_until_ms)
        return [receipt, *self._park(request.key, request.partition, attempted, due_ms, answer.why, view, now_ms)]

    def _judge_endpoint(self, answer: Answer, now_ms: int) -> None:
        """A record that is refused (4xx) holds back itself alone; an endpoint that fails, and acknowledges nothing in the round, all."""
        fails = answer.status is None or answer.status >= 500 or answer.status == HTTP_TOO_MANY
        if answer.gone:
            self._down_until_ms = now_ms + GONE_SECONDS * 1000
        elif fails and self._alive_ms != now_ms and self._failed_ms != now_ms:
            # All answers of a round carry the same time: a round counts once, however many were tried in it.
            self._failures, self._failed_ms = self._failures + 1, now_ms
            self._down_until_ms = now_ms + min(2**self._failures, ENDPOINT_BACKOFF_SECONDS_MAX) * 1000

    def _park(self, key: bytes, partition: int, parked: Parked, due_ms: int, why: str, view: View, now_ms: int) -> list[Emit]:
        parked = msgspec.structs.replace(parked, due_ms=due_ms, why=why, first_failed_ms=parked.first_failed_ms or now_ms, logged=True)
        view.put(key, parked)
        self._due[partition][key] = due_ms
        return [self._emit_parked(key, partition, parked)]

    def _emit_parked(self, key: bytes, partition: int, parked: Parked) -> Emit:
        datum = {
            "entity": self._subscriber.entity,
            "webhook_id": parked.webhook_id,
            "version": parked.version,
            "body": parked.body,
            "effective_ms": parked.effective_ms,
            "attempts": parked.attempts,
            "first_failed_ms": parked.first_failed_ms,
            "due_ms": parked.due_ms,
            "why": parked.why,
        }
        return Emit(self._parked_topic, key, self._codec.encode("sync.wire.Parked", datum), partition)

    def _receipt(self, key: bytes, parked: Parked, answer: Answer, now_ms: int) -> Emit:
        datum = {
            "subscriber": self._subscriber.id,
            "webhook_id": parked.webhook_id,
            "entity": self._subscriber.entity,
            "key_digest": blake2b(key, digest_size=8).hexdigest(),
            "version": parked.version,
            "outcome": "acknowledged" if answer.acknowledged else "failed",
            "status": answer.status,
            "attempts": parked.attempts,
            "at_ms": now_ms,
            "effective_ms": parked.effective_ms,
        }
        return Emit(self._receipt_topic, parked.webhook_id.encode(), self._codec.encode("sync.wire.Receipt", datum))

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
            ),
        )
