"""A world for each test; whatever it leaves running is killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync_engine.runtime.localstack import LocalStack
from tests.chaos.world import World


@pytest.fixture
def world(broker: LocalStack, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """Its parameter: how many partitions its topics have, 2 if none is given."""
    made = World(broker, tmp_path, getattr(request, "param", 2))
    yield made
    made.close()
