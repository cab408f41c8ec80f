"""How long a turn of the loop waits for records, with Kafka in memory."""

from collections.abc import Sequence

from sync_engine.model.record import Record
from sync_engine.model.stage import Output, Stateless, View
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
