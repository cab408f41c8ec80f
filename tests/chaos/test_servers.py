"""The broker and the schema registry go away under load and come back: all is waited out, and nothing is put aside for it."""

import json
import random
from typing import Any

import pytest

from sync_engine.model.avro import claim_to_datum, encoder
from sync_engine.runtime.registry import SchemaRegistry
from tests.chaos.catalogue import ENTITY, Departments
from tests.chaos.judge import assert_nothing_is_lost
from tests.chaos.world import World
from tests.engine_adapter import claim_of

pytestmark = pytest.mark.broker


def test_a_broker_killed_under_load_costs_time_only(world: World) -> None:
    departments = Departments(random.Random(12), keys=50)
    workers = [world.worker(name, batch_records=10).start() for name in ("one", "two")]
    world.feed(departments.say(1_000))
    world.until("a few batches committed", lambda: sum(len(worker.said("committed")) for worker in workers) > 10)

    world.servers.process("kafka").kill()
    assert world.folder.exists()
    world.servers.restart("kafka")

    world.until("all decided after the broker's return", lambda: world.tend() or not world.behind())
    world.feed(departments.say(200))
    world.until("all decided that came after", lambda: world.tend() or not world.behind())
    assert_nothing_is_lost(world)
