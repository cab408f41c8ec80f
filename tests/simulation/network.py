"""All lanes of all nodes in one thread, on one broker and one clock. Every choice comes from the seed, so that a seed is a history.

A turn of a lane may be told to meet something at its n-th step: to die there, to meet bad weather, to be frozen while its partitions become
another's, or to wait while others go on. What a dead process leaves open in the broker stays open until its session is over.
"""

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import structlog

from sync_engine import declared
from sync_engine.deliver.stage import DeliverStage
from sync_engine.ingest.stage import IngestStage
from sync_engine.model import names
from sync_engine.model.declaration import Declarations
from sync_engine.model.outcome import DeadLetter
from sync_engine.model.stage import Answer, Request, Stage
from sync_engine.runtime.holds import Holds
from sync_engine.runtime.log import Log, MustRestart, WorldFailure
from sync_engine.runtime.loop import BatchLoop
from sync_engine.topology import group_of, stages_of
from tests.e2e.journal import Journal
from tests.fakes.codec import FakeCodec
from tests.fakes.lane import HandClock
from tests.fakes.log import FakeBroker, FakeLog, Fate
from tests.oracle.rows import read_network
from tests.simulation.departments import Table, tables
from tests.simulation.faults import NO_WEATHER, Died, Disk, SteppedLog
from tests.simulation.subscriber import Platform

HERE = Path(__file__).parent / "declarations"
ORACLE = read_network(HERE)
GENERATION = 1
DRAIN_ROUNDS = 400
FAULTS = ("die", "die", "die", "weather", "freeze", "wait", "abort", "unknown_committed", "unknown_aborted", "open")
AT_COMMIT = {
    "abort": Fate.ABORTED,
    "unknown_committed": Fate.UNKNOWN_COMMITTED,
    "unknown_aborted": Fate.UNKNOWN_ABORTED,
    "open": Fate.OPEN,
}
logging.getLogger("sync_engine").setLevel(logging.CRITICAL)
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@cache
def declarations() -> Declarations:
    found, faults = declared.inspect(HERE)
    assert all(fault.file.startswith("topics") for fault in faults), faults  # these are the shipped ones
    return replace(found, topics=declared.read().topics)


@cache
def codec() -> FakeCodec:
    return FakeCodec(declarations())


@dataclass(frozen=True)
class Engine:
    """What is simulated. A test that breaks it replaces a part."""

    new_loop: Callable[..., BatchLoop] = BatchLoop
    new_log: Callable[..., Log] = SteppedLog
    stage: Callable[[Stage], Stage] = lambda stage: stage


class Letters:
    """The loop's watch: dead letters of bugs are bugs."""

    def __init__(self, settle: Callable[[], None]) -> None:
        self._settle = settle
        self.bugs: list[str] = []

    def committed(self, stage: str, records: int, emits: int, letters: Sequence[DeadLetter]) -> None:
        self._settle()
        self.bugs += [f"{stage}: {letter.detail}" for letter in letters if letter.reason.value == "bug"]

    def aborted(self, stage: str) -> None:
        return

    def restored(self, stage: str, records: int) -> None:
        return


@dataclass(eq=False)
class Lane:
    """One member of a stage's group: a process, its disk, and what is to befall it."""

    network: "Network"
    node: str
    stage: str
    instance: int
    disks: dict[int, Disk] = field(default_factory=dict)
    loop: BatchLoop | None = None
    log: FakeLog | None = None
    fault: str | None = None
    steps_left: int = 0
    step: str = ""
    is_busy: bool = False
    received: dict[str, int] = field(default_factory=dict)
    """Delivered in the turn that goes on."""

    @property
    def name(self) -> str:
        return f"{self.node}.{self.stage}.{self.instance}"

    def turn(self, fault: str | None, at: int) -> int:
        """One turn, in which `fault` comes at the step `at`. Returns how many records were decided."""
        self.fault, self.steps_left, self.is_busy, self.received = fault, at, True, {}
        try:
            if self.loop is None:
                self._start()
            assert self.loop is not None
            return self.loop.run_once(0.0)
        except WorldFailure:
            return 0
        except (Died, MustRestart):
            self.die()
            return 0
        finally:
            self.is_busy, self.fault = False, None

    def die(self) -> None:
        """The process is gone: its disk has what it has, the broker learns of it when the session is over."""
        for disk in self.disks.values():
            disk.reach = lambda step: None
            disk.killed()
        if self.log is not None:
            self.network.expire_later(self.log)
        self.loop = self.log = None

    def stop(self) -> None:
        """SIGTERM, between two turns."""
        if self.loop is not None:
            self.loop.close()
        self.loop = self.log = None

    def _start(self) -> None:
        network, group = self.network, group_of(self.node, self.stage)
        log = FakeLog(network.broker, group, f"{group}.{self.instance}")  # fences what it left open
        self.log = log
        stages = stages_of(declarations(), self.node, GENERATION, codec, lambda source: network.clock.ms)
        stage = network.engine.stage(next(stage for stage in stages if stage.name == self.stage))
        self.loop = network.engine.new_loop(
            self.node,
            stage,
            network.engine.new_log(log, self._reach),
            codec(),
            self._open,
            network.clock,
            network.watch_of(self),
            perform=self._perform if isinstance(stage, DeliverStage) else None,
            holds=Holds(self.node, stage.captured, codec()) if isinstance(stage, IngestStage) else None,
            batch_records=network.chance.choice((1, 3, 1_000)),
            remembered_states=network.chance.choice((0, 4, 1_000)),
        )
        self.loop.start()

    def _open(self, partition: int) -> Disk:
        disk = self.disks.setdefault(partition, Disk(self.network.chance))
        disk.reach = self._reach
        return disk

    def _perform(self, requests: Sequence[Request]) -> Sequence[Answer]:
        if self.fault is None and self.network.chance.random() < self.network.storm:
            self.fault, self.steps_left = "die", self.network.chance.choice((1, 2, 3))  # few turns deliver anything: it is to be met
        self._reach("asking")
        answers, received = self.network.platform.take(requests)
        self.received |= received
        self._reach("asked")
        return answers

    def _reach(self, step: str) -> Fate | None:
        self.step = step
        if self.fault is None:
            return None
        self.steps_left -= 1
        if self.steps_left > 0 or (self.fault in AT_COMMIT and step != "commit"):
            return None
        fault, self.fault = self.fault, None
        if self.network.chance.random() < 0.3:
            self.fault, self.steps_left = "die", self.network.chance.randrange(1, 4)  # a misfortune seldom comes alone
        self.network.met[f"{fault} at {step}"] = self.network.met.get(f"{fault} at {step}", 0) + 1
        if fault == "die":
            raise Died
        if fault == "weather" and step not in NO_WEATHER:
            raise WorldFailure("as the seed wants it")
        if fault == "freeze" and step == "commit" and self.log is not None:
            self.network.freeze(self.log)
        if fault in ("freeze", "wait") and step in ("commit", "committed", "asked"):
            self.network.others_go_on()
        return AT_COMMIT.get(fault)


class Network:
    """`run` is the history of the seed; what it came to is for the judge."""

    def __init__(self, seed: int, engine: Engine) -> None:
        self.chance, self.engine = random.Random(seed), engine
        self.clock, self.broker = HandClock(1_700_000_000_000), FakeBroker(patience_seconds=0.0)
        self.platform = Platform(self.chance)
        self.journal = Journal(ORACLE)
        self.tables: list[Table] = tables(declarations(), codec(), self.broker, self.journal, self.chance)
        self.met: dict[str, int] = {}
        self.bugs: list[str] = []
        self._dying: list[tuple[int, FakeLog]] = []
        self._depth = 0
        self._turns = 0
        self.storm = 0.0
        """How likely a turn has a fault."""
        self.lanes: list[Lane] = []
        self._make_topics_and_lanes()

    def _make_topics_and_lanes(self) -> None:
        for node in declarations().nodes:
            for stage in stages_of(declarations(), node, GENERATION, codec, lambda source: None):
                self.lanes.append(Lane(self, node, stage.name, 0))
                for topic in (*stage.inputs, *stage.changelogs):
                    self.broker.create(topic, 1 if stage.name == "ingest" and topic not in self._edges(node) else 2)
            for topic in (names.dead(node), names.alert(node), names.receipt(node), names.hold(node)):
                self.broker.create(topic)
            for topic in self._edges(node):
                self.broker.create(topic, 2)

    def _edges(self, node: str) -> set[str]:
        neighbours = declarations().neighbours(node)
        return {
            names.edge(*ends, entity)
            for entity in declarations().entities
            for other in neighbours
            for ends in ((node, other.name), (other.name, node))
        }

    def watch_of(self, lane: Lane) -> Letters:
        watch = Letters(lambda: self.platform.settle(lane.received))
        watch.bugs = self.bugs
        return watch

    # --- the history ---

    def run(self) -> None:
        for table in self.tables:
            table.begin()
        self.storm = self.chance.choice((0.02, 0.1, 0.3))
        for _ in range(self.chance.randrange(60, 140)):
            self.clock.ms += self.chance.choice((1, 5, 50, 300, 2_000))
            self._expire(False)
            roll = self.chance.random()
            if roll < 0.25:
                self.chance.choice(self.tables).happens(self.clock.ms)
            elif roll < 0.30:
                self._members_change()
            else:
                self._turn(self._some_lane(), self.storm)
        self.storm = 0.0
        self._drain()

    def _turn(self, lane: Lane, storm: float) -> int:
        if lane.is_busy:
            return 0
        self._turns += 1
        fault = self.chance.choice(FAULTS) if self.chance.random() < storm else None
        return lane.turn(fault, self.chance.randrange(1, 14) if fault else 0)

    def _some_lane(self) -> Lane:
        """The one stage that touches the world gets more turns than its number."""
        delivering = [lane for lane in self.lanes if lane.stage.startswith("deliver.")]
        return self.chance.choice(delivering if delivering and self.chance.random() < 0.2 else self.lanes)

    def _members_change(self) -> None:
        lane = self.chance.choice(self.lanes)
        if lane.instance:
            lane.stop()
            self.lanes.remove(lane)
        elif self.chance.random() < 0.3:
            lane.stop() if self.chance.random() < 0.5 else lane.die()
            lane.disks.clear()  # its machine is another
        elif not any(other.node == lane.node and other.stage == lane.stage and other.instance for other in self.lanes):
            self.lanes.append(Lane(self, lane.node, lane.stage, 1))

    def expire_later(self, log: FakeLog) -> None:
        self._dying.append((self._turns + self.chance.randrange(20), log))

    def freeze(self, log: FakeLog) -> None:
        if log in self.broker.group(log.group).members:
            self.broker.throw_out(log)

    def others_go_on(self) -> None:
        """In the middle of a lane's step; no deeper than that."""
        if self._depth:
            return
        self._depth += 1
        for _ in range(self.chance.randrange(1, 12)):
            if self.chance.random() < 0.3:
                self.chance.choice(self.tables).happens(self.clock.ms)
            self._turn(self._some_lane(), 0.05)
        self._depth -= 1

    def _expire(self, all_of_them: bool) -> None:
        for due, log in list(self._dying):
            if all_of_them or due <= self._turns:
                self._dying.remove((due, log))
                self.freeze(log)
                if log.transaction is not None:
                    log.transaction.end(False)

    def _drain(self) -> None:
        """Everybody is well, until nothing is left to do."""
        for table in self.tables:
            table.end()
        self.platform.fails = False
        rounds_at_rest, is_all_due = 0, False
        for _ in range(DRAIN_ROUNDS):
            self._expire(True)
            self.clock.ms += 500
            for lane in self.lanes:
                self._turn(lane, 0.0)
            rounds_at_rest = 0 if self._is_behind() else rounds_at_rest + 1
            if rounds_at_rest == 2 and is_all_due:
                return
            if rounds_at_rest == 2:
                rounds_at_rest, is_all_due = 0, True
                self.clock.ms += 4_000_000  # a record that is parked, a case that settles
        raise AssertionError(f"the network never comes to rest: {list(self._behind())[:3]}")

    def _is_behind(self) -> bool:
        return next(self._behind(), None) is not None

    def _behind(self) -> Iterator[str]:
        """What has not been read to its end, or is not delivered yet."""
        for lane in self.lanes:
            if lane.loop is None:
                yield f"{lane.name} does not run"
                continue
            stage = lane.loop.stage
            if isinstance(stage, DeliverStage) and stage.parked():
                yield f"{lane.name} has records parked"
            committed = self.broker.group(group_of(lane.node, lane.stage)).committed
            for topic in stage.inputs:
                for number, partition in enumerate(self.broker.topics[topic]):
                    if committed.get((topic, number), 0) < len(partition.entries):
                        yield f"{lane.name} has not read {topic}/{number}"
