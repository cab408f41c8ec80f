"""How long a turn of the loop waits for records, and what its store is told of the changelogs, with Kafka in memory."""

from collections.abc import Mapping, Sequence

from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.model.stage import Output, Stateless, View
from sync_engine.runtime.log import TopicPartition
from sync_engine.runtime.loop import BatchLoop
from sync_engine.runtime.store import MemoryStore
from tests.cases.network import declarations
from tests.fakes.codec import FakeCodec
from tests.fakes.lane import HandClock, Letters
from tests.fakes.log import FakeBroker, FakeLog

QUIET_SECONDS = 0.2


class Slices(Stateless):
    """Something long, of which a slice after the other is done, without an output: most of them end nothing."""

    name, inputs, changelogs, state_type = "slices", ("in",), ("kept",), int
    left = 3

    def decide(self, record: Record, view: View, now_ms: int) -> Sequence[Output]:
        return ()

    def work(self, partition: int, view: View, now_ms: int) -> Sequence[Output]:
        self.left -= 1
        return ()

    def has_more(self, partition: int) -> bool:
        return self.left > 0


class WaitingLog(FakeLog):
    def take(self, max_records: int, timeout_seconds: float) -> list[Record]:
        self.waited = [*getattr(self, "waited", []), timeout_seconds]
        return super().take(max_records, timeout_seconds)


def test_no_turn_waits_for_records_while_a_stage_has_more_to_do() -> None:
    broker = FakeBroker()
    for topic in ("in", "kept", "n.dead"):
        broker.create(topic)
    log = WaitingLog(broker, "n.slices", "0")
    codec = FakeCodec(declarations())
    loop = BatchLoop("n", Slices(), log, codec, lambda _: MemoryStore(), HandClock(), Letters(), quiet_wait_seconds=QUIET_SECONDS)
    loop.start()
    for _ in range(5):
        loop.run_once()
    # The first turn joins the group, and has no partition before.
    assert log.waited == [QUIET_SECONDS, 0, 0, QUIET_SECONDS, QUIET_SECONDS]


class FrozenLog(FakeLog):
    """Of a worker that is frozen right behind its commit, for so long that another has taken over and written."""

    def commit(self, emits: Sequence[Emit], offsets: Mapping[TopicPartition, int]) -> None:
        super().commit(emits, offsets)
        if any(offsets.values()):
            self.broker.put("kept", b"key", b"the successor's")


def test_a_store_never_notes_what_a_successor_has_written() -> None:
    broker, store = FakeBroker(), MemoryStore()
    for topic in ("in", "kept", "n.dead"):
        broker.create(topic)
    clock = HandClock(1_000_000)
    loop = BatchLoop("n", Slices(), FrozenLog(broker, "n.slices", "0"), FakeCodec(declarations()), lambda _: store, clock, Letters())
    loop.start()
    loop.run_once()
    broker.put("in", b"key", b"value")
    loop.run_once()

    assert store.offsets() == {"kept": 0}, "there was nothing before the commit"


def test_a_worker_that_stopped_and_comes_again_with_its_store_reads_nothing_of_the_changelogs() -> None:
    broker, store = FakeBroker(), MemoryStore()
    for topic in ("in", "kept", "n.dead"):
        broker.create(topic)
    broker.put("kept", b"key", b"value")

    loop = BatchLoop("n", Slices(), FakeLog(broker, "n.slices", "0"), FakeCodec(declarations()), lambda _: store, HandClock(), Letters())
    loop.start()
    loop.run_once()
    broker.put("kept", b"key", b"of a commit that is not noted yet")
    loop.close()

    assert store.offsets() == {"kept": 2}
