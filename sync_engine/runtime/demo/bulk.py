"""Rows into the departments' databases, fast: COPY into PostgreSQL, INSERTs of many rows into MariaDB."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import psycopg
from psycopg import sql

from sync_engine.runtime.demo.rows import Rows


class Connection(Protocol):
    """What psycopg and pymysql connections have in common."""

    def cursor(self) -> Any: ...
    def commit(self) -> None: ...
    def close(self) -> None: ...


def load(
    rows: Iterable[Rows], connect: Callable[[str], Connection], progress: Callable[[str, int], None] = lambda table, count: None
) -> Counter[str]:
    """Write the rows; every Rows is one transaction. Returns how many each table got.

    `connect` opens the database of a department's id; it is asked once for each, and what it opened is closed at the end.
    `progress` is told the table and its rows so far after every commit. An error of a server ends the load: what was committed stays.
    """
    connections: dict[str, Connection] = {}
    written: Counter[str] = Counter()
    try:
        for one in rows:
            if one.database not in connections:
                connections[one.database] = connect(one.database)
            _write(connections[one.database], one)
            written[one.table] += len(one.rows)
            progress(one.table, written[one.table])
    finally:
        for connection in connections.values():
            connection.close()
    return written


def _write(connection: Connection, rows: Rows) -> None:
    if isinstance(connection, psycopg.Connection):
        _copy(connection, rows)
    else:
        _insert(connection, rows)
    connection.commit()


def _copy(connection: "psycopg.Connection[Any]", rows: Rows) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(*rows.table.split(".")), sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows.rows:
            copy.write_row(row)


def _insert(connection: Connection, rows: Rows) -> None:
    places = ", ".join(["%s"] * len(rows.columns))
    with connection.cursor() as cursor:
        # The driver makes one statement of many rows from this.
        cursor.executemany(f"INSERT INTO {rows.table} ({', '.join(rows.columns)}) VALUES ({places})", rows.rows)  # noqa: S608
