"""Deliveries into a table of the subscriber's database (PostgreSQL, MariaDB, MySQL): one row a record, one transaction a slice.

A row is overwritten by a greater version only, so duplicates and attempts that come late change nothing. The surprise: a database that
hangs cannot be called off from outside, so each slice runs in a thread that is left behind when its time is over; what it still does then
is guarded by the version like everything else.
"""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sync_engine.deliver.payload import Row
from sync_engine.model.declaration import TableTarget
from sync_engine.model.stage import Answer, Request
from sync_engine.runtime.target import REFUSED
from sync_engine.setting_kinds import Secret

DRIVERS: Mapping[str, str] = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "mysql": "mysql+pymysql"}
_CONNECT_SECONDS, _SILENT_SECONDS = 5, 30
_CONNECT: Mapping[str, Mapping[str, Any]] = {
    "postgresql": {
        "connect_timeout": _CONNECT_SECONDS,
        "tcp_user_timeout": _SILENT_SECONDS * 1000,
        "options": f"-c statement_timeout={_SILENT_SECONDS}s",
        "prepare_threshold": None,  # a pooler between us and the database may not know what was prepared
    },
    "mysql": {
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": _SILENT_SECONDS,
        "write_timeout": _SILENT_SECONDS,
        "charset": "utf8mb4",
        "sql_mode": "STRICT_ALL_TABLES",  # else a value that does not fit is cut in silence
    },
}
_REFUSED_CLASSES = ("22", "23", "P0")
"""SQLSTATE classes of one row's own fault: data exception, integrity constraint, raised by a trigger."""
_REFUSED_CODES = frozenset({1048, 1062, 1264, 1265, 1292, 1364, 1366, 1367, 1406, 1451, 1452, 1644, 3819, 4025})
_NO_UNIQUE_KEY = "the key column is no primary key and has no unique index"
_OTHER_COLLATION = "the key column takes different keys for equal: it needs a binary collation"
_WORDS: Mapping[str, str] = {
    "42P01": "the table does not exist",
    "3F000": "the schema does not exist",
    "42703": "a declared column does not exist",
    "42P10": _NO_UNIQUE_KEY,
    "42804": "a column is of another type than its item",
    "42501": "the role may not write the table",
    "25006": "the database is read-only",
    "57014": "the database needs too long",
    "28P01": "the database refuses the credentials",
    "3D000": "the database does not exist",
    "1146": "the table does not exist",
    "1054": "a declared column does not exist",
    "1142": "the role may not write the table",
    "1143": "the role may not write a column",
    "1045": "the database refuses the credentials",
    "1044": "the role may not use the database",
    "1049": "the database does not exist",
    "1290": "the database is read-only",
}


# PostgreSQL asks for a unique index itself. Here the statement would add a second row of the key in silence, or take one key for another.
_UNIQUE_INDEXES = sa.text(
    "SELECT max(column_name) FROM information_schema.statistics"
    " WHERE table_schema = :schema AND table_name = :table AND non_unique = 0 GROUP BY index_name HAVING count(*) = 1"
)
_COLLATION = sa.text(
    "SELECT collation_name FROM information_schema.columns WHERE table_schema = :schema AND table_name = :table AND column_name = :key"
)

_NONE: sa.ColumnClause[Any] = sa.literal_column("-1")
"""Not a parameter: PyMySQL sends many rows as one statement only if nothing behind VALUES is one."""


def table_of(target: TableTarget) -> sa.TableClause:
    """The table without types: each value goes as it is, and the database turns it into the column's own type."""
    schema, _, name = target.name.rpartition(".")
    extra = [column for column in (target.state, target.moved_to, target.statuses) if column is not None]
    names = (target.key, target.version, *target.columns.values(), *extra)
    return sa.table(name, *(sa.column(column) for column in names), schema=schema or None)


def upsert_all(target: TableTarget) -> sa.Insert:
    """`upsert` of many rows for PostgreSQL, the parameter `rows` as JSON: nothing is prepared, so row by row it would plan each anew."""
    table = table_of(target)
    preparer: Any = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]
    none: sa.ColumnClause[Any] = sa.literal_column(f"NULL::{preparer.format_table(table)}")
    given = sa.func.json_populate_recordset(none, sa.cast(sa.bindparam("rows", type_=sa.Text()), postgresql.JSON))
    rows = given.table_valued(*table.c.keys())
    return _guarded(target, postgresql.insert(table).from_select(table.c.keys(), sa.select(*rows.c)))


def _guarded(target: TableTarget, insert: postgresql.Insert) -> postgresql.Insert:
    table, new = table_of(target), insert.excluded
    return insert.on_conflict_do_update(
        index_elements=[target.key],
        set_={column.name: new[column.name] for column in table.c if column.name != target.key},
        where=new[target.version] > sa.func.coalesce(table.c[target.version], _NONE),
    )


def upsert(target: TableTarget, dialect: str) -> sa.Insert:
    """Insert, or overwrite what has a smaller version or none: in one statement, so that no other writer comes between."""
    table = table_of(target)
    version, key = table.c[target.version], table.c[target.key]
    rest = [column for column in table.c if column.name not in (target.key, target.version)]
    if dialect == "postgresql":
        return _guarded(target, postgresql.insert(table))
    doubled = mysql.insert(table)
    given = doubled.inserted
    # Any unique index brings us here: a row of another key is left alone, and `_turned_away` finds that ours is missing.
    newer = sa.and_(given[target.key] == key, given[target.version] > sa.func.coalesce(version, _NONE))
    # Assigned from left to right: the version last, since the others look at it.
    return doubled.on_duplicate_key_update([(column.name, sa.func.if_(newer, given[column.name], column)) for column in (*rest, version)])


class TableWriter:
    """`Target` over a table. For one thread."""

    def __init__(self, target: TableTarget, url: Secret) -> None:
        self._target = target
        given = sa.make_url(url.reveal())
        self._dialect = "postgresql" if given.drivername == "postgresql" else "mysql"
        self._engine = sa.create_engine(
            given.set(drivername=DRIVERS[given.drivername]),
            pool_size=1,
            max_overflow=0,
            pool_timeout=1,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=dict(_CONNECT[self._dialect]),
        )
        self._statement = upsert(target, self._dialect)
        self._statement_of_all = upsert_all(target)
        self._running: Future[Sequence[Answer]] | None = None
        self._key_is_fit = self._dialect == "postgresql"

    def deliver(self, requests: Sequence[Request]) -> Sequence[Answer]:
        if not requests:
            return []
        limit = max(request.timeout_seconds for request in requests)
        if self._running is not None and not self._running.done():
            return [Answer(False, None, "not sent: the database has not answered what was sent before")] * len(requests)
        self._running = _in_a_thread(self, requests)
        try:
            return self._running.result(limit)
        except FutureTimeout:
            return [Answer(False, None, f"no answer within {limit:g} s")] * len(requests)

    def close(self) -> None:
        if self._running is None or self._running.done():
            self._engine.dispose()

    def write(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """The slice in one transaction; if a row of it is refused, again with a savepoint for each, so that the others go in."""
        rows = [self._row(request) for request in requests]
        try:
            with self._engine.begin() as connection:
                unfit = self._unfit_key(connection)
                if unfit:
                    return [Answer(False, None, unfit)] * len(rows)
                if self._dialect == "postgresql":
                    connection.execute(self._statement_of_all, {"rows": msgspec.json.encode(rows).decode()})
                else:
                    connection.execute(self._statement, rows)
                away = self._turned_away(connection, rows)
        except DBAPIError as error:
            if not _judge(error)[0]:
                return [_failed(error)] * len(rows)
        except SQLAlchemyError as error:
            return [Answer(False, None, f"no connection: {type(error).__name__}")] * len(rows)
        else:
            return [_turned_away() if row[self._target.key] in away else _written() for row in rows]
        try:
            with self._engine.begin() as connection:
                return [self._write_one(connection, row) for row in rows]
        except SQLAlchemyError as error:
            return [_failed(error)] * len(rows)

    def _unfit_key(self, connection: sa.Connection) -> str | None:
        """Why the key column is no key; asked until it is one. A table or column that is missing is the statement's to say."""
        if self._key_is_fit:
            return None
        table = table_of(self._target)
        named = {"schema": table.schema, "table": table.name}
        collation = connection.execute(_COLLATION, {**named, "key": self._target.key}).scalar()
        indexes = connection.execute(_UNIQUE_INDEXES, named).scalars().all()
        if collation is not None and not collation.endswith("_bin"):
            return _OTHER_COLLATION
        if collation is not None and self._target.key not in indexes:
            return _NO_UNIQUE_KEY
        self._key_is_fit = True
        return None

    def _write_one(self, connection: sa.Connection, row: Mapping[str, Any]) -> Answer:
        try:
            with connection.begin_nested():
                connection.execute(self._statement, [row])
        except DBAPIError as error:
            if not _judge(error)[0]:
                raise
            return _failed(error)
        return _turned_away() if self._turned_away(connection, [row]) else _written()

    def _turned_away(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> set[str]:
        """Keys that are missing although nothing was refused: another unique index met another row (not on PostgreSQL)."""
        if self._dialect == "postgresql":
            return set()
        key = table_of(self._target).c[self._target.key]
        wanted = {row[self._target.key] for row in rows}
        return wanted - {str(found) for (found,) in connection.execute(sa.select(key).where(key.in_(sorted(wanted))))}

    def _row(self, request: Request) -> dict[str, Any]:
        row = msgspec.json.decode(request.body, type=Row)
        return {self._target.key: row.key, self._target.version: row.version, **row.columns}


def _in_a_thread(writer: TableWriter, requests: Sequence[Request]) -> "Future[Sequence[Answer]]":
    """A daemon thread: a database that hangs must not hold up the end of the process either."""
    future: Future[Sequence[Answer]] = Future()

    def run() -> None:
        try:
            future.set_result(writer.write(requests))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="table", daemon=True).start()
    return future


def _judge(error: SQLAlchemyError) -> tuple[bool, str]:
    """Whether one row is at fault, and the reason. Never the database's own text: it repeats values."""
    original: Any = getattr(error, "orig", None)
    arguments = getattr(original, "args", ())
    # MariaDB's number before its SQLSTATE: HY000 stands for many, the faults of one row among them.
    state = str(arguments[0]) if arguments and isinstance(arguments[0], int) else getattr(original, "sqlstate", None) or ""
    refused = state.startswith(_REFUSED_CLASSES) if len(state) == 5 else state.isdigit() and int(state) in _REFUSED_CODES
    if refused:
        return True, f"the table does not take the row ({state})"
    if not state:
        return False, "no connection to the database"
    return False, _WORDS.get(state) or f"the database fails ({state})"


def _failed(error: SQLAlchemyError) -> Answer:
    refused, why = _judge(error)
    return Answer(False, REFUSED if refused else None, why)


def _written() -> Answer:
    return Answer(True, None, "written, or the table has a newer version")


def _turned_away() -> Answer:
    return Answer(False, REFUSED, "another row has a value that a unique index allows once")
