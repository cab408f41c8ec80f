"""The loader on real servers: what the world says is what the tables hold."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

import sync_engine.runtime.demo
from sync_engine.runtime.demo.bulk import Connection, load
from sync_engine.runtime.demo.world import world

pytestmark = pytest.mark.stack

PEOPLE = 2_500
TABLES = Path(sync_engine.runtime.demo.__file__).parent / "tables"
DEPARTMENTS = [file for file in sorted(TABLES.glob("*/*.sql")) if file.parent.name != "targets"]
ON_MARIADB = ("jinan/civil_affairs", "jinan/market_regulation", "feixi/public_security")


class _Servers:
    """The departments' databases on one PostgreSQL and one MariaDB server."""

    def __init__(self, postgres: str, mariadb: str) -> None:
        self._postgres = postgres.rsplit("/", 1)[0]
        self._mariadb = sa.make_url(mariadb)

    def connect(self, department: str) -> Connection:
        if department in ON_MARIADB:
            url = self._mariadb
            return pymysql.connect(host=url.host, port=url.port or 3306, user=url.username, password=url.password or "", charset="utf8mb4")
        return psycopg.connect(f"{self._postgres}/{_database(department)}")

    def make(self) -> None:
        self.drop()
        for file in DEPARTMENTS:
            department = f"{file.parent.name}/{file.stem}"
            if department not in ON_MARIADB:
                self._of_postgres(f"CREATE DATABASE {_database(department)}")
            connection = self.connect(department)
            text = "".join(line for line in file.read_text().splitlines(keepends=True) if not line.startswith("--"))
            for statement in filter(None, map(str.strip, text.split(";"))):
                connection.cursor().execute(statement)
            connection.commit()
            connection.close()

    def drop(self) -> None:
        for file in DEPARTMENTS:
            department = f"{file.parent.name}/{file.stem}"
            if department not in ON_MARIADB:
                self._of_postgres(f"DROP DATABASE IF EXISTS {_database(department)}")
        connection = self.connect(ON_MARIADB[0])
        for name in ("mz", "scjg", "pop"):
            connection.cursor().execute(f"DROP DATABASE IF EXISTS {name}")
        connection.close()

    def _of_postgres(self, statement: str) -> None:
        with psycopg.connect(f"{self._postgres}/postgres", autocommit=True) as server:
            server.execute(statement)


def _database(department: str) -> str:
    return "bulk_" + department.replace("/", "_")


@pytest.fixture
def servers(postgres: str, mariadb: str) -> Iterator[_Servers]:
    servers = _Servers(postgres, mariadb)
    servers.make()
    yield servers
    servers.drop()


def test_the_tables_hold_the_rows_of_the_world(servers: _Servers) -> None:
    told: dict[str, int] = {}
    written = load(world(PEOPLE), servers.connect, told.__setitem__)
    assert told == written
    expected: Counter[str] = Counter()
    for rows in world(PEOPLE):
        expected[rows.table] += len(rows.rows)
        connection = servers.connect(rows.database)
        cursor = connection.cursor()
        cursor.execute(f"SELECT {', '.join(rows.columns)} FROM {rows.table}")
        held: set[Any] = {tuple(row) for row in cursor.fetchall()}
        assert held >= set(rows.rows), rows.table
        connection.close()
    assert written == expected


def test_a_server_error_ends_the_load_and_keeps_what_was_committed(servers: _Servers) -> None:
    first = next(world(PEOPLE))
    with pytest.raises(psycopg.errors.UniqueViolation):
        load([first, first], servers.connect)
    connection = servers.connect(first.database)
    cursor = connection.cursor()
    cursor.execute("SELECT count(*) FROM hj.t_czrk")
    assert cursor.fetchall() == [(len(first.rows),)]
    connection.close()
