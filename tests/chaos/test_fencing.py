"""Twenty times a frozen owner wakes up after another took over: it overwrites nothing. `make drill` has two hundred."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync_engine.runtime.localstack import LocalStack
from tests.chaos.fencing import run_trials
from tests.chaos.world import World

pytestmark = pytest.mark.broker

TRIALS = 20
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


def test_a_frozen_owner_that_wakes_up_overwrites_nothing(worlds: list[World]) -> None:
    done: list[None] = []
    run_trials(worlds, TRIALS, seed=1, passed=lambda: done.append(None))
    assert len(done) == TRIALS
