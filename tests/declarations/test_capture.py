"""The connector's configuration and the database checks against a real PostgreSQL, Kafka Connect and Debezium."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import confluent_kafka as ck
import psycopg
import pytest

from sync_engine import declared
from sync_engine.ingest.capture import read_position
from sync_engine.model import names
from sync_engine.model.avro import decoder
from sync_engine.model.claim import STREAM
from sync_engine.provision.connector import Capture, Database, connector_config
from sync_engine.provision.database import capture_name, check_queries, heartbeat_ddl, publication_ddl, quoted
from sync_engine.provision.topics import topics_of
from sync_engine.runtime.connect import ConnectClient
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.rows import CapturedRows
from sync_engine.runtime.signals import ask_for_snapshot
from sync_engine.runtime.topics import create_topics
from sync_engine.settings import DatabaseSettings

DECLARATIONS = declared.read()
# A node of its own: other tests use the same servers.
DEPARTMENT = replace(DECLARATIONS.departments["jinan/public_security"], node="captured", epoch=3)
(SOURCE,) = DEPARTMENT.sources
TABLE = quoted(SOURCE.table)
DBNAME = "capture_test"

pytestmark = pytest.mark.stack


@pytest.fixture
def department(stack: LocalStack) -> Iterator[psycopg.Connection[Any]]:
    """A department's database with the declared table: its owner's connection. The capture role may nothing yet."""
    with psycopg.connect(stack.endpoints.postgres, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {DBNAME}")
        server.execute("CREATE ROLE capture_test LOGIN REPLICATION")
    dsn = stack.endpoints.postgres.rpartition("/")[0] + f"/{DBNAME}"
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA hj")
        owner.execute(
            f"CREATE TABLE {TABLE} (rybh text PRIMARY KEY, gmsfhm text, xm text, xb text, csrq date, mz text, hyzk text,"
            " swbz text DEFAULT '0',"
            " hjqh text, hjdz text, qrrq date, lxdh text, djsj timestamp)"
        )
        owner.execute(heartbeat_ddl(DEPARTMENT))
        yield owner
    with psycopg.connect(stack.endpoints.postgres, autocommit=True) as server:
        with suppress(psycopg.errors.UndefinedObject):
            server.execute("SELECT pg_drop_replication_slot(%s)", (capture_name(DEPARTMENT),))
        server.execute(f"DROP DATABASE {DBNAME} WITH (FORCE)")
        server.execute("DROP ROLE capture_test")


def let_in(owner: psycopg.Connection[Any]) -> None:
    """Give the capture role the least that it needs."""
    owner.execute("GRANT USAGE ON SCHEMA hj TO capture_test")
    owner.execute(f"GRANT SELECT ON {TABLE} TO capture_test")
    owner.execute(f"GRANT SELECT, INSERT, UPDATE ON {quoted(DEPARTMENT.heartbeat_table)} TO capture_test")
    owner.execute(publication_ddl(DEPARTMENT))


def wrong(stack: LocalStack) -> set[str]:
    """Subjects of the checks that fail, asked as the capture role."""
    parts = urlsplit(stack.endpoints.postgres)
    with psycopg.connect(f"postgresql://capture_test@{parts.hostname}:{parts.port}/{DBNAME}", autocommit=True) as role:
        checks = list(check_queries(DEPARTMENT, "disabled"))
        answers = [role.execute(check.sql, check.parameters).fetchone() for check in checks]
    return {check.subject for check, answer in zip(checks, answers, strict=True) if answer != (check.expected,)}


def test_the_checks_find_what_would_lose_changes(stack: LocalStack, department: psycopg.Connection[Any]) -> None:
    table = SOURCE.table
    assert wrong(stack) == {
        f"{DEPARTMENT.heartbeat_table}: privileges",
        f"{table}: privileges",
        f"{table}: replica identity",
        f"{table}: defaults",
        "publication",
    }

    let_in(department)
    assert wrong(stack) == {f"{table}: replica identity", f"{table}: defaults"}

    department.execute(f"ALTER TABLE {TABLE} ALTER swbz SET NOT NULL")
    assert wrong(stack) == {f"{table}: replica identity"}
    department.execute(f"ALTER TABLE {TABLE} ALTER swbz DROP NOT NULL, ALTER swbz DROP DEFAULT")
    assert wrong(stack) == {f"{table}: replica identity"}

    department.execute(f"ALTER TABLE {TABLE} ALTER gmsfhm SET NOT NULL")
    department.execute(f"CREATE UNIQUE INDEX whose ON {TABLE} (rybh, gmsfhm)")
    department.execute(f"ALTER TABLE {TABLE} REPLICA IDENTITY USING INDEX whose")
    assert wrong(stack) == set()

    department.execute(f"ALTER TABLE {TABLE} REPLICA IDENTITY FULL")
    assert wrong(stack) == set()

    department.execute(f"ALTER TABLE {TABLE} ADD COLUMN extra text")
    assert wrong(stack) == {f"{table}: columns"}
    department.execute(f"ALTER TABLE {TABLE} DROP COLUMN extra")


Change = tuple[dict[str, Any], dict[str, bytes]]


class Reader:
    """Decoded envelopes of the department's topics, with their headers."""

    def __init__(self, stack: LocalStack) -> None:
        self._registry = SchemaRegistry(stack.endpoints.registry)
        settings = {"bootstrap.servers": stack.endpoints.kafka, "group.id": "test-capture", "auto.offset.reset": "earliest"}
        self._consumer = ck.Consumer({**settings, "isolation.level": "read_committed"})
        self._rows = names.cdc(DEPARTMENT, SOURCE.table)
        self._consumer.subscribe([self._rows, names.cdc(DEPARTMENT, DEPARTMENT.heartbeat_table)])
        self.beats: list[dict[str, Any]] = []

    def changes(self, count: int, within_seconds: float = 30) -> list[Change]:
        """The next changes of the table; beats on the way are kept apart."""
        found: list[Change] = []
        end = time.monotonic() + within_seconds
        while len(found) < count and time.monotonic() < end:
            message = self._consumer.poll(0.2)
            if message is None or message.error():
                continue
            framed = message.value() or b""
            envelope = decoder(json.loads(self._registry.schema(int.from_bytes(framed[1:5], "big"))))(framed[5:])
            if message.topic() == self._rows:
                found.append((envelope, headers_of(message)))
            else:
                self.beats.append(envelope)
        return found

    def close(self) -> None:
        self._consumer.close()


def headers_of(message: ck.Message) -> dict[str, bytes]:
    headers = message.headers() or []
    assert isinstance(headers, list)
    return {name: value for name, value in headers if isinstance(value, bytes)}


def test_a_department_is_captured_without_loss(stack: LocalStack, department: psycopg.Connection[Any]) -> None:
    let_in(department)
    department.execute(f"ALTER TABLE {TABLE} REPLICA IDENTITY FULL")

    asyncio.run(_capture(stack, department))


async def _capture(stack: LocalStack, department: psycopg.Connection[Any]) -> None:
    parts = urlsplit(stack.endpoints.postgres)
    secrets = stack.home / "secrets"
    (secrets / "capture.properties").write_text("password=unused\n")
    database = Database(str(parts.hostname), parts.port or 0, DBNAME, "capture_test", f"${{file:{secrets}/capture.properties:password}}")
    capture = Capture(stack.endpoints.registry_native, -1, stack.endpoints.kafka, publication_mode="disabled")
    config = connector_config(DECLARATIONS, DEPARTMENT, database, capture)
    tables = (SOURCE.table, DEPARTMENT.heartbeat_table)
    create_topics(stack.endpoints.kafka, [(names.cdc(DEPARTMENT, table), DECLARATIONS.topics["cdc"].partitions, {}) for table in tables])
    create_topics(stack.endpoints.kafka, [(names.signal(DEPARTMENT), 1, {})])
    department.execute(f"INSERT INTO {TABLE} (rybh, gmsfhm, csrq, swbz) VALUES ('r1', 'k1', '1990-03-07', NULL)")
    reader = Reader(stack)
    async with ConnectClient(stack.endpoints.connect) as connect:
        assert (await connect.validate(config)).errors == {}
        await connect.put_config(DEPARTMENT.connector, config)
        try:
            await connect.settle(DEPARTMENT.connector, "RUNNING")
            _snapshot_and_stream(stack, reader, department)
            await _read_again_by_signal(stack, connect, reader, department)
            await _slot_made_again(connect, department)
        finally:
            reader.close()
            await connect.delete(DEPARTMENT.connector)


def _as_they_stand(stack: LocalStack) -> list[dict[str, Any]]:
    """The table's rows as a comparison reads them, the column that the declaration ignores among them."""
    whole = replace(SOURCE, mappings=(*SOURCE.mappings, replace(SOURCE.mappings[0], key_column="djsj")), ignored=frozenset())
    parts = urlsplit(stack.endpoints.postgres)
    settings = DatabaseSettings(str(parts.hostname), parts.port or 0, DBNAME, "capture_test", None, None)
    with closing(CapturedRows(DEPARTMENT, settings)) as rows:
        return [row for some in rows.all(whole) for row in some]


def _snapshot_and_stream(stack: LocalStack, reader: Reader, department: psycopg.Connection[Any]) -> None:
    ((read, headers),) = reader.changes(1)
    assert (read["op"], read["after"]["rybh"], read["source"]["snapshot"]) == ("r", "r1", "last")
    assert read["after"]["csrq"] == 7370, "dates are days"
    assert read["after"]["swbz"] == "0", "a NULL is captured as the column's default: so the checks refuse such a column"
    assert headers == {"x-epoch": b"3"}
    reader.changes(1, within_seconds=3)

    department.execute(f"UPDATE {TABLE} SET gmsfhm = 'k2' WHERE rybh = 'r1'")
    department.execute(f"DELETE FROM {TABLE}")
    department.execute(f"TRUNCATE {TABLE}")
    department.execute(f"ALTER TABLE {TABLE} ADD COLUMN later text")
    department.execute(
        f"INSERT INTO {TABLE} (rybh, gmsfhm, later, csrq, djsj) VALUES ('r2', 'k3', 'seen', '0001-01-01', '2024-01-01 00:00:00.1')"
    )
    changes = [change for change, _ in reader.changes(4)]

    assert [change["op"] for change in changes] == ["u", "d", "t", "c"]
    assert changes[0]["before"]["gmsfhm"] == "k1", "a changed key says whose record it was"
    assert changes[1]["before"]["gmsfhm"] == "k2"
    assert changes[3]["after"]["later"] == "seen", "a new column comes with its new schema"
    assert _as_they_stand(stack) == [{name: value for name, value in changes[3]["after"].items() if name != "later"}], "read as captured"
    positions = [tuple(int(part or 0) for part in json.loads(change["source"]["sequence"])) for change in (read, *changes)]
    assert positions[1:] == sorted(positions[1:])
    streamed = [beat for beat in reader.beats if beat["op"] != "r"]
    assert streamed, "beats come while nothing else happens"
    assert all(beat["after"]["beat_at"].endswith("Z") for beat in streamed)


async def _read_again_by_signal(stack: LocalStack, connect: ConnectClient, reader: Reader, department: psycopg.Connection[Any]) -> None:
    """Every row comes again in stream order, while others change: none is older than what came before it."""
    department.execute(f"INSERT INTO {TABLE} (rybh, gmsfhm, xm) SELECT 's' || n, 'k', '0' FROM generate_series(1, 3000) AS n")
    before = reader.changes(3000)
    (last,) = before[-1:]
    ask_for_snapshot(stack.endpoints.kafka, DEPARTMENT, [SOURCE.table])
    for turn in range(1, 21):
        department.execute(f"UPDATE {TABLE} SET xm = %s WHERE rybh IN ('s1', 's1500', 's2999')", (str(turn),))
        await asyncio.sleep(0.05)
    overtaken = {"s1", "s1500", "s2999"}
    rows = {"r2", *(f"s{n}" for n in range(1, 3001))}
    changes = await _all_of_the_snapshot(stack, connect, reader, must_come=rows - overtaken, last_turn=(overtaken, "20"))

    reads = [change for change in changes if change["op"] == "r"]
    assert rows >= {read["after"]["rybh"] for read in reads}
    assert {read["after"]["rybh"] for read in reads} >= rows - overtaken
    assert {read["source"]["snapshot"] for read in reads} == {"incremental"}
    positions = [read_position(change["source"], 3, 0) for change in (last[0], *changes)]
    assert {position[1] for position in positions} == {STREAM}
    assert positions == sorted(positions), "a READ never stands behind what came before it"
    newest: dict[str, dict[str, Any]] = {}
    for change in changes:
        newest[change["after"]["rybh"]] = change["after"]
    assert {newest[row]["xm"] for row in overtaken} == {"20"}, "a READ that was overtaken is dropped"


async def _all_of_the_snapshot(
    stack: LocalStack, connect: ConnectClient, reader: Reader, must_come: set[str], last_turn: tuple[set[str], str]
) -> list[dict[str, Any]]:
    """Everything up to the rows' READs and the last turn's updates, and what comes within 3 seconds after.

    How many changes that is depends on the windows: a READ is dropped when a change came in its window, and a chunk may be read anew.
    A task that fails over the snapshot (Debezium 3.7.0: two threads at one window) is started again, as its node does, and asked again.
    """
    changes: list[dict[str, Any]] = []
    updated, value = last_turn
    end = time.monotonic() + 90
    while time.monotonic() < end:
        if "FAILED" in (await connect.status(DEPARTMENT.connector)).states:
            await connect.restart(DEPARTMENT.connector, only_failed=True)
            ask_for_snapshot(stack.endpoints.kafka, DEPARTMENT, [SOURCE.table])
        changes += [change for change, _ in reader.changes(500, within_seconds=1)]
        read = {change["after"]["rybh"] for change in changes if change["op"] == "r"}
        written = {change["after"]["rybh"] for change in changes if change["op"] == "u" and change["after"]["xm"] == value}
        if read >= must_come and written >= updated:
            break
    return changes + [change for change, _ in reader.changes(len(must_come), within_seconds=3)]


async def _slot_made_again(connect: ConnectClient, department: psycopg.Connection[Any]) -> None:
    """A slot that was dropped and made again has lost changes: the connector must not go on as if nothing had happened."""
    await connect.stop(DEPARTMENT.connector)
    await connect.settle(DEPARTMENT.connector, "STOPPED")
    slot = capture_name(DEPARTMENT)
    department.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
    department.execute(f"INSERT INTO {TABLE} (rybh, gmsfhm) VALUES ('lost', 'k')")
    department.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
    await connect.resume(DEPARTMENT.connector)
    for _ in range(120):
        status = await connect.status(DEPARTMENT.connector)
        if "FAILED" in status.states:
            break
        await asyncio.sleep(0.25)

    assert "no longer available on the server" in (status.cause or "")


def test_the_nodes_topics_can_be_made(stack: LocalStack) -> None:
    topics = topics_of(DECLARATIONS, "luan")

    create_topics(stack.endpoints.kafka, [(topic.name, topic.partitions, topic.config) for topic in topics])
