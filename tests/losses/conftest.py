"""A bare Faust application of any case, and a world of the engine's with the topic that its Faust application commands from."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sync_engine.model import names
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.topics import create_topics
from tests.chaos.world import World
from tests.losses.bare_run import BareRun


@pytest.fixture
def bare(broker: LocalStack, tmp_path: Path) -> Iterator[Callable[[str], BareRun]]:
    """By its case, not started yet."""
    made: list[BareRun] = []

    def make(case: str) -> BareRun:
        made.append(BareRun(case, broker, tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def world(broker: LocalStack, tmp_path: Path) -> Iterator[World]:
    made = World(broker, tmp_path)
    create_topics(made.bootstrap, [(names.control(made.node), 1, {})])
    yield made
    made.close()
