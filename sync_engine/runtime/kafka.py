"""The log on Kafka (librdkafka): a consumer that fetches ahead in its own threads, and a transactional producer.

Promises: `runtime.log.Log`. The surprise: a member that lost its place can get the membership ("", generation -1), and with that one the
broker takes a transaction's offsets unchecked. `_membership` lets pass only the member that the partitions were given to.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import confluent_kafka as ck

from sync_engine.model.names import partition_of
from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.runtime.log import BatchAborted, MustRestart, OnPartitions, TopicPartition, WorldFailure
from sync_engine.runtime.topics import Offsets, committed_offsets

logger = logging.getLogger(__name__)
# Every attempt to connect that fails, of every client, several times a second; `error_cb` tells of the same.
logger.addFilter(lambda line: not (line.args and line.args[0] == "FAIL"))  # type: ignore[index]  # librdkafka's facility comes first

_REQUEST_SECONDS = 10.0
_ABORT_SECONDS = 5.0
"""How long a batch that is given up waits for the end of its transaction. The next commit or rewind goes on with what is left of it."""
_OVERDUE_SECONDS = 5.0
"""How much later than asked for a call may come back. What takes longer never does: librdkafka#5456, #5511, seen after broker restarts."""
_TELL_AGAIN_SECONDS = 60.0
_READ_BATCH = 5_000
_READ_AHEAD_KIB = 16_384
LARGEST_RECORD_BYTES = 16_777_216
"""The topics that we write take as much (provision/topics)."""

_FOR_A_PERSON = frozenset(
    {
        ck.KafkaError._AUTHENTICATION,
        ck.KafkaError.SASL_AUTHENTICATION_FAILED,
        ck.KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        ck.KafkaError.GROUP_AUTHORIZATION_FAILED,
        ck.KafkaError.TOPIC_AUTHORIZATION_FAILED,
        ck.KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        ck.KafkaError.INVALID_SESSION_TIMEOUT,
        ck.KafkaError.UNSUPPORTED_VERSION,
    }
)
"""What a client reports and does not get over by itself. All else it retries: a broker that is away, a topic that is not there yet."""


class KafkaLog:
    """`Log` over one group and one transactional id. To make one fences whoever had the same transactional id before."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        transactional_id: str,
        *,
        session_timeout_ms: int = 10_000,
        transaction_timeout_ms: int = 10_000,
        max_poll_interval_ms: int = 600_000,
        company_seconds: float = 0.02,
        compression: str = "lz4",
        fetched_ahead_kib: int = 65_536,
        start_seconds: float = 30.0,
        client: Mapping[str, str] | None = None,
    ) -> None:
        """`company_seconds`: how long a first record waits for others. `max_poll_interval_ms`: the longest a batch or a restore may take.

        `client`: what every client of this broker needs (TLS, SASL). Raises WorldFailure when no coordinator answers in `start_seconds`.
        """
        if transaction_timeout_ms > session_timeout_ms:
            # A frozen writer's open transaction holds back every reader of its partitions, first of all its successor.
            raise ValueError(f"transaction_timeout_ms {transaction_timeout_ms} is longer than session_timeout_ms {session_timeout_ms}")
        self._company_seconds = company_seconds
        self._transaction_seconds = transaction_timeout_ms / 1000
        self._reported: ck.KafkaError | None = None
        self._told: dict[int, float] = {}
        self._pending: tuple[str, float] | None = None  # the call that has not come back, and when it is overdue
        self._member = b""
        self._waiting: dict[TopicPartition, None] = {}  # given to us and paused: the lane has not prepared for them yet
        self._ours: dict[TopicPartition, None] = {}  # a dict for its order
        self._paused: set[TopicPartition] = set()  # by the lane
        self._begins: dict[TopicPartition, int] = {}
        self._rebalanced = self._must_rewind = self._must_abort = self._closed = False
        self._counts: dict[str, int] = {}
        common: dict[str, Any] = {**(client or {}), **_common(bootstrap, transactional_id), "error_cb": self._on_error, "logger": logger}
        self._fetching = {**common, **_fetching(group, fetched_ahead_kib)}
        self._offsets = Offsets(bootstrap, client=client)
        self._producer = ck.Producer({**common, **_producing(transactional_id, transaction_timeout_ms, compression)})
        self._begin(start_seconds)
        self._consumer = ck.Consumer({**self._fetching, **_joining(session_timeout_ms, max_poll_interval_ms)})

    def subscribe(self, topics: Sequence[str], on_assign: OnPartitions, on_revoke: OnPartitions) -> None:
        self._on_assign, self._on_revoke = on_assign, on_revoke
        self._consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def take(self, max_records: int, timeout_seconds: float) -> list[Record]:
        self._producer.poll(0)  # its errors and log lines
        self._raise_reported()
        if self._must_rewind:
            self.rewind()
        if self._waiting:
            self._open()
        self._rebalanced = False
        try:
            # consume() waits until it has as many as asked for, or the timeout: so the first is waited for alone.
            messages = self._consumer.consume(1, timeout_seconds)
            if messages and max_records > 1:
                messages += self._consumer.consume(max_records - 1, self._company_seconds)
        except BaseException as failure:
            self._must_rewind = True  # on_revoke raised, or the client did: what was fetched before that is in nobody's hands
            if isinstance(failure, ck.KafkaException):
                raise _failure("nothing could be taken", failure) from failure
            raise
        return self._records(messages) if messages else []

    def commit(self, emits: Sequence[Emit], offsets: Mapping[TopicPartition, int]) -> None:
        if not offsets:
            raise ValueError("a transaction without offsets is not fenced by the group")
        if foreign := offsets.keys() - self._ours.keys():
            raise ValueError(f"offsets of partitions that are not ours: {sorted(foreign)}")
        self._must_rewind = True  # until the commit is known; MustRestart leaves it so
        self._finish_abort(_ABORT_SECONDS)
        membership = self._membership()
        partitions = [self._partition(emit) if emit.partition is None else emit.partition for emit in emits]
        positions = [ck.TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        try:
            self._producer.begin_transaction()
        except ck.KafkaException as failure:
            raise MustRestart(f"no transaction can be begun: {_text(failure)}") from failure
        self._must_abort = True
        try:
            self._produce(emits, partitions)
            self._insist("send_offsets_to_transaction", self._transaction_seconds, positions, membership)
        except ck.KafkaException as failure:
            raise self._given_up(failure) from failure
        self._end_transaction()
        self._must_abort = self._must_rewind = False

    def rewind(self) -> None:
        self._must_rewind = True
        self._finish_abort(_ABORT_SECONDS)  # first: committed() waits for open transactions, our own too
        for (topic, partition), offset in self.committed(list(self._ours)).items():
            self._seek(ck.TopicPartition(topic, partition, offset))
            self._begins[topic, partition] = offset
        self._must_rewind = False

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._consumer.pause([ck.TopicPartition(topic, partition) for topic, partition in partitions])
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        committed = self.committed(partitions)
        self._must_rewind = True  # should a seek fail: nobody knows where a partition that is only resumed goes on
        self._consumer.resume([ck.TopicPartition(topic, partition) for topic, partition in partitions])
        self._paused.difference_update(partitions)
        for (topic, partition), offset in committed.items():
            self._seek(ck.TopicPartition(topic, partition, offset))
            self._begins[topic, partition] = offset
        self._must_rewind = False

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        begins = self._offsets.list_begins(partitions)
        # require_stable comes with read_committed: an open transaction's offsets are waited for, as long as it can be open.
        wanted = [ck.TopicPartition(topic, partition) for topic, partition in partitions]
        found = {}
        for answer in committed_offsets(self._consumer, wanted, self._transaction_seconds + _REQUEST_SECONDS):
            begin = begins[answer.topic, answer.partition]
            if 0 <= answer.offset < begin:
                logger.error(
                    "%s/%d: records %d to %d are gone and were never read", answer.topic, answer.partition, answer.offset, begin - 1
                )
            found[answer.topic, answer.partition] = max(answer.offset, begin)
        return found

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._offsets.list_open_ends(partitions)

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[list[Record]]:
        start = max(start, self._offsets.list_begins([partition])[partition])
        if start >= end:
            return
        # enable.partition.eof: where the tail of a compacted partition holds no record any more, only the end itself is reported.
        # A restore has one of these for each changelog at the same time.
        ahead = {"queued.max.messages.kbytes": _READ_AHEAD_KIB}
        reader = ck.Consumer({**self._fetching, **ahead, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
        try:
            reader.assign([ck.TopicPartition(*partition, start)])
            yield from read_to(reader, partition, end, patience_seconds=4 * self._transaction_seconds + _REQUEST_SECONDS)
        finally:
            reader.close()

    def positions(self) -> dict[TopicPartition, int]:
        ours = list(self._ours)
        answers = self._consumer.position([ck.TopicPartition(topic, partition) for topic, partition in ours])
        found = {(answer.topic, answer.partition): answer.offset for answer in answers if answer.offset >= 0}
        # Nothing was taken since it was given to us or rewound: it stands where it begins.
        if unknown := [key for key in ours if key not in found and key not in self._begins]:
            self._begins.update(self.committed(unknown))
        return {key: found[key] if key in found else self._begins[key] for key in ours}

    def partitions(self, topic: str) -> int:
        count = self._counts.get(topic, 0)
        if not count:
            try:
                metadata = self._producer.list_topics(topic, timeout=_REQUEST_SECONDS).topics[topic]
            except ck.KafkaException as failure:
                raise _failure(f"the partitions of {topic} are not to be had", failure) from failure
            if not (count := len(metadata.partitions)):
                raise WorldFailure(f"topic {topic} does not exist: {metadata.error}")
            self._counts[topic] = count
        return count

    def overdue(self) -> str | None:
        pending = self._pending
        return None if pending is None or time.monotonic() < pending[1] else pending[0]

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._consumer.close()
        finally:
            self._producer.purge()
            with suppress(ck.KafkaException):  # fenced: that was said when it mattered
                self._producer.close()

    # --- the group ---

    def _assigned(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        """In consume(). Paused, so that nothing of them comes before the lane has prepared: which may take long, fail, be repeated."""
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)
        self._member = (consumer.memberid() or "").encode()
        self._waiting.update({(each.topic, each.partition): None for each in partitions})

    def _revoked(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        """In consume() or close(). The lane gives back before the group is told, and so before anybody else has them."""
        self._rebalanced = True
        gone = [(each.topic, each.partition) for each in partitions]
        prepared = [key for key in gone if key in self._ours]
        for key in gone:
            self._waiting.pop(key, None)
            self._ours.pop(key, None)
            self._begins.pop(key, None)
            self._paused.discard(key)
        try:
            if prepared:
                self._on_revoke(prepared)
        finally:
            consumer.incremental_unassign(partitions)

    def _open(self) -> None:
        partitions = list(self._waiting)
        self._on_assign(partitions)
        self._consumer.resume([ck.TopicPartition(*each) for each in partitions if each not in self._paused])
        self._ours.update(self._waiting)
        self._waiting.clear()

    def _membership(self) -> Any:
        """The group's metadata for the offsets of a transaction; refused if it is not that of the member our partitions were given to."""
        membership = self._consumer.consumer_group_metadata()
        if not self._member or self._member not in membership:
            raise BatchAborted("no longer a member of the group: its partitions may be another's")
        return membership

    def _seek(self, to: ck.TopicPartition) -> None:
        try:
            self._consumer.seek(to)
        except ck.KafkaException as failure:
            raise _failure(f"{to.topic}/{to.partition} cannot go back to {to.offset}", failure) from failure

    # --- records ---

    def _records(self, messages: list[ck.Message]) -> list[Record]:
        records = [
            Record(
                message.topic(),  # type: ignore[arg-type]  # None only in a message without a topic, which is an error
                message.partition(),  # type: ignore[arg-type]
                message.offset(),  # type: ignore[arg-type]
                message.key(),
                message.value(),
                message.headers() or (),  # type: ignore[arg-type]
                message.timestamp()[1],
            )
            for message in messages
            if message.error() is None
        ]
        if len(records) != len(messages):
            for message in messages:
                if (error := message.error()) is not None:
                    self._on_error(error)
        if self._rebalanced:
            # Fetched and then lost within one call. Given back to us in that call as well: then it waits, and begins where it is committed.
            records = [record for record in records if (record.topic, record.partition) in self._ours]
        return records

    def _partition(self, emit: Emit) -> int:
        return 0 if emit.key is None else partition_of(emit.key, self.partitions(emit.topic))

    def _produce(self, emits: Sequence[Emit], partitions: Sequence[int]) -> None:
        produce = self._producer.produce
        for emit, partition in zip(emits, partitions, strict=True):
            while True:
                try:
                    if emit.headers:
                        produce(emit.topic, emit.value, emit.key, partition, headers=list(emit.headers))
                    else:
                        produce(emit.topic, emit.value, emit.key, partition)
                    break
                except BufferError:
                    self._producer.poll(0.05)  # the queue is full: until some are delivered, or fail after the transaction's timeout

    # --- the transaction's end ---

    def _begin(self, start_seconds: float) -> None:
        try:
            self._insist("init_transactions", start_seconds)
        except ck.KafkaException as failure:
            self._producer.close()
            raise WorldFailure(f"no transaction coordinator within {start_seconds:g} s: {_text(failure)}") from failure

    def _end_transaction(self) -> None:
        try:
            # Longer than the messages' own timeout: a batch that cannot be delivered fails as such, before its result is unknown.
            self._insist("commit_transaction", self._transaction_seconds + _REQUEST_SECONDS)
        except ck.KafkaException as failure:
            if failure.args[0].txn_requires_abort():
                raise self._given_up(failure) from failure
            raise MustRestart(f"nobody knows whether the transaction was committed: {_text(failure)}") from failure

    def _given_up(self, failure: ck.KafkaException) -> BatchAborted | MustRestart:
        if failure.args[0].fatal():
            return MustRestart(f"fenced or broken: {_text(failure)}")
        try:
            self._finish_abort(_ABORT_SECONDS)
        except WorldFailure as weather:
            logger.warning("%s", weather)
        return BatchAborted(_text(failure))

    def _finish_abort(self, seconds: float) -> None:
        """End the transaction that was given up, unless that is done."""
        if not self._must_abort:
            return
        try:
            self._insist("abort_transaction", seconds)
        except ck.KafkaException as failure:
            if failure.args[0].retriable():
                raise WorldFailure(f"the batch that was given up is not aborted yet: {_text(failure)}") from failure
            raise MustRestart(f"a transaction can neither be committed nor aborted: {_text(failure)}") from failure
        self._must_abort = False

    def _insist(self, name: str, seconds: float, *arguments: Any) -> None:
        """Call the producer's method again, while it may be called again, until the time is over."""
        call = getattr(self._producer, name)
        deadline = time.monotonic() + seconds
        self._pending = name, deadline + _OVERDUE_SECONDS
        try:
            while True:
                try:
                    call(*arguments, max(deadline - time.monotonic(), 0.1))
                    return
                except ck.KafkaException as failure:
                    if not failure.args[0].retriable() or time.monotonic() >= deadline:
                        raise
        finally:
            self._pending = None

    # --- errors that a client reports by itself ---

    def _on_error(self, error: ck.KafkaError) -> None:
        if error.fatal() or error.code() in _FOR_A_PERSON:
            self._reported = error
        elif time.monotonic() - self._told.get(error.code(), -_TELL_AGAIN_SECONDS) >= _TELL_AGAIN_SECONDS:
            self._told[error.code()] = time.monotonic()
            logger.warning("%s: %s; it goes on by itself", error.name(), error.str())

    def _raise_reported(self) -> None:
        if (error := self._reported) is not None:
            if error.fatal():
                raise MustRestart(f"fatal: {error.str()}")
            self._reported = None
            raise WorldFailure(f"{error.name()}: {error.str()}")


def _failure(what: str, failure: ck.KafkaException) -> WorldFailure | MustRestart:
    text = f"{what}: {_text(failure)}"
    return MustRestart(text) if failure.args[0].fatal() else WorldFailure(text)


def _text(failure: ck.KafkaException) -> str:
    error: ck.KafkaError = failure.args[0]
    return f"{error.name()}: {error.str()}"


def read_to(reader: ck.Consumer, partition: TopicPartition, end: int, patience_seconds: float) -> Iterator[list[Record]]:
    """What the reader, which was assigned the one partition, gets until its position is at `end`. Needs enable.partition.eof."""
    topic, number = partition
    at = -1
    moved = time.monotonic()
    while at < end:
        messages = reader.consume(1, 0.02)  # short: what stands last is a marker, and no marker ends the wait
        if messages:
            messages += reader.consume(_READ_BATCH - 1, 0)
        records = []
        before = at
        for message in messages:
            error, offset = message.error(), message.offset()
            if error is None and offset is not None:
                if offset < end:
                    records.append(
                        Record(topic, number, offset, message.key(), message.value(), message.headers() or (), message.timestamp()[1])  # type: ignore[arg-type]
                    )
            elif error is not None and error.code() == ck.KafkaError._PARTITION_EOF:
                at = max(at, offset or 0)
            elif error is not None and (error.fatal() or error.code() in _FOR_A_PERSON):
                raise WorldFailure(f"{topic}/{number} cannot be read: {error.name()}: {error.str()}")
        at = max(at, reader.position([ck.TopicPartition(topic, number)])[0].offset)
        if records:
            yield records
        if at > before:
            moved = time.monotonic()  # after the yield: the caller's time is not the broker's
        elif time.monotonic() - moved > patience_seconds:
            raise WorldFailure(f"{topic}/{number} stands at {at} since {patience_seconds:g} s, {end} is wanted")


# --- what is asked of librdkafka. Everything that matters is said, also where it is the default. ---


def _common(bootstrap: str, client_id: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": bootstrap,
        "client.id": client_id,  # what the broker's logs and quotas call us
        "allow.auto.create.topics": False,  # topics are declared; a misspelt one must not come into being
        "topic.metadata.refresh.interval.ms": 5_000,  # a topic that is made later is subscribed to within this time
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,  # back within a second of the broker's return, not ten
        "socket.nagle.disable": True,  # small requests must not wait for each other
    }


def _fetching(group: str, ahead_kib: int) -> dict[str, Any]:
    return {
        "group.id": group,
        "isolation.level": "read_committed",  # every reader of ours
        "enable.auto.commit": False,  # offsets go with the transaction
        "enable.auto.offset.store": False,
        "enable.partition.eof": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 100,  # data comes at once anyway; a partition that was resumed or rewound waits for a pending request
        "fetch.queue.backoff.ms": 2,  # 1000, the default, halves the rate: fetching stops for a second whenever the queue is full
        "queued.min.messages": 40_000,
        "queued.max.messages.kbytes": ahead_kib,
        "check.crcs": False,  # TCP and the broker check; costs CPU for each record
    }


def _joining(session_timeout_ms: int, max_poll_interval_ms: int) -> dict[str, Any]:
    return {
        "partition.assignment.strategy": "cooperative-sticky",  # whoever keeps a partition goes on with it in a rebalance
        "session.timeout.ms": session_timeout_ms,
        "heartbeat.interval.ms": min(1_000, session_timeout_ms // 3),  # a member learns of a rebalance with its next heartbeat
        "max.poll.interval.ms": max(max_poll_interval_ms, session_timeout_ms),
    }


def _producing(transactional_id: str, transaction_timeout_ms: int, compression: str) -> dict[str, Any]:
    return {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": transaction_timeout_ms,
        "message.timeout.ms": transaction_timeout_ms,
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "batch.size": 1_000_000,
        "batch.num.messages": 50_000,
        "message.max.bytes": LARGEST_RECORD_BYTES,
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 262_144,
        "compression.type": compression,
        # A transaction that meets the end of the one before waits a whole back-off: 100 ms, the default, makes small batches 100 ms slow.
        "retry.backoff.ms": 2,
        "retry.backoff.max.ms": 50,
        # One message that fails fails the transaction; the client sees to that itself, so no report is asked for.
        "delivery.report.only.error": True,
    }
