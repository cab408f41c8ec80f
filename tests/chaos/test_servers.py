"""The broker and the schema registry go away under load and come back: all is waited out, and nothing is put aside for it."""

import json
import os
import random
import resource
import time
from collections.abc import Callable
from typing import Any

import pytest

from sync_engine.model.avro import claim_schema, claim_to_datum, encoder
from sync_engine.runtime.registry import SchemaRegistry
from tests.chaos.catalogue import ENTITY, Departments
from tests.chaos.judge import assert_nothing_is_lost
from tests.chaos.world import NAME, PATIENCE_SECONDS, SESSION_MS, World
from tests.engine_adapter import claim_of, entity_of

pytestmark = pytest.mark.broker

NO_SUCH_SCHEMA = 2_000_000
AWAY_SECONDS = float(os.environ.get("SYNC_AWAY_SECONDS", 10 * SESSION_MS / 1000))
"""How long the broker is gone; no session and no transaction outlasts a tenth of it."""


def test_a_broker_killed_under_load_costs_time_only(world: World) -> None:
    departments = Departments(random.Random(12), keys=50)
    workers = [world.worker(name, batch_records=10).start() for name in ("one", "two")]
    world.feed(departments.say(1_500))
    world.until("some batches committed", lambda: sum(len(worker.said("committed")) for worker in workers) > 10)

    world.servers.process("kafka").kill()
    assert sum(len(worker.said("committed")) for worker in workers) < 100, "it was killed after the load"
    world.servers.restart("kafka")

    world.drained()
    world.feed(departments.say(200))
    assert_nothing_is_lost(world)


def test_a_broker_that_is_gone_for_long_is_waited_for(world: World, record_property: Callable[[str, int], None]) -> None:
    departments = Departments(random.Random(15), keys=50)
    workers = [world.worker(name, batch_records=10).start() for name in ("one", "two")]
    world.feed(departments.say(1_500))
    world.until("some batches committed", lambda: sum(len(worker.said("committed")) for worker in workers) > 10)

    world.servers.process("kafka").kill()
    back = time.monotonic() + AWAY_SECONDS
    while time.monotonic() < back:
        for worker in workers:
            worker.tend()
        time.sleep(0.5)
    before = sum(len(worker.said("committed")) for worker in workers)
    world.servers.restart("kafka")

    world.drained(PATIENCE_SECONDS + AWAY_SECONDS)
    assert sum(len(worker.said("committed")) for worker in workers) > before, "the load was over before it came back"
    world.feed(departments.say(200))
    assert_nothing_is_lost(world)
    record_property("claims", world.fed)
    record_property("away seconds", round(AWAY_SECONDS))


def test_a_broker_without_room_for_another_byte_costs_time_only(world: World) -> None:
    """No file of its may grow, as on a full disk. What it does then is its own affair: it ends, or answers nothing but errors."""
    departments = Departments(random.Random(16), keys=50)
    workers = [world.worker(name, batch_records=10).start() for name in ("one", "two")]
    world.feed(departments.say(1_500))
    world.until("some batches committed", lambda: sum(len(worker.said("committed")) for worker in workers) > 10)

    broker = world.servers.process("kafka")
    _, most = resource.prlimit(broker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (0, most))
    try:
        world.until("a worker cannot go on", lambda: any(worker.said("weather") + worker.said("must-restart") for worker in workers))
        before = sum(len(worker.said("committed")) for worker in workers)
        assert before < 100, "it was full after the load"
    finally:
        broker.kill()
        world.servers.restart("kafka")

    world.drained()
    world.feed(departments.say(200))
    assert_nothing_is_lost(world)


def test_a_registry_that_is_away_holds_back_what_it_must_explain(world: World) -> None:
    """Claims in a schema that the worker has not met yet wait for the registry; a schema that it does not know after all is bad data."""
    departments = Departments(random.Random(13), keys=10)
    worker = world.worker().start()
    world.feed(departments.say(40))
    world.feed_bytes([(b"K1", b"no schema id")])
    world.drained()  # with a dead letter: its own schema is known from here on
    before, newer, after = departments.say(30), [_in_a_newer_schema(world, *event) for event in departments.say(5)], departments.say(30)
    world.servers.process("registry").stop()

    world.feed(before)
    world.feed_bytes(newer)
    world.feed_bytes([(b"K1", b"\x00" + NO_SUCH_SCHEMA.to_bytes(4, "big") + b"no such schema")])
    world.feed(after)
    for _ in range(3):
        assert "registry" in worker.wait("weather")
    assert not world.is_drained()
    world.servers.restart("registry")

    logs = assert_nothing_is_lost(world, dead=2)
    assert [world.codec.decode(letter.value or b"")[1]["reason"] for letter in logs.dead] == ["undecodable", "unknown_schema"]
    assert {value for _, value in newer} & {record.value for record in logs.state}, "bytes pass through in the schema they came in"


def _in_a_newer_schema(world: World, key: str, plain: dict[str, Any]) -> tuple[bytes, bytes]:
    """As an ingest of a later release writes it: a field more, which this one passes over."""
    schema = claim_schema(entity_of(ENTITY))
    schema["fields"] = [*schema["fields"], {"name": f"later_{world.node[-8:]}", "type": "string", "default": ""}]
    schema_id = SchemaRegistry(world.registry).register(f"sync.{NAME}.Claim", json.dumps(schema))
    return key.encode(), b"\x00" + schema_id.to_bytes(4, "big") + encoder(schema)(claim_to_datum(claim_of(plain)))
