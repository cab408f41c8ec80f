"""The real servers together: all are there, keep their data over kill -9, and leave nobody behind."""

import psycopg
import pytest
import redis
from confluent_kafka.admin import AdminClient

from sync_engine.runtime.localstack import ALL, LocalStack

pytestmark = pytest.mark.stack


def test_all_servers_answer(stack: LocalStack) -> None:
    assert all(stack.process(name).running for name in ALL)
    with psycopg.connect(stack.endpoints.postgres) as database:
        assert database.execute("SHOW wal_level").fetchone() == ("logical",)
    assert redis.Redis.from_url(stack.endpoints.redis).ping()
    assert AdminClient({"bootstrap.servers": stack.endpoints.kafka}).list_topics(timeout=10).brokers
