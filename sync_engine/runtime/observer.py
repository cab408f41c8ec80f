"""The node's observer: reads beats and neighbours' statements, takes cuts, writes cut.* and lag alerts. One thread, no group.

It loses nothing when it stops: watermarks come again with the next beat. The surprise: ends are taken after the beat was read, from the
broker, and progress is what the groups have committed, so any number of worker processes of the node may share the work.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sync_engine.ingest.capture import read_position
from sync_engine.ingest.stage import epoch_of
from sync_engine.ingest.values import Refused
from sync_engine.model import names
from sync_engine.model.alert import FIRING, Alert, addressed, alert_of
from sync_engine.model.claim import Position
from sync_engine.model.declaration import Declarations, Department
from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.model.stage import Codec, Undecodable
from sync_engine.observe.cuts import CLAIM, GOLDEN, Cuts
from sync_engine.observe.lag import Lag, Seen, first_blocked, is_dark, lag_of
from sync_engine.observe.letters import ELSEWHERE, Letters
from sync_engine.observe.reconcile import Losses
from sync_engine.observe.sweeps import Sweeps
from sync_engine.observe.watch import (
    GRACE_MS,
    Deliveries,
    LagWatch,
    brake_watch,
    captures_watch,
    dark_watch,
    letters_watch,
    lost_watch,
    subscribers_watch,
)
from sync_engine.runtime.exporter import Metrics
from sync_engine.runtime.log import TopicPartition
from sync_engine.topology import Hops


class Tail(Protocol):
    """Reads topics without a group, and writes outside any transaction (runtime/tail)."""

    def poll(self, timeout_seconds: float) -> list[Record]: ...

    def write(self, emits: Sequence[Emit]) -> None: ...

    def ends(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]: ...

    def committed(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, int]: ...


class Clock(Protocol):
    def now_ms(self) -> int: ...


class Observer:
    """`turn` is to be called again and again from one thread."""

    def __init__(
        self,
        declarations: Declarations,
        node: str,
        tail: Tail,
        codec: Codec,
        clock: Clock,
        metrics: Metrics,
        incomplete: Callable[[str], int],
        failed: Callable[[], Collection[str] | None] = lambda: None,
    ) -> None:
        """`incomplete(place)` = records parked before a place; what was put aside is counted here.

        `failed()` = departments whose capture has failed for long, None while nobody has looked.
        """
        self._declarations = declarations
        self._node = declarations.nodes[node]
        self._hops = Hops(declarations, node)
        self._tail = tail
        self._codec = codec
        self._clock = clock
        self._metrics = metrics
        self._incomplete = incomplete
        self._beat_topics = self._hops.beats()
        self._cut_topics = {names.cut(neighbour.name): neighbour.name for neighbour in self._hops.neighbours()}
        self._cuts = Cuts(self._hops.step_of)
        self._sweeps = Sweeps()
        self._beat_ms: dict[str, int] = {}
        self._moved_ms: dict[tuple[str, str], int] = {}
        captured = {names.cdc(each, source.table): each.id for each in declarations.departments_of(node) for source in each.sources}
        self._letters = Letters(captured)
        self._started_ms = started_ms = clock.now_ms()
        about = {department.id: _about(department) for department in declarations.departments.values()}
        self._watch = LagWatch(self._node, started_ms, about)
        self._letters_watch = letters_watch(self._node, started_ms, about)
        self._captures_watch = captures_watch(self._node, started_ms, about)
        self._dark_watch = dark_watch(self._node, started_ms, about)
        self._lost_watch = lost_watch(self._node, started_ms, about)
        self._brake_watch = brake_watch(self._node, started_ms, about)
        self._subscribers = {one.name: {"entity": one.entity} for one in declarations.subscribers_of(node)}
        self._subscribers_watch = subscribers_watch(self._node, started_ms, self._subscribers)
        self._watches = (
            self._watch,
            self._letters_watch,
            self._captures_watch,
            self._lost_watch,
            self._dark_watch,
            self._brake_watch,
            self._subscribers_watch,
        )
        self._held: set[str] = set()
        self._losses = Losses()
        self._failed = failed
        self._counted = (*sorted({*captured.values()}), ELSEWHERE)
        self._firing: dict[str, Alert] = {}
        self._objective = min(declarations.lag_objectives.values())
        self._deliveries = Deliveries(self._objective)
        self._sources = sorted(declarations.departments)
        self._own = [each.id for each in declarations.departments_of(node)]

    @property
    def topics(self) -> tuple[str, ...]:
        """What `Tail` must read: beats, the neighbours' cuts, and this node's own alerts, dead letters, holds and comparisons."""
        return (*self._beat_topics, *self._cut_topics, *self._own_topics)

    @property
    def _own_topics(self) -> tuple[str, ...]:
        return tuple(topic_of(self._node.name) for topic_of in (names.alert, names.dead, names.hold, names.reconciled))

    def watermark(self, source: str) -> int | None:
        """W of the department of a source at this node's golden records; for the case stage. Safe from another thread."""
        declared = self._declarations.sources.get(source)
        return None if declared is None else self._cuts.watermarks.get((f"{declared.node}/{_department(source)}", GOLDEN))

    @property
    def firing(self) -> Sequence[Alert]:
        return tuple(self._firing.values())

    def turn(self, timeout_seconds: float) -> None:
        """Read what has come, move the cuts, write what has passed, judge the lag. Raises WorldFailure while the broker does not answer."""
        for record in self._tail.poll(timeout_seconds):
            self._read(record)
        # One at least, although nothing is under way: to poll a broker that is away looks like nothing to read.
        ends = self._tail.ends(sorted({*self._cuts.topics_wanted(), names.alert(self._node.name)}))
        progress = {group: self._tail.committed(group, sorted(topics)) for group, topics in self._cuts.groups_wanted().items()}
        now_ms = self._clock.now_ms()
        emits = []
        for passed in self._cuts.advance(ends, lambda group: progress.get(group, {})):
            self._moved_ms[passed.source, passed.place] = now_ms
            if passed.place == CLAIM and (position := self._sweeps.passed(passed.source, passed.watermark_ms)) is not None:
                emits.extend(self._sweep(passed.source, position))
            datum = {"source": passed.source, "place": passed.place, "watermark_ms": passed.watermark_ms, "at_ms": now_ms}
            key = f"{passed.source}\x1f{passed.place}".encode()
            emits.append(Emit(names.cut(self._node.name), key, self._codec.encode("sync.wire.Cut", datum)))
        emits.extend(self._judge(now_ms))
        if emits:
            self._tail.write(emits)

    @property
    def from_beginning(self) -> frozenset[str]:
        """Topics to be read from their beginning: what fires, is put aside, is held, was lost, and snapshots that ended unseen."""
        return frozenset({*self._own_topics, *self._beat_topics})

    def _read(self, record: Record) -> None:
        if record.topic == names.hold(self._node.name):
            source = (record.key or b"").decode(errors="replace")
            self._held.discard(source) if record.value is None else self._held.add(source)
            return
        is_letter = record.topic == names.dead(self._node.name)
        if record.value is None:
            if is_letter:
                self._letters.read(record.key or b"", None)
            return
        try:
            _, datum = self._codec.decode(record.value)
        except Undecodable:
            return  # a beat that cannot be read is a beat that is missing: the source goes dark and says so
        if is_letter:
            self._letters.read(record.key or b"", datum["topic"])
        elif record.topic == names.reconciled(self._node.name):
            self._compared(record, datum)
        elif record.topic in self._cut_topics:
            if datum["place"] == f"edge.{self._node.name}" and datum["source"] in self._declarations.departments:
                self._heard(datum["source"], datum["watermark_ms"])
        elif record.topic in self._beat_topics:
            self._beat(self._beat_topics[record.topic], record, datum)
        else:
            self._alert(datum)

    def _beat(self, source: str, record: Record, change: Mapping[str, Any]) -> None:
        after, origin = change.get("after"), change.get("source")
        if not isinstance(after, dict) or not isinstance(origin, dict):
            return
        if origin.get("snapshot") in (None, "false"):
            watermark_ms = beat_ms(after["beat_at"])
            self._sweeps.beat(source, watermark_ms)
            self._heard(source, watermark_ms)
        elif origin["snapshot"] != "incremental":
            # A beat out of a snapshot is as old as the row; what it tells is where the snapshot stands.
            try:
                self._sweeps.snapshot_read(source, read_position(origin, epoch_of(record), record.offset))
            except Refused:
                return

    def _compared(self, record: Record, datum: Mapping[str, Any]) -> None:
        """A comparison of a table of this node with its slots."""
        department = self._losses.read(datum)
        if department not in self._own:
            return
        for kind, slots in self._losses.count(department).items():
            self._metrics.lost(department, kind, slots)
        if record.timestamp_ms >= self._started_ms:  # what came before was counted when it came
            self._metrics.healed(department, datum["healed"])

    def _sweep(self, source: str, position: Position) -> list[Emit]:
        """Sweeps of all the department's tables, into every partition of what they feed."""
        emits: list[Emit] = []
        for declared in self._declarations.departments[source].sources:
            datum = {"source": declared.id, **dict(zip(("epoch", "phase", "major", "minor", "sub"), position, strict=True))}
            value = self._codec.encode("sync.wire.Sweep", datum)
            for entity in sorted({mapping.entity for mapping in declared.mappings}):
                partitions = range(self._declarations.topics["claim"].partitions)
                emits.extend(Emit(names.claim(self._node.name, entity), None, value, partition) for partition in partitions)
        return emits

    def _heard(self, source: str, watermark_ms: int) -> None:
        self._beat_ms[source] = self._clock.now_ms()
        self._metrics.beat(source, self._beat_ms[source])
        self._cuts.begin(source, CLAIM, watermark_ms)

    def _alert(self, datum: Mapping[str, object]) -> None:
        alert = alert_of(datum)
        if alert.status == FIRING:
            self._firing[alert.id] = alert
        else:
            self._firing.pop(alert.id, None)
        for watch in self._watches:
            watch.recall(alert)
        for kind in {alert.kind, *(other.kind for other in self._firing.values())}:
            self._metrics.alerts(kind, sum(other.kind == kind for other in self._firing.values()))

    def _judge(self, now_ms: int) -> list[Emit]:
        judged = []
        by_place: list[Mapping[str, Lag]] = []
        for source in self._sources:
            lags = {lag.place: lag for lag in self.lags_of(source, now_ms)}
            by_place.append(lags)
            for lag in lags.values():
                self._metrics.lag(lag)
            judged.append((lags[GOLDEN], first_blocked(lags, list(lags))))
        standing = {source: self._letters.count(source) for source in self._counted}
        for source, count in standing.items():
            self._metrics.letters(source, count)
        failed = self._failed()
        captures = {} if failed is None else {source: source in failed for source in self._own}
        alerts = (
            *self._watch.judge(judged, now_ms),
            *self._letters_watch.judge({source: count > 0 for source, count in standing.items()}, now_ms),
            *self._captures_watch.judge(captures, now_ms),
            *self._lost_watch.judge({source: any(self._losses.count(source).values()) for source in self._own}, now_ms),
            *self._dark_watch.judge(self._dark(now_ms), now_ms),
            *self._brake_watch.judge({source: source in self._held for source in self._own}, now_ms),
            *self._subscribers_watch.judge(self._late(by_place, now_ms), now_ms),
        )
        topic, departments = names.alert(self._node.name), self._declarations.departments
        told = [addressed(alert, [alert.labels.get("source", "")], departments) for alert in alerts]
        return [Emit(topic, alert.id.encode(), self._codec.encode("sync.wire.Alert", alert.datum())) for alert in told]

    def _dark(self, now_ms: int) -> dict[str, bool]:
        """Whether a source of this node is dark; one that was never heard of is not asked about soon after the start."""
        too_early = now_ms - self._started_ms < GRACE_MS
        heard = {source: self._beat_ms.get(source) for source in self._own}
        return {source: is_dark(beat, now_ms) for source, beat in heard.items() if beat is not None or not too_early}

    def _late(self, by_place: Sequence[Mapping[str, Lag]], now_ms: int) -> dict[str, bool]:
        """Whether a subscriber of this node lags by its own doing."""
        places = {subscriber: f"deliver.{subscriber}" for subscriber in self._subscribers}
        return {
            subscriber: self._deliveries.is_late(
                subscriber, self._incomplete(place), [(lags[GOLDEN], lags[place]) for lags in by_place], now_ms
            )
            for subscriber, place in places.items()
        }

    def lags_of(self, source: str, now_ms: int) -> list[Lag]:
        """The lag of a department at every place of this node, in flow order."""
        beat = self._beat_ms.get(source)
        lags = []
        for place in self._hops.places(source):
            seen = Seen(self._cuts.watermarks.get((source, place)), self._moved_ms.get((source, place)))
            incomplete = self._incomplete(place) + self._letters.count(source)
            lags.append(lag_of(source, place, seen, beat, self._objective, incomplete, now_ms, is_held=source in self._held))
        return lags

    def lags(self, now_ms: int) -> list[Lag]:
        return [lag for source in self._sources for lag in self.lags_of(source, now_ms)]


def _about(department: Department) -> dict[str, str]:
    """Labels: which department it is, and the entities that it feeds: its lag is theirs."""
    return {"department": department.name, "entity": ",".join(department.entities)}


def _department(source: str) -> str:
    return source.split("/")[1]


def beat_ms(value: object) -> int:
    """Milliseconds of a timestamptz as Debezium writes it: ISO 8601 text (ZonedTimestamp), or micro- or milliseconds."""
    if isinstance(value, int):
        return value // 1000 if value > 10**14 else value
    return int(datetime.fromisoformat(str(value)).timestamp() * 1000)
