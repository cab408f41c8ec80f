"""A batch whose first outputs go to the log while the rest is decided, in the engine's own loop over Kafka in memory."""

from collections.abc import Callable, Sequence

import pytest

from sync_engine.model.outcome import DeadLetter, Emit
from sync_engine.model.record import Record
from sync_engine.model.stage import Answer, Output, Request, Stateless, View
from sync_engine.runtime.log import WorldFailure
from sync_engine.runtime.loop import BatchLoop
from sync_engine.runtime.store import MemoryStore
from tests.cases.network import declarations
from tests.fakes.codec import FakeCodec
from tests.fakes.lane import HandClock
from tests.fakes.log import FakeBroker, FakeLog, Fate

AHEAD = 3


class Passing(Stateless):
    """Every record goes to `out`; `before` is called first, and may fail."""

    name = "passing"
    inputs = ("in",)

    def __init__(self, before: Callable[[bytes], None]) -> None:
        self._before = before

    def decide(self, record: Record, view: View, now_ms: int) -> Sequence[Output]:
        self._before(record.value or b"")
        return [Emit("out", b"k", record.value, 0)]


class Told:
    def __init__(self) -> None:
        self.emits: list[int] = []
        self.aborts = 0

    def committed(self, stage: str, records: int, emits: int, letters: Sequence[DeadLetter]) -> None:
        self.emits.append(emits)

    def aborted(self, stage: str) -> None:
        self.aborts += 1

    def restored(self, stage: str, records: int) -> None:
        return


class World:
    def __init__(self) -> None:
        self.broker, self.told = FakeBroker(), Told()
        for topic in ("in", "out", "n.dead"):
            self.broker.create(topic)
        for number in range(8):
            self.broker.put("in", b"k", b"%d" % number)
        self.log = FakeLog(self.broker, "n.passing", "0")
        self.written_before: list[int] = []
        """How many records had been written when each was decided."""
        self.weather = False

    def before(self, value: bytes) -> None:
        self.written_before.append(len(self.broker.topics["out"][0].entries))
        if self.weather and value == b"7":
            raise WorldFailure("as the test wants it")

    def loop(self, perform: Callable[[Sequence[Request]], Sequence[Answer]] | None = None) -> BatchLoop:
        stage, codec = Passing(self.before), FakeCodec(declarations())
        loop = BatchLoop("n", stage, self.log, codec, lambda _: MemoryStore(), HandClock(), self.told, perform=perform, ahead_records=AHEAD)
        loop.start()
        return loop

    def seen(self) -> list[bytes | None]:
        return [record.value for record in self.broker.records("out")]


def test_the_first_outputs_are_written_while_the_rest_is_decided() -> None:
    world = World()
    assert world.loop().run_once() == 8
    assert world.written_before == [0, 0, 0, 3, 3, 3, 6, 6]
    assert world.seen() == [b"%d" % number for number in range(8)]
    assert world.told.emits == [8]


def test_bad_weather_in_the_middle_leaves_nothing_and_the_batch_comes_again() -> None:
    world = World()
    world.weather = True
    loop = world.loop()
    with pytest.raises(WorldFailure):
        loop.run_once()
    assert (world.seen(), world.told.aborts) == ([], 1)
    world.weather = False
    assert loop.run_once() == 8
    assert world.seen() == [b"%d" % number for number in range(8)]


def test_an_aborted_commit_takes_what_was_written_ahead_with_it() -> None:
    world = World()
    loop = world.loop()
    world.log.next_commit = Fate.ABORTED
    with pytest.raises(WorldFailure):
        loop.run_once()
    assert world.seen() == []
    assert loop.run_once() == 8
    assert world.seen() == [b"%d" % number for number in range(8)]


def test_a_stage_that_asks_the_world_writes_nothing_ahead() -> None:
    world = World()
    world.loop(perform=lambda requests: []).run_once()
    assert world.written_before == [0] * 8
