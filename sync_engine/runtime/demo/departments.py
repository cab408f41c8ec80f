"""The databases of the demo, in one PostgreSQL and one MariaDB server: the departments' of the sample network, and two subscribers' own.

Tables are data (tables/<node>/<name>.sql, tables/targets/<settings>.<kind>.sql), as different as real departments'. The capture role may
write the heartbeat table only, the writer of a subscriber's table that table only. The surprise: on MariaDB a schema is a database, and all
departments' schemas are in one server, so their names differ.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import psycopg
import pymysql
import sqlalchemy as sa
from psycopg.rows import dict_row

from sync_engine.model.declaration import Declarations, Department
from sync_engine.provision.database import heartbeat_beat, heartbeat_ddl, publication_ddl, quoted

ROLE, WRITER = "capture", "writer"
TABLES = Path(__file__).parent / "tables"
MARIADB = "mariadb"


class Cursor(Protocol):
    """Of either kind of database."""

    def fetchall(self) -> Sequence[Any]: ...
    def fetchone(self) -> Any: ...


class Connection(Protocol):
    """A clerk's connection to either kind of database: parameters are `%s`; leaving it commits, an exception rolls back."""

    raw: Any
    """The driver's own."""

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Cursor: ...
    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None: ...
    def rows(self, statement: str) -> list[dict[str, Any]]: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *raised: Any) -> None: ...


class _Clerk:
    """What both kinds share."""

    def __init__(self, connection: Any) -> None:
        self.raw = connection

    def commit(self) -> None:
        self.raw.commit()

    def rollback(self) -> None:
        self.raw.rollback()

    def close(self) -> None:
        self.raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, *raised: Any) -> None:
        try:
            if kind is None:
                self.commit()
            else:
                self.rollback()
        finally:
            self.close()


class PostgresClerk(_Clerk):
    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Cursor:
        found: Cursor = self.raw.execute(statement, parameters or None)
        return found

    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with self.raw.cursor() as cursor:
            cursor.executemany(statement, rows)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        with self.raw.cursor(row_factory=dict_row) as cursor:
            return list(cursor.execute(statement).fetchall())


class MariaClerk(_Clerk):
    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Cursor:
        cursor = self.raw.cursor()
        cursor.execute(statement, tuple(parameters) or None)
        return cursor  # type: ignore[no-any-return]

    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with self.raw.cursor() as cursor:
            cursor.executemany(statement, rows)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        with self.raw.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def database_of(department: Department) -> str:
    """The name of a department's database; on MariaDB of the one whose schema is named first."""
    return department.heartbeat_table.partition(".")[0] if department.kind == MARIADB else f"demo_{department.node}_{department.name}"


class Departments:
    """`postgres` and `mariadb` = URLs of superusers."""

    def __init__(self, postgres: str, mariadb: str, declarations: Declarations) -> None:
        self._postgres = sa.make_url(postgres)
        self._mariadb = sa.make_url(mariadb)
        self._declarations = declarations

    def port_of(self, department: Department) -> int:
        return int((self._mariadb if department.kind == MARIADB else self._postgres).port or 0)

    def connect(self, department: str) -> Connection:
        """A connection to a department's database, as its own clerk."""
        return self._clerk(department)

    def _clerk(self, department: str) -> "PostgresClerk | MariaClerk":
        declared = self._declarations.departments[department]
        return self._maria() if declared.kind == MARIADB else self._pg(database_of(declared))

    def driver(self, department: str) -> Any:
        """The same as psycopg or pymysql give it."""
        return self._clerk(department).raw

    def make(self, password_file: Path) -> bool:
        """Create what does not exist; write the capture role's password where Connect reads it. Returns whether anything was made.

        Beside it are that password alone (`.password`, for `check --databases`) and the subscribers' databases (`<settings>.url`).
        """
        done = password_file.with_name("departments.made")
        if done.exists():
            return False
        password = secrets.token_urlsafe(16)
        self._roles(password)
        for department in self._declarations.departments.values():
            self._make_tables(department)
        for name, url in self._make_targets(password).items():
            _write(password_file.with_name(f"{name}.url"), url)
        _write(password_file, f"password={password}\n")
        _write(password_file.with_suffix(".password"), password)
        _write(done, "")  # last: what was broken off is made anew
        return True

    def targets(self, password_file: Path) -> Mapping[str, Path]:
        """Settings name of a subscriber -> the file with its database's address."""
        return {file.stem: file for file in sorted(password_file.parent.glob("*.url"))}

    # --- what an owner of a database prepares ---

    def _roles(self, password: str) -> None:
        with self._server() as server:
            for role, rights in ((ROLE, "LOGIN REPLICATION"), (WRITER, "LOGIN")):
                known = server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
                server.execute(f"{'ALTER' if known else 'CREATE'} ROLE {role} {rights} PASSWORD '{password}'")
        with self._maria() as maria:
            for role in (ROLE, WRITER):
                maria.execute(f"CREATE OR REPLACE USER {role}@'%' IDENTIFIED BY '{password}'")
            maria.execute(f"GRANT RELOAD, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO {ROLE}@'%'")

    def _make_tables(self, department: Department) -> None:
        if department.kind != MARIADB:
            self._make_database(database_of(department))
        to = f"{ROLE}@'%'" if department.kind == MARIADB else ROLE
        with self.connect(department.id) as owner:
            for statement in _statements(TABLES / department.node / f"{department.name}.sql"):
                owner.execute(statement)
            owner.execute(heartbeat_ddl(department))
            # There from the beginning: a snapshot's READ of it tells where the snapshot stands.
            owner.execute(heartbeat_beat(department))
            for table in (department.heartbeat_table, *(source.table for source in department.sources)):
                owner.execute(f"GRANT SELECT ON {quoted(table, department.kind)} TO {to}")
            owner.execute(f"GRANT INSERT, UPDATE ON {quoted(department.heartbeat_table, department.kind)} TO {to}")
            if department.kind == MARIADB:
                return
            for source in department.sources:
                owner.execute(f"ALTER TABLE {quoted(source.table)} REPLICA IDENTITY FULL")
            for schema in sorted({table.partition(".")[0] for table in _tables(department)}):
                owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}")
            # The publication is the owner's to make: the capture role owns nothing.
            owner.execute(publication_ddl(department))

    def _make_targets(self, password: str) -> dict[str, str]:
        made = {}
        for file in sorted((TABLES / "targets").glob("*.sql")):
            settings, kind = file.name.split(".")[:2]
            tables = [one.table.name for one in self._declarations.subscribers.values() if one.settings == settings and one.table]
            made[settings] = self._make_target(file, kind, f"demo_{settings}", tables, password)
        return made

    def _make_target(self, file: Path, kind: str, database: str, tables: Sequence[str], password: str) -> str:
        if kind == MARIADB:
            owner: Connection = self._maria()
            schema = tables[0].partition(".")[0]
            url = self._mariadb.set(drivername=MARIADB, username=WRITER, password=password, database=schema)
        else:
            self._make_database(database)
            owner = self._pg(database)
            url = self._postgres.set(drivername="postgresql", username=WRITER, password=password, database=database)
        with owner:
            for statement in _statements(file):
                owner.execute(statement)
            for table in tables:
                if kind != MARIADB:
                    owner.execute(f"GRANT USAGE ON SCHEMA {table.partition('.')[0]} TO {WRITER}")
                owner.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO {WRITER}" + ("@'%'" if kind == MARIADB else ""))
        return url.render_as_string(hide_password=False)

    def _make_database(self, name: str) -> None:
        with self._server() as server:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # of a start that was broken off
            server.execute(f"CREATE DATABASE {name}")

    # --- connections ---

    def _pg(self, database: str) -> PostgresClerk:
        return PostgresClerk(psycopg.connect(self._postgres.set(database=database).render_as_string(hide_password=False)))

    @contextmanager
    def _server(self) -> "Iterator[psycopg.Connection[Any]]":
        with psycopg.connect(self._postgres.render_as_string(hide_password=False), autocommit=True) as server:
            yield server

    def _maria(self) -> MariaClerk:
        url = self._mariadb
        return MariaClerk(pymysql.connect(host=url.host, port=url.port or 3306, user=url.username or "root", charset="utf8mb4"))


def _tables(department: Department) -> tuple[str, ...]:
    return (department.heartbeat_table, *(source.table for source in department.sources))


def _statements(file: Path) -> list[str]:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("--")]
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
