"""Seeds of the whole network; one replays exactly; and an engine that is broken is found out."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.model.stage import Output, Stage, View
from sync_engine.resolve.decide import RecordState
from sync_engine.resolve.stage import ResolveStage, State
from sync_engine.runtime.log import BatchAborted, TopicPartition
from sync_engine.runtime.loop import BatchLoop
from tests.simulation.faults import SteppedLog
from tests.simulation.judge import simulate
from tests.simulation.network import Engine, Network
from tests.simulation.seeds import failing, kept

SEEDS, SLICE = 500, 50


@pytest.mark.parametrize("first", range(0, SEEDS, SLICE))
def test_every_seed_comes_to_what_the_oracle_says(first: int) -> None:
    assert next(failing(range(first, first + SLICE)), None) is None


def test_the_seeds_that_once_failed() -> None:
    assert next(failing(kept()), None) is None


def test_a_seed_replays_exactly() -> None:
    assert all(written(simulate(seed)) == written(simulate(seed)) for seed in (1, 2, 3))


def test_faults_come_at_every_step() -> None:
    """Those in the middle of a delivery are rare: there are few deliveries."""
    steps = ("take", "taken", "commit", "committed", "rewind", "offsets", "ends", "read", "storing", "stored", "asking", "asked")
    others = ("freeze", "abort", "unknown_committed", "open", "wait")
    missing = {f"die at {step}" for step in steps} | {f"{fault} at commit" for fault in others}
    for seed in range(SEEDS):
        missing -= simulate(seed).met.keys()
        if not missing:
            return
    raise AssertionError(f"no seed has met {sorted(missing)}")


def written(network: Network) -> list[Any]:
    return [(topic, [entry.record for entry in one.entries]) for topic, partitions in network.broker.topics.items() for one in partitions]


# --- an engine that is broken ---


class StoresBeforeTheCommit(BatchLoop):
    def _commit(self, records: Sequence[Record], emits: Sequence[Emit], letters: Any) -> None:
        for overlay in self._overlays.values():
            overlay.apply(self._remembered)
            overlay.write({})
        super()._commit(records, emits, letters)


class StaysWhereItIs(SteppedLog):
    """Offsets are not rewound after an abort."""

    def commit(self, emits: Sequence[Emit], offsets: Mapping[TopicPartition, int]) -> None:
        try:
            super().commit(emits, offsets)
        except BatchAborted:
            self.log._must_rewind = False
            raise

    def rewind(self) -> None:
        return


class KnowsNoDuplicate:
    """A claim replaces what its slot said, whatever its position."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage, name)

    def decide(self, record: Record, view: View, now_ms: int) -> Sequence[Output]:
        state: State | None = None if record.key is None else view.get(record.key)
        if state is not None and state.record is not None and record.key is not None and record.value is not None:
            claim = self._stage._codec.claim(record.value, "")  # type: ignore[attr-defined]
            known = state.record
            slots = [slot for slot in known.slots if claim is None or slot.slot != claim.slot]
            left = (known.version, known.digest, known.life_cycle, known.jurisdiction, known.left)
            view.put(record.key, State(RecordState(slots, *left)))
        return self._stage.decide(record, view, now_ms)


def no_duplicate(stage: Stage) -> Any:
    return KnowsNoDuplicate(stage) if isinstance(stage, ResolveStage) else stage


BROKEN = {
    "the store is written before the log's commit": Engine(new_loop=StoresBeforeTheCommit),
    "offsets are not rewound after an abort": Engine(new_log=StaysWhereItIs),
    "a duplicate is not recognised": Engine(stage=no_duplicate),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_engine_is_found_out(broken: str) -> None:
    assert next(failing(range(SEEDS), BROKEN[broken]), None) is not None
