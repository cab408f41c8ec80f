"""A source whose records are bad is held, in the engine's own loop over Kafka in memory: nothing of it is lost, and the others go on."""

from collections.abc import Sequence

import pytest

from sync_engine.ingest.brake import MOST_DEAD, WINDOW_RECORDS
from sync_engine.model.outcome import DeadLetter, Emit, Reason
from sync_engine.model.record import Record
from sync_engine.model.stage import Output, Stateless, View
from sync_engine.runtime.holds import Holds
from sync_engine.runtime.log import MustRestart, WorldFailure
from sync_engine.runtime.loop import FOLLOW_HOLDS_MS, BatchLoop
from sync_engine.runtime.store import MemoryStore
from tests.cases.network import declarations
from tests.fakes.codec import FakeCodec
from tests.fakes.lane import HandClock
from tests.fakes.log import FakeBroker, FakeLog, Fate

NODE, BAD, GOOD = "n", "n/bad", "n/good"
CAPTURED = {"bad": BAD, "good": GOOD, "of_bad_too": BAD}
TOO_MANY = MOST_DEAD + 1


class Sorting(Stateless):
    """What begins with an x is put aside; the rest goes to `out`."""

    name = "ingest"
    inputs = (*CAPTURED, "retry")

    def decide(self, record: Record, view: View, now_ms: int) -> Sequence[Output]:
        value = record.value or b""
        return [DeadLetter(Reason.INVALID_VALUE, "x") if value.startswith(b"x") else Emit("out", b"k", value, 0)]


class Told:
    def __init__(self) -> None:
        self.letters = self.aborts = 0

    def committed(self, stage: str, records: int, emits: int, letters: Sequence[DeadLetter]) -> None:
        self.letters += len(letters)

    def aborted(self, stage: str) -> None:
        self.aborts += 1

    def restored(self, stage: str, records: int) -> None:
        return


class Node:
    """One broker, and the workers of one node on it."""

    def __init__(self) -> None:
        self.broker, self.clock, self.told = FakeBroker(), HandClock(), Told()
        for topic in (*Sorting.inputs, "out", "n.dead", "n.hold"):
            self.broker.create(topic)
        self.logs: list[FakeLog] = []

    def worker(self, instance: str = "0") -> BatchLoop:
        log = FakeLog(self.broker, "n.ingest", instance)
        self.logs.append(log)
        codec = FakeCodec(declarations())
        loop = BatchLoop(
            NODE,
            Sorting(),
            log,
            codec,
            lambda _: MemoryStore(),
            self.clock,
            self.told,
            holds=Holds(NODE, CAPTURED, codec),
            batch_records=20,
        )
        loop.start()
        return loop

    def put(self, topic: str, *values: str) -> None:
        for value in values:
            self.broker.put(topic, b"k", value.encode())

    def turn(self, *workers: BatchLoop, turns: int = 400) -> None:
        for _ in range(turns):
            for worker in workers:
                self.clock.ms += FOLLOW_HOLDS_MS // 100
                worker.run_once()

    def release(self, source: str = BAD) -> None:
        self.broker.put("n.hold", source.encode(), None)

    @property
    def out(self) -> list[str]:
        return [(record.value or b"").decode() for record in self.broker.records("out")]

    @property
    def dead(self) -> int:
        return len(self.broker.records("n.dead"))

    @property
    def held(self) -> dict[str, bool]:
        return {(record.key or b"").decode(): record.value is not None for record in self.broker.records("n.hold")}

    def committed(self, topic: str) -> int:
        return self.broker.group("n.ingest").committed.get((topic, 0), 0)


@pytest.fixture
def node() -> Node:
    return Node()


def bad(count: int) -> list[str]:
    return [f"x{number}" for number in range(count)]


def test_the_batch_is_given_up_the_source_is_held_and_the_others_go_on(node: Node) -> None:
    worker = node.worker()
    node.put("bad", *bad(TOO_MANY), "mended")
    node.put("of_bad_too", "first")
    node.turn(worker)
    assert node.held == {BAD: True}
    aside, out = node.dead, node.out
    assert aside <= MOST_DEAD
    assert aside == node.told.letters == node.committed("bad"), "what was given up is neither put aside nor counted"
    assert node.told.aborts == len(node.broker.records("n.hold")) == 1, "it is paused before anything is taken again"

    node.put("bad", "later")
    node.put("of_bad_too", "later too")
    node.put("good", "g1", "g2")
    node.put("retry", *bad(200), "put back")
    node.turn(worker)
    assert set(node.out) - set(out) == {"g1", "g2", "put back"}
    assert node.dead == aside + 200, "what was put back is decided, and trips nothing"
    assert node.held == {BAD: True}


def test_one_that_is_released_goes_on_where_it_stood_with_its_faults_to_the_dead_letters(node: Node) -> None:
    worker = node.worker()
    node.put("bad", *bad(TOO_MANY), "mended")
    node.put("of_bad_too", *(f"o{number}" for number in range(30)))
    node.turn(worker)
    node.put("bad", *bad(100), "mended again")
    node.release()
    node.turn(worker)

    assert node.held == {BAD: False}
    assert node.dead == TOO_MANY + 100
    assert [value for value in node.out if value.startswith("mended")] == ["mended", "mended again"]
    assert [value for value in node.out if value.startswith("o")] == [f"o{number}" for number in range(30)]


def test_it_is_held_again_behind_a_whole_window(node: Node) -> None:
    worker = node.worker()
    node.put("bad", *bad(5_000))
    node.turn(worker)
    before = node.committed("bad")
    node.release()
    node.turn(worker)

    assert node.held == {BAD: True}
    assert WINDOW_RECORDS <= node.committed("bad") - before <= WINDOW_RECORDS + MOST_DEAD


def test_a_hold_outlasts_a_restart_and_is_released_afterwards(node: Node) -> None:
    worker = node.worker()
    node.put("bad", *bad(TOO_MANY), "mended")
    node.turn(worker)
    stands = node.committed("bad"), node.dead
    for _ in range(3):
        worker.close()
        worker = node.worker()
        node.put("good", "g")
        node.turn(worker)
        assert (node.committed("bad"), node.dead) == stands, "nothing flows past it"
    assert node.out.count("g") == 3

    node.release()
    node.turn(worker)
    assert (node.dead, node.out[-1]) == (TOO_MANY, "mended")


def test_a_release_while_nobody_runs_is_obeyed(node: Node) -> None:
    worker = node.worker()
    node.put("bad", *bad(TOO_MANY), "mended")
    node.turn(worker)
    worker.close()
    node.release()
    worker = node.worker()
    node.turn(worker)

    # A process that begins knows nothing of the release: the rest of the faults is fewer than the brake lets pass.
    assert "mended" in node.out


def test_every_worker_of_the_node_obeys(node: Node) -> None:
    workers = [node.worker("0"), node.worker("1")]
    node.turn(*workers, turns=3)
    owners = {topic: next(n for n, worker in enumerate(workers) if (topic, 0) in worker.partitions) for topic in CAPTURED}
    assert owners["bad"] != owners["of_bad_too"], "the source is shared"
    node.put("bad", *bad(TOO_MANY), "mended")
    node.turn(*workers)
    node.put("of_bad_too", "o")
    node.put("good", "g")
    node.turn(*workers)
    assert "g" in node.out
    assert "o" not in node.out

    node.release()
    node.turn(*workers)
    assert {"o", "mended"} <= set(node.out)


def test_a_partition_that_moves_to_another_worker_stays_held(node: Node) -> None:
    first = node.worker("0")
    node.put("bad", *bad(TOO_MANY), "mended")
    node.turn(first)
    stands = node.committed("bad")
    second = node.worker("1")
    node.turn(first, second)
    first.close()
    node.turn(second)
    assert ("bad", 0) in second.partitions
    assert node.committed("bad") == stands
    assert "mended" not in node.out

    node.release()
    node.turn(second)
    assert "mended" in node.out


@pytest.mark.parametrize("fate", [Fate.ABORTED, Fate.UNKNOWN_ABORTED, Fate.UNKNOWN_COMMITTED])
def test_nothing_is_passed_over_whatever_becomes_of_the_holds_own_commit(node: Node, fate: Fate) -> None:
    worker = node.worker()
    node.put("bad", *bad(20), *bad(20), *(f"x{number}" for number in range(20)), "mended")
    for _ in range(2):
        node.turn(worker, turns=1)
    assert node.committed("bad") == 40
    node.logs[-1].next_commit = fate
    with pytest.raises((WorldFailure, MustRestart)):
        node.turn(worker, turns=1)
    assert node.committed("bad") == 40
    if fate is not Fate.ABORTED:
        worker.close()
        worker = node.worker()
    node.turn(worker)
    if fate is not Fate.UNKNOWN_ABORTED:  # a process that begins weighs anew, and what is left is few
        assert node.held == {BAD: True}
        assert node.committed("bad") == 40
        node.release()
        node.turn(worker)

    assert (node.dead, node.out) == (60, ["mended"])
