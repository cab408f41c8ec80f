"""The real servers together: all are there, keep their data over kill -9, and leave nobody behind."""

from pathlib import Path

import psycopg
import pytest
import redis
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sync_engine.runtime.localstack import ALL, LocalStack

pytestmark = pytest.mark.stack


def test_all_servers_answer(stack: LocalStack) -> None:
    assert all(stack.process(name).running for name in ALL)
    with psycopg.connect(stack.endpoints.postgres) as database:
        assert database.execute("SHOW wal_level").fetchone() == ("logical",)
    assert redis.Redis.from_url(stack.endpoints.redis).ping()
    assert AdminClient({"bootstrap.servers": stack.endpoints.kafka}).list_topics(timeout=10).brokers


def test_data_outlives_a_kill_of_everything_and_nobody_is_left(home: Path) -> None:
    services = ("kafka", "postgres")
    with LocalStack(home / "stack", services, say=lambda line: None) as first:
        admin = AdminClient({"bootstrap.servers": first.endpoints.kafka})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(10)
        with psycopg.connect(first.endpoints.postgres, autocommit=True) as database:
            database.execute("CREATE TABLE kept (n int)")
        pids = [first.process(name).pid for name in services]
        for name in services:
            first.process(name).kill()
        assert {child.name for child in first.dead()} == set(services)
        for name in services:
            first.restart(name)
        assert "kept" in AdminClient({"bootstrap.servers": first.endpoints.kafka}).list_topics(timeout=10).topics
        with psycopg.connect(first.endpoints.postgres) as database:
            assert database.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        pids += [first.process(name).pid for name in services]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
