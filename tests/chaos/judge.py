"""Whether a run lost or overwrote anything: its logs against the oracle, and what workers keep on disk against the logs.

A partition is decided record by record, whoever died meanwhile; so the whole golden log of a key follows from its claims in their order,
not only its end. The surprise: a sweep takes a while, so a test that feeds one must feed nothing more until it is done.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import msgspec

from sync_engine.model.avro import claim_of_datum, golden_of_datum
from sync_engine.model.claim import Kind
from sync_engine.model.record import Record
from sync_engine.model.stage import Codec
from sync_engine.resolve.decide import RecordState
from sync_engine.resolve.stage import SWEEP_PREFIX, State
from sync_engine.runtime.store import RocksStore
from tests.chaos.catalogue import CLASSES, ENTITY
from tests.chaos.world import PATIENCE_SECONDS, World
from tests.oracle.claims import Claim, Content, Position, Sweep, canonical, content_of, digest, finding_id, findings_of, slot_name, stamp_of

GENERATION = 1 << 40
NAME = ENTITY["entity"]


@dataclass(frozen=True)
class Logs:
    """What a reader of committed records sees of a node, in the order of each partition."""

    claims: list[Record]
    state: list[Record]
    golden: list[Record]
    edge: list[Record]
    finding: list[Record]
    dead: list[Record]


def assert_nothing_is_lost(world: World, dead: int = 0) -> Logs:
    """Wait until all is decided, stop the workers, and judge. `dead`: how many claims were put aside, and rightly."""
    world.drained()
    stopped = world.stop()
    logs = read_logs(world)
    assert len(logs.claims) == world.fed, "the feeding itself lost something"
    assert len(logs.dead) == dead, [world.codec.decode(letter.value or b"")[1]["reason"] for letter in logs.dead]
    assert_logs_are_the_oracles(logs, world.codec)
    partitions: set[int] = set()
    for worker in stopped:
        partitions |= worker.partitions
        for partition in worker.partitions:
            assert_store_is_the_logs(worker.folder / str(partition), partition, logs, world.codec)
    assert partitions == set(range(world.partitions)), "somebody has every partition in the end"
    return logs


# --- the logs ---


@dataclass
class Told:
    """What a key's record was told, by docs/merge.md: its claims and sweeps, what was news among them, what it was after each."""

    claims: list[Claim] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    news: list[bytes] = field(default_factory=list)
    contents: list[Content] = field(default_factory=list)

    def hear(self, key: str, claim: Claim, value: bytes) -> None:
        of_slot = [stamp_of(one) for one in self.claims if slot_name(one) == slot_name(claim)]
        if not of_slot or stamp_of(claim) > max(of_slot):
            self.news.append(value)
        self.claims.append(claim)
        self._note(key)

    def sweep(self, key: str, sweep: Sweep) -> None:
        self.sweeps.append(sweep)
        self._note(key)

    def _note(self, key: str) -> None:
        content = content_of(ENTITY, CLASSES.__getitem__, key, self.claims, self.sweeps)
        if content is not None and content not in self.contents[-1:]:
            self.contents.append(content)

    def findings(self, key: str) -> set[str]:
        return {finding_id(NAME, key, one) for one in findings_of(ENTITY, CLASSES.__getitem__, key, self.claims, self.sweeps)}


def told_of(logs: Logs, codec: Codec) -> dict[str, Told]:
    """By key, from the log of claims; without what is in the dead letters."""
    aside = {(letter["partition"], letter["offset"]) for letter in (codec.decode(record.value or b"")[1] for record in logs.dead)}
    keys: dict[int, dict[str, Told]] = defaultdict(lambda: defaultdict(Told))
    for record in by_place(logs.claims):
        if (record.partition, record.offset) in aside:
            continue
        name, datum = codec.decode(record.value or b"")
        if name == "sync.wire.Sweep":
            for key, told in keys[record.partition].items():
                told.sweep(key, (datum["source"], position_of(datum)))
        else:
            key = (record.key or b"").decode()
            keys[record.partition][key].hear(key, plain_of(datum), record.value or b"")
    return {key: told for of_partition in keys.values() for key, told in of_partition.items()}


def assert_logs_are_the_oracles(logs: Logs, codec: Codec) -> None:
    everything = told_of(logs, codec)
    golden = goldens_by_key(logs.golden, codec)
    lost, unowed = everything.keys() - golden.keys(), golden.keys() - everything.keys()
    assert not lost, f"records that are missing: {sorted(lost)}"
    assert not unowed, f"records that nobody spoke of: {sorted(unowed)}"
    for key, told in everything.items():
        versions = [one.version - GENERATION for one in golden[key]]
        assert versions == list(range(1, len(versions) + 1)), f"{key} has the versions {versions}"
        contents = [one.content.canonical() for one in golden[key]]
        assert contents == [canonical(content) for content in told.contents], f"the versions of {key}"
        assert [one.digest for one in golden[key]] == [digest(content) for content in told.contents]
    assert_state_is_what_was_news(logs, codec, {key: told.news for key, told in everything.items()})
    standing = standing_findings(logs.finding, codec)
    for key, told in everything.items():
        assert standing[key] == told.findings(key), f"findings of {key}"


def assert_state_is_what_was_news(logs: Logs, codec: Codec, news: dict[str, list[bytes]]) -> None:
    """Claims as they came, in their order, and once each what a sweep ended; to the neighbour the same."""
    passed: dict[str, list[bytes]] = defaultdict(list)
    swept = set()
    slots = [record for record in by_place(logs.state) if not (record.key or b"").startswith(SWEEP_PREFIX)]
    for record in slots:
        datum = codec.decode(record.value or b"")[1]
        if datum["floor"] is None:
            passed[(record.key or b"").split(b"\x1f")[0].decode()].append(record.value or b"")
        else:
            mark = (record.key, *datum["floor"].values())
            assert mark not in swept, f"{record.key!r} was swept twice"
            swept.add(mark)
    assert passed == news, "the state log is not the claims that were news, in their order"
    assert [(one.partition, one.key, one.value) for one in by_place(logs.edge)] == [(one.partition, one.key, one.value) for one in slots]


def plain_of(datum: dict[str, Any]) -> Claim:
    """The oracle's claim of a complete one."""
    cells: dict[str, Any] = {item: {"value": value} for item, value in datum["items"].items() if value is not None}
    cells |= dict.fromkeys(datum["nulls"], "null")
    assert not datum["unchanged"]
    claim = {name: datum[name] for name in ("source", "row", "mapping", "kind", "moved_to")}
    assert claim["kind"] in {kind.name.lower() for kind in Kind}
    return {**claim, "position": position_of(datum), "cells": cells}


def position_of(datum: dict[str, Any]) -> Position:
    epoch, phase, major, minor, sub = (datum[name] for name in ("epoch", "phase", "major", "minor", "sub"))
    return (epoch, phase, major, minor, sub)


def goldens_by_key(records: Iterable[Record], codec: Codec) -> dict[str, list[Any]]:
    found = defaultdict(list)
    for record in records:
        assert record.key is not None
        key = record.key.decode()
        found[key].append(golden_of_datum(NAME, key, codec.decode(record.value or b"")[1]))
    return found


def by_place(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (record.partition, record.offset))


def standing_findings(records: Iterable[Record], codec: Codec) -> dict[str, set[str]]:
    standing: dict[str, set[str]] = defaultdict(set)
    for record in records:
        datum = codec.decode(record.value or b"")[1]
        ids = standing[datum["key"]]
        assert (datum["id"] in ids) != datum["standing"], f"a finding of {datum['key']} was raised twice, or cleared without standing"
        (ids.add if datum["standing"] else ids.discard)(datum["id"])
    return standing


# --- the local stores ---


def assert_store_is_the_logs(path: Path, partition: int, logs: Logs, codec: Codec) -> None:
    kept = {key: state for key, state in stored(path).items() if not key.startswith(SWEEP_PREFIX)}
    expected = folded(partition, logs, codec)
    assert kept.keys() == expected.keys(), f"{path}: {sorted(kept.keys() ^ expected.keys())[:3]} are kept or missing"
    for key, state in kept.items():
        record = state.record
        assert record is not None
        slots = sorted(record.slots, key=lambda slot: slot.slot)
        held = RecordState(slots, record.version, record.digest, record.life_cycle, record.jurisdiction, record.left)
        assert held == expected[key], f"{path}: {key!r} is\n{held}\nand in the logs\n{expected[key]}"


def stored(path: Path) -> dict[bytes, State]:
    store = RocksStore(path)
    try:
        return {key: msgspec.msgpack.decode(value, type=State) for key, value in store.scan(b"", 1_000_000)}
    finally:
        store.close()


def folded(partition: int, logs: Logs, codec: Codec) -> dict[bytes, RecordState]:
    """What the newest state record of every slot and the newest golden record of every key say."""
    slots: dict[bytes, dict[bytes, Any]] = defaultdict(dict)
    for record in logs.state:
        assert record.key is not None
        if record.partition == partition and not record.key.startswith(SWEEP_PREFIX):
            path = dict(record.headers).get("path", b"").decode() or record.topic.split(".")[0]
            slots[record.key.split(b"\x1f")[0]][record.key] = claim_of_datum(codec.decode(record.value or b"")[1], path)
    found = {}
    for key, golden in goldens_by_key((one for one in logs.golden if one.partition == partition), codec).items():
        last = golden[-1]
        held = sorted(slots[key.encode()].values(), key=lambda slot: slot.slot)
        content = last.content
        found[key.encode()] = RecordState(held, last.version, last.digest, content.life_cycle, content.jurisdiction, last.left)
    return found


# --- reading ---


def read_logs(world: World) -> Logs:
    topics = (world.claims, world.state, world.golden, world.edge, world.finding, world.dead)
    records = read_all(world, topics)
    return Logs(*(records[topic] for topic in topics))


def read_all(world: World, topics: Sequence[str]) -> dict[str, list[Record]]:
    """All committed records of the topics.

    To the ends with open transactions: a commit is known to its writer before its markers are written, and is visible only then.
    """
    consumer = ck.Consumer(
        {
            "bootstrap.servers": world.bootstrap,
            "group.id": "judge",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        }
    )
    found: dict[str, list[Record]] = {topic: [] for topic in topics}
    try:
        metadata = consumer.list_topics(timeout=PATIENCE_SECONDS).topics
        ends = world.offsets.list_open_ends([(topic, partition) for topic in topics for partition in metadata[topic].partitions])
        consumer.assign([ck.TopicPartition(*place, ck.OFFSET_BEGINNING) for place in ends])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while ends:
            assert time.monotonic() < deadline, f"not read within {PATIENCE_SECONDS:g} s: {ends}"
            for message in consumer.consume(2_000, 0.1):
                if message.error() is None:
                    found[message.topic()].append(_record(message))
                elif message.error().code() == ck.KafkaError._PARTITION_EOF:
                    place = (message.topic(), message.partition())
                    if message.offset() >= ends.get(place, message.offset() + 1):  # an end may be reported again
                        del ends[place]
    finally:
        consumer.close()
    return found


def _record(message: Any) -> Record:
    place = (message.topic(), message.partition(), message.offset())
    return Record(*place, message.key(), message.value(), message.headers() or (), message.timestamp()[1])
