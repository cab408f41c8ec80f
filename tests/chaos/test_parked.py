"""A node dies while its subscriber is away and much is parked, and Redis forgets everything: what was parked comes all the same."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from sync_engine.model import names
from sync_engine.runtime.localstack import LocalStack
from tests.chaos.place import ENTITY, SUBSCRIBER, Place
from tests.e2e.network import Subscriber
from tests.e2e.topics import TopicReader

pytestmark = pytest.mark.broker

KEYS = 1_000
PATIENCE_SECONDS = 90.0


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    made = Subscriber()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def place(broker: LocalStack, tmp_path: Path, subscriber: Subscriber) -> Iterator[Place]:
    broker.add("redis")
    made = Place(broker, tmp_path, (subscriber.url, subscriber.secret))
    yield made
    made.worker.kill()


def parked(place: Place) -> int:
    """How many keys the parked topic holds: what a new process will know."""
    last = {record.key: record.value for record in TopicReader(place.bootstrap, (names.parked(place.node, SUBSCRIBER),)).more()}
    return sum(value is not None and bool(place.codec.decode(value)[1]["body"]) for value in last.values())


def test_what_is_parked_outlives_its_node_and_all_that_redis_knew(place: Place, broker: LocalStack, subscriber: Subscriber) -> None:
    chance, views = random.Random(21), redis.Redis.from_url(broker.endpoints.redis)
    view = f"sync-engine:status:{place.node}"
    place.start()
    place.put([place.change(row, chance) for row in range(1, KEYS + 1)])
    place.until("all are received", lambda: len(subscriber.receiver.versions) == KEYS, PATIENCE_SECONDS)
    subscriber.fail(503)
    place.put([place.change(row, chance, name="赵六") for row in range(1, KEYS + 1)])
    place.until("all are parked", lambda: parked(place) == KEYS, PATIENCE_SECONDS)
    place.until("Redis has a view", lambda: views.get(view), PATIENCE_SECONDS)

    views.flushall()
    place.worker.kill()
    assert views.get(view) is None
    place.start()
    place.until("Redis has a view again", lambda: views.get(view), PATIENCE_SECONDS)
    assert parked(place) == KEYS
    subscriber.work()

    place.until("nothing is parked", lambda: parked(place) == 0, PATIENCE_SECONDS)
    place.drained(PATIENCE_SECONDS)
    place.assert_holds_what_is_owed()
    newest = {(ENTITY, key): golden.version for key, golden in place.golden().items()}
    assert subscriber.receiver.versions == newest
    assert {message["items"]["name"]["value"] for message in subscriber.last.values()} == {"赵六"}
    assert (subscriber.receiver.regressions, subscriber.receiver.unverified) == (0, 0)
