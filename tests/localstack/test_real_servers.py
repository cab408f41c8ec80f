"""The real servers: a row's change comes out as Avro, exactly once, and nothing is lost when any of them is killed.

A stack of its own, since it kills the servers; the one that other tests share stays whole.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from redis import Redis

from sync_engine.runtime.localstack import ALL, LocalStack, ServiceFailed

pytestmark = pytest.mark.stack

TOPIC = "sample.public.person"
LINES: list[str] = []
"""What the stack said when it started."""


@pytest.fixture(scope="module")
def own() -> Iterator[LocalStack]:
    home = Path(tempfile.mkdtemp(prefix="sync-engine-test-"))
    home.chmod(0o755)
    servers = LocalStack(home, say=LINES.append)
    try:
        servers.start()
        _make_table(servers)
        _make_table_of_mariadb(servers)
        _make_connector(servers)
        yield servers
    finally:
        servers.erase()


def _make_table(servers: LocalStack) -> None:
    with psycopg.connect(servers.endpoints.postgres, autocommit=True) as session:
        session.execute("create role capture login superuser password 'kept in a file'")
        session.execute("create table person (id integer primary key, name text not null)")
        session.execute("insert into person values (1, '张三')")


def _in_mariadb(servers: LocalStack, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last one."""
    url = sa.make_url(servers.endpoints.mariadb)
    with pymysql.connect(host=url.host, port=url.port or 0, user=url.username, autocommit=True) as session, session.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


def _make_table_of_mariadb(servers: LocalStack) -> None:
    _in_mariadb(servers, "CREATE DATABASE kept", "CREATE TABLE kept.person (id int PRIMARY KEY)", "INSERT INTO kept.person VALUES (1)")


def _make_connector(servers: LocalStack) -> None:
    secret = servers.home / "secrets" / "sample.properties"
    secret.write_text("password=kept in a file\n")
    config = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "topic.prefix": "sample",
        "database.hostname": "127.0.0.1",
        "database.port": servers.endpoints.postgres.rpartition(":")[2].partition("/")[0],
        "database.dbname": "postgres",
        "database.user": "capture",
        "database.password": f"${{file:{secret}:password}}",
        "plugin.name": "pgoutput",
        "slot.name": "sample",
        "publication.name": "sample",
        "publication.autocreate.mode": "filtered",
        "table.include.list": "public.person",
        "exactly.once.support": "required",
        "transaction.boundary": "poll",
        "poll.interval.ms": "50",
        "schema.name.adjustment.mode": "avro",
        "transforms": "epoch",
        "transforms.epoch.type": "org.apache.kafka.connect.transforms.InsertHeader",
        "transforms.epoch.header": "x-epoch",
        "transforms.epoch.value.literal": "7",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
        **_converter("key", servers),
        **_converter("value", servers),
    }
    ask(f"{servers.endpoints.connect}/connectors/sample/config", config)


def _converter(which: str, servers: LocalStack) -> dict[str, str]:
    settings = {
        "url": servers.endpoints.registry_native,
        "auto-register": "true",
        "find-latest": "true",
        "as-confluent": "true",
        "use-id": "contentId",
        "headers.enabled": "false",
    }
    prefix = f"{which}.converter"
    named = {f"{prefix}.apicurio.registry.{name}": value for name, value in settings.items()}
    return {prefix: "io.apicurio.registry.utils.converter.AvroConverter", **named}


def ask(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    method = "GET" if body is None else "PUT"
    question = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(question, timeout=30) as answer:
        return json.load(answer)


def records(servers: LocalStack, count: int, seconds: float = 60.0) -> list[Message]:
    """All of the topic from its beginning, as soon as there are so many; fewer if they do not come."""
    settings = {
        "bootstrap.servers": servers.endpoints.kafka,
        "group.id": "unused",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        # Assigned before the connector has made the topic.
        "topic.metadata.refresh.interval.ms": 200,
        "log_level": 0,
    }
    found: list[Message] = []
    consumer = Consumer(settings)
    try:
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        deadline = time.monotonic() + seconds
        while len(found) < count and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                found.append(message)
        # One more would be a duplicate.
        extra = consumer.poll(1.0)
        return found if extra is None or extra.error() is not None else [*found, extra]
    finally:
        consumer.close()


def value_of(servers: LocalStack, message: Message) -> Any:
    decode = AvroDeserializer(SchemaRegistryClient({"url": servers.endpoints.registry}))
    return decode(message.value(), SerializationContext(TOPIC, MessageField.VALUE))


def names(servers: LocalStack, count: int) -> list[str]:
    return [value_of(servers, message)["after"]["name"] for message in records(servers, count)]


def insert(servers: LocalStack, number: int, name: str) -> None:
    with psycopg.connect(servers.endpoints.postgres, autocommit=True) as session:
        session.execute("insert into person values (%s, %s)", (number, name))


# --- what they do together; the tests follow one another on one stack ---


def test_all_start_and_say_so_in_a_line_each(own: LocalStack) -> None:
    said = [line for line in LINES if " ready after " in line]
    assert sorted(line.split()[0] for line in said) == sorted(ALL)
    assert own.dead() == []


def test_a_change_comes_out_as_avro_in_confluents_format_with_its_epoch(own: LocalStack) -> None:
    # Not before the snapshot is done: it would be part of it.
    records(own, 1)
    insert(own, 2, "李四")
    found = records(own, 2)
    assert [value_of(own, message)["after"] for message in found] == [{"id": 1, "name": "张三"}, {"id": 2, "name": "李四"}]
    assert [value_of(own, message)["op"] for message in found] == ["r", "c"]
    for message in found:
        key, value = message.key(), message.value()
        assert key is not None
        assert value is not None
        assert (key[0], value[0]) == (0, 0)
        assert ("x-epoch", b"7") in (message.headers() or [])


def test_it_is_written_in_transactions(own: LocalStack) -> None:
    found = records(own, 2)
    consumer = Consumer({"bootstrap.servers": own.endpoints.kafka, "group.id": "unused", "log_level": 0})
    _, end = consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=10)
    consumer.close()
    # The mark of a transaction's end takes an offset of its own.
    assert end > len(found)


def test_the_password_is_nowhere_to_be_read(own: LocalStack) -> None:
    config = ask(f"{own.endpoints.connect}/connectors/sample/config")
    assert "kept in a file" not in json.dumps(config)
    logs = own.home / "logs"
    assert [log.name for log in logs.iterdir() if b"kept in a file" in log.read_bytes()] == []


def test_only_this_machine_can_reach_them(own: LocalStack) -> None:
    ports = set(json.loads((own.home / "ports.json").read_text()).values())
    listening = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    where = {(fields[1].split(":")[0], int(fields[1].split(":")[1], 16)) for fields in listening if fields[3] == "0A"}
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert {port for _, port in where} >= ports
    assert {address for address, port in where if port in ports} <= loopback


# --- what is left when one is killed ---


def _topic_is_there(servers: LocalStack) -> object:
    return names(servers, 2)[:2]


def _schemas_are_there(servers: LocalStack) -> object:
    client = SchemaRegistryClient({"url": servers.endpoints.registry})
    latest = client.get_latest_version(f"{TOPIC}-value")
    return latest.schema_id, client.get_subjects()


def _rows_are_there(servers: LocalStack) -> object:
    with psycopg.connect(servers.endpoints.postgres) as session:
        return session.execute("select * from person where id < 3 order by id").fetchall()


def _rows_of_mariadb_are_there(servers: LocalStack) -> object:
    return _in_mariadb(servers, "SELECT id FROM kept.person")


def _connector_is_there(servers: LocalStack) -> object:
    return ask(f"{servers.endpoints.connect}/connectors")


def _answers(servers: LocalStack) -> object:
    with Redis.from_url(servers.endpoints.redis) as client:
        return client.ping()


KEPT: dict[str, Callable[[LocalStack], object]] = {
    "kafka": _topic_is_there,
    "registry": _schemas_are_there,
    "postgres": _rows_are_there,
    "mariadb": _rows_of_mariadb_are_there,
    "connect": _connector_is_there,
    "redis": _answers,
}


@pytest.mark.parametrize("name", ALL)
def test_a_server_that_is_killed_starts_again_with_what_it_had(own: LocalStack, name: str) -> None:
    before = KEPT[name](own)
    own.process(name).kill()
    own.restart(name)
    assert KEPT[name](own) == before
    assert own.dead() == []


def test_a_schema_is_kept_that_was_registered_just_before_the_kill(own: LocalStack) -> None:
    # By default the registry's database writes half a second later: the id would stand in Kafka and be given to another schema.
    schema = {"schema": json.dumps({"type": "record", "name": "Last", "fields": []})}
    question = urllib.request.Request(
        f"{own.endpoints.registry}/subjects/last/versions", json.dumps(schema).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(question, timeout=30) as answer:
        number = json.load(answer)["id"]
        own.process("registry").kill()
    own.restart("registry")
    assert ask(f"{own.endpoints.registry}/schemas/ids/{number}")["schema"] == schema["schema"]


def test_after_all_that_the_connector_goes_on_and_nothing_comes_twice(own: LocalStack) -> None:
    insert(own, 3, "王五")
    _mend_tasks(own)
    assert names(own, 3) == ["张三", "李四", "王五"]


def _mend_tasks(servers: LocalStack) -> None:
    """A task that lost its database gives up after a while; starting it again is the operator's, not the stack's."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            status = ask(f"{servers.endpoints.connect}/connectors/sample/status")
        except OSError:
            status = {"tasks": []}
        states = [task["state"] for task in status["tasks"]]
        if states == ["RUNNING"]:
            return
        if "FAILED" in states:
            url = f"{servers.endpoints.connect}/connectors/sample/restart?includeTasks=true&onlyFailed=true"
            with urllib.request.urlopen(urllib.request.Request(url, b"", method="POST"), timeout=30):
                pass
        time.sleep(0.5)


def test_a_frozen_database_takes_no_orders_and_goes_on_afterwards(own: LocalStack) -> None:
    own.process("postgres").freeze()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own.endpoints.postgres, connect_timeout=2)
    own.process("postgres").thaw()
    assert _rows_are_there(own) == [(1, "张三"), (2, "李四")]


def test_all_killed_and_started_on_the_same_home_they_go_on(own: LocalStack) -> None:
    before = own.endpoints
    for name in ALL:
        os.kill(own.process(name).pid, signal.SIGKILL)
    own.stop()
    assert own.start() == before
    _mend_tasks(own)
    insert(own, 4, "赵六")
    assert names(own, 4) == ["张三", "李四", "王五", "赵六"]


def test_with_a_full_cache_the_network_is_not_needed(own: LocalStack) -> None:
    # A mirror where nobody listens: whatever is asked for fails.
    environment = {**os.environ, "SYNC_ENGINE_MAVEN": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "sync_engine.runtime.localstack", "fetch"]
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < 5


def test_stop_leaves_no_process(own: LocalStack) -> None:
    own.stop()
    left = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if str(own.home).encode() in _read(path)]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


# --- PostgreSQL as root ---


@pytest.fixture
def private_home() -> Iterator[Path]:
    """Where only we may enter, as in root's own home."""
    folder = Path(tempfile.mkdtemp(prefix="sync-engine-private-"))
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to run PostgreSQL as somebody else")
def test_as_root_a_private_home_gets_its_database_outside_and_finds_it_again(private_home: Path) -> None:
    for _ in range(2):
        with LocalStack(private_home, ("postgres",), say=LINES.append) as servers, psycopg.connect(servers.endpoints.postgres) as session:
            session.execute("create table if not exists kept (id integer)")
            session.execute("insert into kept values (1)")
            session.commit()
            count = session.execute("select count(*) from kept").fetchone()
    assert count == (2,)
    elsewhere = Path((private_home / "postgres" / "data-is-in").read_text().strip())
    assert (elsewhere / "data").stat().st_uid != 0
    servers.erase()
    assert not elsewhere.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to run PostgreSQL as somebody else")
def test_a_database_that_was_outside_and_is_gone_is_not_replaced_by_an_empty_one(private_home: Path) -> None:
    with LocalStack(private_home, ("postgres",), say=LINES.append):
        elsewhere = Path((private_home / "postgres" / "data-is-in").read_text().strip())
    shutil.rmtree(elsewhere)
    with pytest.raises(ServiceFailed, match=r"(?s)its data folder .* is gone.*what to do: "):
        LocalStack(private_home, ("postgres",), say=LINES.append).start()
