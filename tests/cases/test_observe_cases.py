"""Every case of observe/: beats, ends, progress and time; then watermarks, lag, the first blocked hop, alerts.

What a case may say stands in observe/README.md. It is the node's whole observer over a tail in memory, since an alert comes back to it as
a record that it reads.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sync_engine.model import names
from sync_engine.model.alert import TIER_LAG
from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.observe.lag import first_blocked
from sync_engine.runtime.exporter import Metrics
from sync_engine.runtime.log import TopicPartition
from sync_engine.runtime.observer import Observer
from sync_engine.topology import beat_topic, group_of
from tests.cases.casefile import ANY, Named, load, parameters
from tests.cases.network import ENTITY, declarations
from tests.fakes.codec import FakeCodec
from tests.fakes.lane import HandClock

STEP = {
    "at": ANY,
    "restart": True,
    "beats": Named(ANY),
    "statements": Named(Named(ANY)),
    "ends": Named(ANY),
    "read": Named(Named(ANY)),
    "parked": ANY,
    "dead": Named(ANY),
    "cleared": [ANY],
    "failed": [ANY],
    "held": [ANY],
    "released": [ANY],
    "lost": Named(ANY),
    "turns": ANY,
    "watermarks": Named(Named(ANY)),
    "lag": Named(Named([ANY])),
    "blocked": Named(ANY),
    "alerts": [ANY],
}
SHAPE = {"node": ANY, "steps": [STEP]}
BEGAN_MS = 1_700_000_000_000
"""When `at` is 0, by every clock."""


@pytest.mark.parametrize("file", parameters("observe"))
def test_the_case_holds(file: Path) -> None:
    case = load(file, SHAPE)
    world = World(case.get("node", "east"))
    for number, step in enumerate(case["steps"], start=1):
        where = f"{case['title']}: step {number}"
        world.take(step)
        assert world.alerts == step.get("alerts", []), where
        for source, told in step.get("watermarks", {}).items():
            found = {lag.place: seconds(lag.watermark_ms) for lag in world.lags(source)}
            assert {place: found[place] for place in told} == told, where
        for source, told in step.get("lag", {}).items():
            found_lag = {lag.place: [lag.state, lag.lag_seconds] for lag in world.lags(source)}
            assert {place: found_lag[place] for place in told} == told, where
        for source, place in step.get("blocked", {}).items():
            lags = {lag.place: lag for lag in world.lags(source)}
            assert first_blocked(lags, list(lags)) == place, where
        world.metrics_tell_nothing_unknown()


@cache
def codec() -> FakeCodec:
    return FakeCodec(declarations())


def seconds(ms: int | None) -> float | None:
    return None if ms is None else (ms - BEGAN_MS) / 1000


class FakeTail:
    """Every topic is one list; a new observer reads from the beginning what it asks to, and the rest from its end."""

    def __init__(self) -> None:
        self.topics: dict[str, list[Record]] = defaultdict(list)
        self.ended: dict[str, int] = defaultdict(int)
        self.progress: dict[str, dict[TopicPartition, int]] = defaultdict(dict)
        self._next: dict[str, int] = {}

    def start(self, observer: Observer) -> None:
        self._next = {topic: 0 if topic in observer.from_beginning else len(self.topics[topic]) for topic in observer.topics}

    def put(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self.topics[topic].append(Record(topic, 0, len(self.topics[topic]), key, value, (), 0))

    def poll(self, timeout_seconds: float) -> list[Record]:
        found = [record for topic, at in self._next.items() for record in self.topics[topic][at:]]
        self._next = {topic: len(self.topics[topic]) for topic in self._next}
        return found

    def write(self, emits: Sequence[Emit]) -> None:
        for emit in emits:
            self.put(emit.topic, emit.key, emit.value)

    def ends(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        return {(topic, 0): self.ended[topic] for topic in topics}

    def committed(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        return {partition: at for partition, at in self.progress[group].items() if partition[0] in topics}


class World:
    """One node's observer and all that it sees."""

    def __init__(self, node: str) -> None:
        self.node, self.tail, self.clock = node, FakeTail(), HandClock(BEGAN_MS)
        self.parked = 0
        self.failed: list[str] | None = None
        self.alerts: list[str] = []
        self._restart()

    def _restart(self) -> None:
        self.metrics = Metrics(self.node)
        self.observer = Observer(
            declarations(), self.node, self.tail, codec(), self.clock, self.metrics, self._incomplete, lambda: self.failed
        )
        self.tail.start(self.observer)

    def _incomplete(self, place: str) -> int:
        return self.parked if place.startswith("deliver.") else 0

    def lags(self, source: str) -> list[Any]:
        return self.observer.lags_of(source, self.clock.ms)

    def take(self, step: dict[str, Any]) -> None:
        self.clock.ms = BEGAN_MS + int(step["at"] * 1000)
        if "restart" in step:
            self._restart()
        self.parked = step.get("parked", self.parked)
        self.failed = step.get("failed", self.failed)
        for place, end in step.get("ends", {}).items():
            self.tail.ended[self._topic(place)] = end
        for stage, places in step.get("read", {}).items():
            self.tail.progress[group_of(self.node, stage)].update({(self._topic(place), 0): at for place, at in places.items()})
        for department, at in step.get("beats", {}).items():
            self._beat(department, at)
        for neighbour, statements in step.get("statements", {}).items():
            for source, at in statements.items():
                self._statement(neighbour, source, at)
        for letter, place in step.get("dead", {}).items():
            self._letter(letter, place)
        for letter in step.get("cleared", []):
            self.tail.put(names.dead(self.node), letter.encode(), None)
        for source in step.get("held", []):
            datum = {"source": source, "topic": self._topic(source), "letters": 51, "at_ms": self.clock.ms}
            self.tail.put(names.hold(self.node), source.encode(), codec().encode("sync.wire.Hold", datum))
        for source in step.get("released", []):
            self.tail.put(names.hold(self.node), source.encode(), None)
        for table, slots in step.get("lost", {}).items():
            datum = {"source": table, "missing": 0, "stale": 0, "surplus": slots, "healed": 0, "at_ms": self.clock.ms}
            self.tail.put(names.reconciled(self.node), table.encode(), codec().encode("sync.wire.Reconciled", datum))
        alerts = names.alert(self.node)
        known = len(self.tail.topics[alerts])
        for _ in range(step.get("turns", 4)):
            self.observer.turn(0)
        self.alerts = [alert_of(record.value) for record in self.tail.topics[alerts][known:]]

    def _topic(self, place: str) -> str:
        """The topic that a case calls claim, golden, by a department's name, or by a neighbour's."""
        own = {"claim": names.claim(self.node, ENTITY), "golden": names.golden(self.node, ENTITY)}
        if "/" in place:
            return names.cdc(declarations().departments[place], "db.people")
        return own.get(place) or names.edge(place, self.node, ENTITY)

    def _beat(self, department: str, at: float) -> None:
        beaten_ms = BEGAN_MS + int(at * 1000)
        change = {"op": "u", "source": {"snapshot": "false"}, "after": {"beat_at": beaten_ms * 1000}}
        self.tail.put(beat_topic(declarations().departments[department]), b"1", codec().encode_foreign("Beat", change))

    def _statement(self, neighbour: str, source: str, at: float) -> None:
        watermark_ms = BEGAN_MS + int(at * 1000)
        datum = {"source": source, "place": f"edge.{self.node}", "watermark_ms": watermark_ms, "at_ms": watermark_ms}
        self.tail.put(names.cut(neighbour), b"key", codec().encode("sync.wire.Cut", datum))

    def _letter(self, letter: str, place: str) -> None:
        topic = {"topic": self._topic(place), "partition": 0, "offset": 0, "key": None, "value": b"", "headers": []}
        datum = {"reason": "undecodable", "detail": "", "stage": "ingest", **topic, "at_ms": self.clock.ms}
        self.tail.put(names.dead(self.node), letter.encode(), codec().encode("sync.wire.Dead", datum))

    def metrics_tell_nothing_unknown(self) -> None:
        """A lag that is not known has no sample: never 0."""
        text = self.metrics.text().decode()
        for lag in self.observer.lags(self.clock.ms):
            sample = f'syncengine_lag_seconds{{node="{self.node}",place="{lag.place}",source="{lag.source}"}}'
            assert (sample in text) == (lag.lag_seconds is not None), sample


def alert_of(value: bytes | None) -> str:
    assert value is not None
    datum = codec().decode(value)[1]
    source = datum["labels"].get("subscriber") or datum["labels"]["source"] or "elsewhere"
    about = f" at {datum['labels']['hop']}" if datum["kind"] == TIER_LAG else f" {datum['kind'].replace('_', ' ')}"
    return f"firing {source}{about}" if datum["status"] == "firing" else f"resolved {source}{about if datum['kind'] != TIER_LAG else ''}"
