"""Twenty times a frozen owner wakes up after another took over: it overwrites nothing. `make drill` has two hundred.

SYNC_FENCING_TRIALS: how many times. SYNC_CHAOS_SEED: at which steps they are frozen, and what is fed.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sync_engine.runtime.localstack import LocalStack
from tests.chaos.fencing import run_trials
from tests.chaos.world import World

pytestmark = pytest.mark.broker

TRIALS = int(os.environ.get("SYNC_FENCING_TRIALS", "20"))
SEED = int(os.environ.get("SYNC_CHAOS_SEED", "1"))
WORLDS = 4


@pytest.fixture
def worlds(broker: LocalStack, tmp_path: Path) -> Iterator[list[World]]:
    made: list[World] = []
    try:
        for number in range(WORLDS):
            folder = tmp_path / str(number)
            folder.mkdir()
            made.append(World(broker, folder))
        yield made
    finally:
        for world in made:
            world.close()


def test_a_frozen_owner_that_wakes_up_overwrites_nothing(worlds: list[World], record_property: Callable[[str, int], None]) -> None:
    passed = itertools.count(1)
    logs = run_trials(worlds, TRIALS, SEED, lambda: print(f"trial {next(passed)} of {TRIALS}", flush=True))
    assert next(passed) == TRIALS + 1
    record_property("trials", TRIALS)
    record_property("claims", sum(len(each.claims) for each in logs))
    record_property("versions", sum(len(each.golden) for each in logs))
