"""A frozen broker: a worker that cannot go on says so, though it has nothing to do, and goes on by itself when the broker is back."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sync_engine import settings
from sync_engine.runtime.provisioning import apply_topics
from sync_engine.runtime.reads import OBSERVE, address_file
from tests.chaos.catalogue import UP, Departments
from tests.chaos.judge import assert_nothing_is_lost
from tests.chaos.node import declarations_around
from tests.chaos.world import World

pytestmark = pytest.mark.broker


class NodeAbove:
    """The worker of the world's neighbour: at rest once it has what the world's own worker told it."""

    def __init__(self, world: World) -> None:
        self._state, self._log = world.folder / "state", world.folder / "node.log"
        file = world.folder / "settings.toml"
        file.write_text(
            f'[kafka]\nbootstrap = "{world.bootstrap}"\nreplication = 1\n[registry]\nurl = "{world.registry}"\n'
            f'native_url = "{world.servers.endpoints.registry_native}"\n[state]\ndir = "{self._state}"\n'
        )
        apply_topics(declarations_around(world.node), settings.load(file, {}), (world.node, UP))
        command = [sys.executable, "-m", "tests.chaos.node", world.node, str(file)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def ready(self) -> Any:
        """What it answers; None while it does not."""
        file = address_file(self._state, UP, "0")
        if not file.exists():
            assert self.process.poll() is None, self._log.read_text()[-3_000:]
            return None
        url = json.loads(file.read_text())["url"] + "/readyz"
        with suppress(httpx2.TransportError):
            return httpx2.get(url, timeout=5).json()
        return None

    def is_ready(self) -> bool:
        return (self.ready() or {}).get("ready") is True

    def is_late(self) -> bool:
        return OBSERVE in (self.ready() or {}).get("without_progress", ())


@pytest.fixture
def above(world: World) -> Iterator[NodeAbove]:
    made = NodeAbove(world)
    yield made
    made.process.kill()
    made.process.wait()
    print(Path(made._log).read_text()[-3_000:])


def test_a_worker_at_rest_says_that_its_broker_is_away_and_all_go_on_when_it_is_back(world: World, above: NodeAbove) -> None:
    departments = Departments(random.Random(14), keys=20)
    worker = world.worker().start()
    world.feed(departments.say(100))
    world.drained()
    world.until("it is ready", above.is_ready)

    broker = world.servers.process("kafka")
    broker.freeze()
    try:
        world.until("it says that it is not", above.is_late)
    finally:
        broker.thaw()

    world.until("it is ready again", above.is_ready)
    assert above.process.poll() is None, "the same process"
    world.feed(departments.say(100))
    world.drained()
    assert worker.running
    assert_nothing_is_lost(world)
