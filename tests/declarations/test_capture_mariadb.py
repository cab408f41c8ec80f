"""The connector's configuration and the database checks against a real MariaDB, Kafka Connect and Debezium."""

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import confluent_kafka as ck
import pytest

from sync_engine import declared
from sync_engine.ingest.capture import read_position
from sync_engine.model import names
from sync_engine.model.avro import decoder
from sync_engine.model.claim import Position
from sync_engine.model.declaration import Department
from sync_engine.observe.lag import DARK_AFTER_MS
from sync_engine.provision.connector import Capture, Database, connector_config
from sync_engine.provision.database import check_queries, heartbeat_ddl
from sync_engine.runtime.connect import ConnectClient
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.localstack.fetch import fetch
from sync_engine.runtime.localstack.services import mariadb_programs
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.rows import CapturedRows
from sync_engine.runtime.topics import create_topics
from sync_engine.settings import DatabaseSettings
from tests.conftest import open_folder

DECLARATIONS = declared.read()
DEPARTMENT = replace(DECLARATIONS.departments["jinan/public_security"], node="captured", kind="mariadb", epoch=3)
(SOURCE,) = DEPARTMENT.sources
TABLE = SOURCE.table

pytestmark = pytest.mark.stack

Execute = Callable[..., str]


@pytest.fixture(scope="module")
def servers() -> Iterator[LocalStack]:
    """Servers of its own: Connect takes MariaDB's plugin only if it starts with it."""
    with open_folder() as folder, LocalStack(folder / "stack", ("kafka", "registry", "mariadb", "connect")) as stack:
        yield stack


@pytest.fixture
def execute(servers: LocalStack) -> Execute:
    programs = mariadb_programs(fetch(print, roots={"mariadb"})["mariadb"])
    port = urlsplit(servers.endpoints.mariadb).port

    def run(statements: str, user: str = "root") -> str:
        command = [str(programs / "mariadb"), "--no-defaults", "--default-character-set=utf8mb4", "-h", "127.0.0.1", "-P", str(port)]
        done = subprocess.run(
            [*command, "-u", user, "-N", "-B", "-e", statements],
            env={"LD_LIBRARY_PATH": str(programs.parent / "libs")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run("SET GLOBAL max_recursive_iterations = 1000000")
    run(
        "DROP DATABASE IF EXISTS hj; CREATE DATABASE hj; CREATE OR REPLACE USER capture@'%'; "
        f"CREATE TABLE {TABLE} (rybh bigint unsigned PRIMARY KEY, gmsfhm varchar(18) NOT NULL, xm varchar(60) CHARACTER SET gbk,"
        " xb char(1), csrq date, mz varchar(20) CHARACTER SET utf8mb4, swbz tinyint(1), hyzk char(2),"
        " hjqh int unsigned, hjdz text, qrrq date,"
        " lxdh decimal(20,4),"
        " djsj datetime(6)) CHARACTER SET utf8mb4; " + heartbeat_ddl(DEPARTMENT)
    )
    return run


def let_in(execute: Execute) -> None:
    """Give the capture user the least that it needs."""
    execute(
        f"GRANT RELOAD, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO capture@'%'; GRANT SELECT ON {TABLE} TO capture@'%';"
        f"GRANT SELECT, INSERT, UPDATE ON {DEPARTMENT.heartbeat_table} TO capture@'%'"
    )


def wrong(execute: Execute) -> set[str]:
    found = set()
    for check in check_queries(DEPARTMENT):
        sql = check.sql
        for name, value in check.parameters.items():
            sql = sql.replace(f"%({name})s", f"'{value}'")
        if execute(sql, "capture") != check.expected:
            found.add(check.subject)
    return found


class Changes:
    """The table's changes, each of which must stand after the one before."""

    def __init__(self, stack: LocalStack, department: Department = DEPARTMENT) -> None:
        self._registry = SchemaRegistry(stack.endpoints.registry)
        settings = {"bootstrap.servers": stack.endpoints.kafka, "group.id": department.node, "auto.offset.reset": "earliest"}
        self._consumer = ck.Consumer({**settings, "isolation.level": "read_committed"})
        self._consumer.subscribe([names.cdc(department, TABLE)])
        self.positions: list[Position] = []

    def next(self, count: int, within_seconds: float = 30) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        end = time.monotonic() + within_seconds
        while len(found) < count and time.monotonic() < end:
            message = self._consumer.poll(0.2)
            if message is None or message.error():
                continue
            framed = message.value()
            assert framed, "no tombstones"
            envelope = decoder(json.loads(self._registry.schema(int.from_bytes(framed[1:5], "big"))))(framed[5:])
            self.positions.append(read_position(envelope["source"], 3, message.offset() or 0))
            found.append(envelope)
        assert self.positions == sorted(self.positions), "positions rise along the stream"
        assert len(found) == count
        return found

    def close(self) -> None:
        self._consumer.close()


def numbers(count: int) -> str:
    return f"WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"


def prepared(servers: LocalStack, department: Department) -> dict[str, str]:
    """The connector's configuration; the topics are there."""
    tables = [names.cdc(department, table) for table in (TABLE, department.heartbeat_table)]
    create_topics(servers.endpoints.kafka, [(topic, 1, {}) for topic in (*tables, names.signal(department))])
    database = Database("127.0.0.1", urlsplit(servers.endpoints.mariadb).port or 0, "hj", "capture", "")
    capture = Capture(servers.endpoints.registry_native, -1, servers.endpoints.kafka)
    return connector_config(DECLARATIONS, department, database, capture)


def test_a_department_is_captured_without_loss(servers: LocalStack, execute: Execute) -> None:
    asyncio.run(_captured(servers, execute))


async def _captured(servers: LocalStack, execute: Execute) -> None:
    assert wrong(execute) == {
        "role",
        f"{TABLE}: columns",
        f"{TABLE}: privileges",
        f"{TABLE}: primary key",
        f"{DEPARTMENT.heartbeat_table}: columns",
        f"{DEPARTMENT.heartbeat_table}: privileges",
    }
    let_in(execute)
    assert wrong(execute) == set()
    execute(f"ALTER TABLE {TABLE} ALTER xm SET DEFAULT 'x'")
    assert wrong(execute) == {f"{TABLE}: defaults"}
    execute(f"ALTER TABLE {TABLE} ALTER xm SET DEFAULT NULL")

    execute(
        f"INSERT INTO {TABLE} VALUES (1,'k1','张三','1','1990-03-07','𠮷',1,NULL,341502"
        ",'路','2010-09-01',12.5,'2024-01-01 00:00:00.000001')"
    )
    config = prepared(servers, DEPARTMENT)
    changes = Changes(servers)
    slow = threading.Thread(
        target=execute, args=(f"BEGIN; INSERT INTO {TABLE} (rybh, gmsfhm) VALUES (2, 'open'); SELECT SLEEP(8); COMMIT",)
    )
    slow.start()
    await asyncio.sleep(1)
    async with ConnectClient(servers.endpoints.connect) as connect:
        assert (await connect.validate(config)).errors == {}
        await connect.put_config(DEPARTMENT.connector, config)
        await connect.settle(DEPARTMENT.connector, "RUNNING")
        (read,) = changes.next(1)
        _snapshot(read)
        assert _as_they_stand(servers) == [read["after"]], "a row is read as it is captured"
        _open_transaction(changes, execute)
        slow.join()
        _stream(changes, execute)
        _many_rows(changes, execute)
        await connect.stop(DEPARTMENT.connector)
        await connect.settle(DEPARTMENT.connector, "STOPPED")
        execute(
            f"INSERT INTO {TABLE} (rybh, gmsfhm) VALUES (21, 'a'); FLUSH BINARY LOGS; INSERT INTO {TABLE} (rybh, gmsfhm) VALUES (22, 'b')"
        )
        await connect.resume(DEPARTMENT.connector)
        assert [change["after"]["rybh"] for change in changes.next(2)] == [21, 22]
    servers.restart("mariadb")
    servers.restart("connect")
    execute(f"INSERT INTO {TABLE} (rybh, gmsfhm) VALUES (23, 'c')")
    assert [change["after"]["rybh"] for change in changes.next(1, within_seconds=90)] == [23]
    changes.close()
    async with ConnectClient(servers.endpoints.connect) as connect:
        await connect.delete(DEPARTMENT.connector)


INTERRUPTED = replace(DEPARTMENT, node="interrupted")
ROWS = 30_000


def test_a_snapshot_and_a_stream_that_were_killed_go_on_without_loss(servers: LocalStack, execute: Execute) -> None:
    let_in(execute)
    execute(f"INSERT INTO {TABLE} (rybh, gmsfhm, xm) {numbers(ROWS)} SELECT n, concat('k', n), 'read' FROM numbers")
    config = prepared(servers, INTERRUPTED)
    asyncio.run(_started(servers, config))
    changes = Changes(servers, INTERRUPTED)
    changes.next(1, within_seconds=60)

    servers.process("connect").kill()
    execute(f"DELETE FROM {TABLE} WHERE rybh <= 10; UPDATE {TABLE} SET xm = 'changed' WHERE rybh = 11")
    servers.restart("connect")

    seen = _until(changes, lambda change: change["source"]["snapshot"] == "last")
    assert changes.positions[0] < changes.positions[-1], "it was read from its beginning again, at a later place"
    again = [change for change, position in zip(seen, changes.positions[1:], strict=True) if position == changes.positions[-1]]
    assert {change["after"]["rybh"] for change in again} == set(range(11, ROWS + 1)), "what its last READ sweeps is what was gone by then"

    busy = threading.Thread(target=execute, args=("; ".join(f"UPDATE {TABLE} SET xm = '{n}' WHERE rybh = {n}" for n in range(101, 2101)),))
    busy.start()
    changes.next(1)
    servers.process("connect").kill()
    busy.join()
    servers.restart("connect")
    streamed = _until(changes, lambda change: change["after"]["xm"] == "2100")
    assert {change["after"]["xm"] for change in streamed} >= {str(n) for n in range(102, 2101)}
    assert len(streamed) <= 2000, "exactly-once: nothing committed comes twice"
    changes.close()


async def _started(servers: LocalStack, config: dict[str, str]) -> None:
    async with ConnectClient(servers.endpoints.connect) as connect:
        await connect.put_config(config["name"], config)


def _until(changes: Changes, ends: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    found = changes.next(1, within_seconds=90)
    while not ends(found[-1]):
        found.extend(changes.next(1))
    return found


def _as_they_stand(servers: LocalStack) -> list[dict[str, Any]]:
    """The table's rows as a comparison reads them, the column that the declaration ignores among them."""
    whole = replace(SOURCE, mappings=(*SOURCE.mappings, replace(SOURCE.mappings[0], key_column="djsj")), ignored=frozenset())
    port = urlsplit(servers.endpoints.mariadb).port or 0
    with closing(CapturedRows(DEPARTMENT, DatabaseSettings("127.0.0.1", port, "hj", "capture", None, None))) as rows:
        return [row for some in rows.all(whole) for row in some]


def _many_rows(changes: Changes, execute: Execute) -> None:
    """One statement of many events."""
    execute(f"INSERT INTO {TABLE} (rybh, gmsfhm) {numbers(2000)} SELECT 1000 + n, 's' FROM numbers")
    changes.next(2000)


def _in_one_transaction(changes: Changes, execute: Execute) -> None:
    """MariaDB gives all of it one place: what came later must stand later all the same."""
    execute(f"BEGIN; UPDATE {TABLE} SET xm = 'z' WHERE rybh = 9; UPDATE {TABLE} SET xm = 'a' WHERE rybh = 9; COMMIT")
    assert [change["after"]["xm"] for change in changes.next(2)] == ["z", "a"]
    assert changes.positions[-2][:4] == changes.positions[-1][:4]
    assert changes.positions[-2] < changes.positions[-1]


def _beats_of_a_quiet_server(servers: LocalStack) -> None:
    """Nobody writes, and the beats go on: without a word of its own every 48 s only."""
    consumer = ck.Consumer({"bootstrap.servers": servers.endpoints.kafka, "group.id": "beats", "isolation.level": "read_committed"})
    beats = (names.cdc(DEPARTMENT, DEPARTMENT.heartbeat_table), 0)
    consumer.assign([ck.TopicPartition(*beats, consumer.get_watermark_offsets(ck.TopicPartition(*beats), timeout=10)[1])])
    seen = [message for message in consumer.consume(3, DARK_AFTER_MS / 1000) if message.error() is None]
    consumer.close()
    assert len(seen) == 3, "the source would be dark"


def _in_one_transaction(changes: Changes, execute: Execute) -> None:
    """MariaDB gives all of it one place: what came later must stand later all the same."""
    execute(f"BEGIN; UPDATE {TABLE} SET xm = 'z' WHERE rybh = 9; UPDATE {TABLE} SET xm = 'a' WHERE rybh = 9; COMMIT")
    assert [change["after"]["xm"] for change in changes.next(2)] == ["z", "a"]
    assert changes.positions[-2][:4] == changes.positions[-1][:4]
    assert changes.positions[-2] < changes.positions[-1]


def _snapshot(read: dict[str, Any]) -> None:
    assert (read["op"], read["source"]["snapshot"]) == ("r", "last")
    values = {"xm": "张三", "mz": "𠮷", "csrq": 7370, "swbz": 1, "hjqh": 341502, "lxdh": "12.5000", "djsj": 1704067200000001}
    assert values.items() <= read["after"].items()


def _open_transaction(changes: Changes, execute: Execute) -> None:
    """A transaction that was open during the snapshot stands where it commits, also after what began later."""
    execute(f"INSERT INTO {TABLE} (rybh, gmsfhm) VALUES (3, 'later')")
    assert [change["after"]["rybh"] for change in changes.next(2)] == [3, 2]


def _stream(changes: Changes, execute: Execute) -> None:
    execute(f"UPDATE {TABLE} SET gmsfhm = 'k2' WHERE rybh = 1; UPDATE {TABLE} SET rybh = rybh + 1 WHERE rybh > 1 ORDER BY rybh DESC")
    execute(f"DELETE FROM {TABLE} WHERE rybh = 1; TRUNCATE {TABLE}; FLUSH BINARY LOGS; ALTER TABLE {TABLE} ADD COLUMN later varchar(9)")
    execute(f"INSERT INTO {TABLE} (rybh, gmsfhm, later) VALUES (9, 'k3', 'seen')")
    update, *moved, delete, truncate, insert = changes.next(8)

    assert (update["before"]["gmsfhm"], update["after"]["gmsfhm"]) == ("k1", "k2")
    assert [(change["op"], (change["after"] or change["before"])["rybh"]) for change in moved] == [("d", 3), ("c", 4), ("d", 2), ("c", 3)]
    _in_one_transaction(changes, execute)
    assert (delete["op"], delete["before"]["gmsfhm"], truncate["op"]) == ("d", "k2", "t")
    assert insert["after"]["later"] == "seen"
