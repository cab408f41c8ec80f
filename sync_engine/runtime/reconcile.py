"""Compares the tables of a department with what its node made of them, and heals what the capture lost: the world around observe/reconcile.

Rows come from the department's database, slots from the node's state topics, beats and watermarks from the topics in which the observer
has them. What heals is written to the claim topics. It stands in nobody's way: no lock, no group, no long transaction, no signal.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import confluent_kafka as ck
import msgspec

from sync_engine.fault import Message
from sync_engine.ingest.capture import CompiledSource, compile_source, read_position, read_row
from sync_engine.ingest.stage import epoch_of
from sync_engine.ingest.values import Refused
from sync_engine.model import names
from sync_engine.model.claim import ASSERT, Claim, Position
from sync_engine.model.declaration import Declarations, Department, Source
from sync_engine.model.outcome import DeadLetter
from sync_engine.model.record import Record
from sync_engine.model.stage import Codec, Undecodable
from sync_engine.observe.cuts import GOLDEN
from sync_engine.observe.reconcile import NOTHING, Apart, Comparison, Loss, Lost, Said, SlotId, healing
from sync_engine.runtime.dead import DeadLetters
from sync_engine.runtime.kafka import LARGEST_RECORD_BYTES, read_to
from sync_engine.runtime.log import TopicPartition, WorldFailure
from sync_engine.runtime.observer import beat_ms
from sync_engine.runtime.rows import CapturedRows
from sync_engine.runtime.tail import KafkaTail
from sync_engine.runtime.topics import Offsets
from sync_engine.settings import Settings

logger = logging.getLogger("sync_engine.runtime.kafka")  # what the clients say by themselves goes one way
ROUNDS = 3
PATIENCE_SECONDS = 60.0
_BEFORE: Position = (0, 0, 0, 0, 0)
_TRANSACTION_SECONDS = 30.0
_SLICE = 10_000

Progress = Callable[[str, int], None]
"""Told the source and how many of its rows have been read."""


class NotPassed(Exception):
    """The department's beats, or its watermark at the golden records, did not come in time: nothing can be told of it now."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass
class Result:
    """Of one table."""

    source: str
    table: str
    rows: int = 0
    slots: int = 0
    lost: dict[Loss, int] = field(default_factory=lambda: dict.fromkeys(Loss, 0))
    """Slots."""
    healed: int = 0
    unsettled: int = 0
    """Rows that went on changing."""
    apart: dict[Apart, int] = field(default_factory=dict)

    @property
    def standing(self) -> int:
        """Lost and not healed."""
        return sum(self.lost.values()) - self.healed


@dataclass(frozen=True)
class Found:
    """One loss, and what heals it."""

    lost: Lost
    claim: Claim


_Losses = Mapping[tuple[str, SlotId], Found]
"""By source and slot."""


class Reconciler:
    """Of one department. Use once. Raises WorldFailure, NotPassed and what CapturedRows raises."""

    def __init__(
        self, declarations: Declarations, settings: Settings, department: Department, sources: Sequence[Source], codec: Codec
    ) -> None:
        self._department = department
        self._sources = {source.id: source for source in sources}
        self._compiled = {source.id: compile_source(declarations, source) for source in sources}
        self._comparisons = {source.id: Comparison(source.id) for source in sources}
        self._codec = codec
        self._bootstrap, self._client = settings.kafka.bootstrap, settings.kafka.client
        self._rows = CapturedRows(department, settings.databases[department.settings])
        entities = sorted({mapping.entity for source in sources for mapping in source.mappings})
        self._slots = _Slots(self._bootstrap, self._client, department.node, entities, codec)
        self._beats = _Beats(self._bootstrap, self._client, department, codec)
        self._topics_of_letters = {names.cdc(department, source.table): source.id for source in sources}

    def close(self) -> None:
        self._rows.close()
        self._slots.close()
        self._beats.close()

    def run(self, heal: bool, progress: Progress = lambda source, rows: None) -> list[Result]:
        """What every table has lost; with `heal` it is healed, and looked at again."""
        self._beats.start()
        self._slots.read(self._comparisons)
        for source in self._sources.values():
            self._scan(source, progress)
        found = self._rounds()
        unsettled = self._unsettled()
        self._tell(found, found)
        standing = found
        if heal and found:
            self._heal(found.values())
            standing = self._after_healing(found)
        healed = {key: each for key, each in found.items() if key not in standing}
        if heal and found:
            self._tell(found, standing)
        return [self._result(source, found, healed, unsettled) for source in self._sources.values()]

    # --- looking ---

    def _scan(self, source: Source, progress: Progress) -> None:
        comparison = self._comparisons[source.id]
        for rows in self._rows.all(source):
            for row, said in self._said(source, rows, _BEFORE, 0):
                comparison.scan(row, said)
            progress(source.id, comparison.rows)
        comparison.scanned()

    def _rounds(self) -> dict[tuple[str, SlotId], Found]:
        found: dict[tuple[str, SlotId], Found] = {}
        for _ in range(ROUNDS):
            if not any(comparison.suspects for comparison in self._comparisons.values()):
                break
            found |= self._round()
        return found

    def _round(self) -> dict[tuple[str, SlotId], Found]:
        self._slots.read(self._comparisons)
        for comparison in self._comparisons.values():
            comparison.begin()
        # Of a beat that was written after the slots were read: its place is behind all that made them.
        position, at_ms = self._beats.written_after(self._rows.now_ms())
        read = {source: self._read_suspects(self._sources[source], position, at_ms) for source in self._sources}
        self._beats.wait_passed(self._rows.now_ms())
        self._slots.read(self._comparisons)
        put_aside = self._put_aside() if any(read.values()) else {}
        found = {}
        for source, said in read.items():
            for lost in self._comparisons[source].judge(said, put_aside.get(source, ())):
                claim = healing(source, lost, said.get(lost.slot.row, NOTHING), position, at_ms)
                found[source, lost.slot] = Found(lost, claim)
        return found

    def _read_suspects(self, source: Source, position: Position, at_ms: int) -> dict[str, Said]:
        suspects = self._comparisons[source.id].suspects
        rows = self._rows.named(source, [msgspec.json.decode(row) for row in suspects])
        return {**dict.fromkeys(suspects, NOTHING), **dict(self._said(source, rows, position, at_ms))}

    def _said(self, source: Source, rows: Iterable[Mapping[str, Any]], position: Position, at_ms: int) -> Iterable[tuple[str, Said]]:
        compiled = self._compiled[source.id]
        for row in rows:
            yield msgspec.json.encode([row[column] for column in source.primary_key]).decode(), _said(compiled, row, position, at_ms)

    def _put_aside(self) -> dict[str, set[str]]:
        """Rows of which dead letters stand, by source."""
        found: dict[str, set[str]] = {}
        letters = DeadLetters(self._bootstrap, self._department.node, self._codec, client=self._client)
        for letter in letters.standing():
            source = self._topics_of_letters.get(letter.id.split("/")[0])
            if source is None or letter.key is None:
                continue
            try:
                _, key = self._codec.decode(letter.key)
                row = [key[column] for column in self._sources[source].primary_key]
            except (Undecodable, KeyError):
                continue
            found.setdefault(source, set()).add(msgspec.json.encode(row).decode())
        return found

    # --- healing ---

    def _heal(self, found: Iterable[Found]) -> None:
        records = []
        for each in found:
            slot, key = each.lost.slot, each.lost.slot.key.encode()
            value = self._codec.encode_claim(slot.entity, each.claim)
            partition = names.partition_of(key, self._slots.partitions(slot.entity))
            records.append((names.claim(self._department.node, slot.entity), key, value, partition))
        self._write(records)

    def _write(self, records: Sequence[tuple[str, bytes, bytes, int]]) -> None:
        """(topic, key, value, partition)."""
        producer = ck.Producer(
            {
                **(self._client or {}),
                "bootstrap.servers": self._bootstrap,
                "client.id": f"{self._department.node}.reconcile",
                "transactional.id": f"{self._department.node}.reconcile.{uuid4()}",  # its own: two persons do not fence each other
                "message.max.bytes": LARGEST_RECORD_BYTES,
                "logger": logger,
            }
        )
        try:
            producer.init_transactions(_TRANSACTION_SECONDS)
            for start in range(0, len(records), _SLICE):
                producer.begin_transaction()
                for topic, key, value, partition in records[start : start + _SLICE]:
                    producer.produce(topic, value, key, partition)
                    producer.poll(0)
                producer.commit_transaction(_TRANSACTION_SECONDS)
        except (ck.KafkaException, BufferError) as failure:
            why = failure.args[0].str() if isinstance(failure, ck.KafkaException) else str(failure)
            raise WorldFailure(Message("{count} records were not written: {why}", count=len(records), why=why)) from failure

    def _after_healing(self, found: _Losses) -> dict[tuple[str, SlotId], Found]:
        """What still differs."""
        self._beats.wait_passed(self._rows.now_ms())
        for source, comparison in self._comparisons.items():
            comparison.suspects.clear()
            comparison.suspect(each.lost for (of, _), each in found.items() if of == source)
        standing = self._rounds()
        moving = {(source, slot.row) for (source, slot) in found if slot.row in self._comparisons[source].suspects}
        return {**standing, **{key: each for key, each in found.items() if (key[0], key[1].row) in moving}}

    # --- what is told ---

    def _unsettled(self) -> dict[str, int]:
        return {source: len(comparison.suspects) for source, comparison in self._comparisons.items()}

    def _tell(self, found: _Losses, standing: _Losses) -> None:
        """For the node's observer: it makes an alert and a metric of it."""
        now_ms = self._rows.now_ms()
        topic = names.reconciled(self._department.node)
        records = []
        for source in self._sources:
            if self._comparisons[source].suspects and not any(of == source for of, _ in found):
                continue  # what goes on changing tells nothing: what was said of it before stands
            counts = {loss.value: _count(standing, source, loss) for loss in Loss}
            datum = {"source": source, **counts, "healed": sum(of == source for of, _ in found.keys() - standing.keys()), "at_ms": now_ms}
            records.append((topic, source.encode(), self._codec.encode("sync.wire.Reconciled", datum), 0))
        self._write(records)

    def _result(
        self,
        source: Source,
        found: _Losses,
        healed: _Losses,
        unsettled: Mapping[str, int],
    ) -> Result:
        comparison = self._comparisons[source.id]
        lost = {loss: _count(found, source.id, loss) for loss in Loss}
        count = sum(of == source.id for of, _ in healed)
        return Result(source.id, source.table, comparison.rows, comparison.slots, lost, count, unsettled[source.id], dict(comparison.apart))


def _count(found: _Losses, source: str, loss: Loss) -> int:
    return sum(of == source and each.lost.loss is loss for (of, _), each in found.items())


def _said(compiled: CompiledSource, row: Mapping[str, Any], position: Position, at_ms: int) -> Said:
    claims: dict[bytes, Claim] = {}
    unreadable = set()
    for mapping, read in read_row(compiled, row, position, at_ms):
        for one in read:
            if isinstance(one, DeadLetter):
                unreadable.add(mapping)
            elif one[2].kind == ASSERT:
                entity, key, claim = one
                claims[SlotId(entity, key, claim.row, claim.mapping).packed()] = claim
    return Said(claims, frozenset(unreadable))


class _Slots:
    """The state topics of some entities, read on from where they were left."""

    def __init__(self, bootstrap: str, client: Mapping[str, str] | None, node: str, entities: Sequence[str], codec: Codec) -> None:
        self._codec = codec
        self._node = node
        self._offsets = Offsets(bootstrap, client=client)
        settings: dict[str, Any] = {
            **(client or {}),
            "bootstrap.servers": bootstrap,
            "client.id": f"{node}.reconcile",
            "group.id": f"{node}.reconcile",  # asked for by the client; nothing is ever committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "logger": logger,
        }
        self._reader = ck.Consumer(settings)
        self._entities: dict[TopicPartition, str] = {}
        self._counts: dict[str, int] = {}
        for entity in entities:
            topic = names.state(node, entity)
            try:
                found = self._reader.list_topics(topic, timeout=_TRANSACTION_SECONDS).topics[topic]
            except ck.KafkaException as failure:
                raise WorldFailure(f"the broker does not tell of topic {topic}: {failure.args[0].str()}") from failure
            if found.error is not None:
                raise WorldFailure(f"topic {topic} is not there: {found.error.str()}")
            self._counts[entity] = len(found.partitions)
            self._entities |= {(topic, partition): entity for partition in found.partitions}
        self._next: dict[TopicPartition, int] = {}

    def partitions(self, entity: str) -> int:
        """Claim, state and golden of an entity have as many."""
        return self._counts[entity]

    def read(self, comparisons: Mapping[str, Comparison]) -> None:
        """Tell the comparisons, by source, what has been written since."""
        # The ends with open transactions: of one that is being committed, the offsets may be seen before its records.
        ends = self._offsets.list_open_ends(list(self._entities))
        begins = self._offsets.list_begins(list(self._entities))
        for place, end in ends.items():
            start = max(self._next.get(place, 0), begins[place])
            if start >= end:
                continue
            self._reader.assign([ck.TopicPartition(*place, start)])
            for records in read_to(self._reader, place, end, PATIENCE_SECONDS):
                for record in records:
                    self._fold(record, self._entities[place], comparisons)
            self._next[place] = end

    def _fold(self, record: Record, entity: str, comparisons: Mapping[str, Comparison]) -> None:
        key = (record.key or b"").decode()
        if key.startswith("\x00"):
            self._sweep(record, key.partition("\x1f")[2], comparisons)
            return
        entity_key, source, row, mapping = key.split("\x1f")
        comparison = comparisons.get(source)
        if comparison is not None:
            claim = None if record.value is None else self._codec.claim(record.value, self._node)
            comparison.slot(SlotId(entity, entity_key, row, mapping), claim)

    def _sweep(self, record: Record, source: str, comparisons: Mapping[str, Comparison]) -> None:
        if record.value is not None and source in comparisons:
            datum = self._codec.decode(record.value)[1]
            comparisons[source].sweep((datum["epoch"], datum["phase"], datum["major"], datum["minor"], datum["sub"]))

    def close(self) -> None:
        self._reader.close()
        self._offsets.close()


class _Beats:
    """The beats of the department's stream, and how far its watermark at the golden records has got."""

    def __init__(self, bootstrap: str, client: Mapping[str, str] | None, department: Department, codec: Codec) -> None:
        self._department = department
        self._codec = codec
        self._tail = KafkaTail(bootstrap, f"{department.node}.reconcile", client=client)
        self._beat_topic = names.cdc(department, department.heartbeat_table)
        self._cut_topic = names.cut(department.node)
        self._cut_key = f"{department.id}\x1f{GOLDEN}".encode()
        self._beat: tuple[Position, int] | None = None
        self._passed: list[int] = []

    def start(self) -> None:
        self._tail.start((self._beat_topic, self._cut_topic), lambda topic: False)

    def written_after(self, at_ms: int) -> tuple[Position, int]:
        """Place and time of a beat that the database wrote after this time of its own."""
        self._wait(lambda: self._beat is not None and self._beat[1] > at_ms, Message("no beat of it comes from its stream"))
        assert self._beat is not None
        return self._beat

    def wait_passed(self, at_ms: int) -> None:
        """Until all that was committed before this time of the database's has been resolved.

        By the second watermark that says so: a broker ends a transaction partition by partition, so the ends that the first was measured
        by may have been short of records whose offsets were committed already.
        """
        self._wait(lambda: sum(passed > at_ms for passed in self._passed) > 1, Message("its watermark at the golden records does not pass"))
        self._passed.clear()

    def _wait(self, holds: Callable[[], bool], why: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise NotPassed(why)
            for record in self._tail.poll(0.2):
                self._read(record)

    def _read(self, record: Record) -> None:
        if record.value is None or (record.topic == self._cut_topic and record.key != self._cut_key):
            return
        try:
            _, datum = self._codec.decode(record.value)
        except Undecodable:
            return
        if record.topic == self._cut_topic:
            self._passed.append(datum["watermark_ms"])
            return
        after, origin = datum.get("after"), datum.get("source")
        if isinstance(after, dict) and isinstance(origin, dict) and origin.get("snapshot") in (None, "false"):
            try:
                self._beat = (read_position(origin, epoch_of(record), record.offset), beat_ms(after["beat_at"]))
            except Refused:
                return

    def close(self) -> None:
        self._tail.close()
