"""The rows of a captured table as they stand, their values as the capture gives them (provision/connector says how).

Read by the capture user in the order of the primary key, a slice a statement, so that no transaction of ours stays open. What the drivers
make of dates, decimals and times is not what Debezium makes of them, so the texts of the database's own protocol are read here.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import psycopg.adapt
import pymysql
import pymysql.converters
from pymysql.constants import FIELD_TYPE

from sync_engine.model.declaration import Department, Source
from sync_engine.provision.database import (
    BINLOG_KINDS,
    database_now,
    key_behind,
    quoted,
    read_columns,
    rows_behind,
    rows_named,
)
from sync_engine.runtime.databases import DatabaseUnreachable, connect, words_of
from sync_engine.settings import DatabaseSettings

Row = dict[str, Any]
Key = Sequence[Any]
SLICE_ROWS = 5_000
NAMED_ROWS = 500
STATEMENT_SECONDS = 60

_EPOCH = datetime(1970, 1, 1)  # a moment without a zone
_MICROSECOND = timedelta(microseconds=1)


class TableUnreadable(Exception):
    """The database refuses what is asked of a table: its words, which name no value."""


class CapturedRows:
    """One department's database. For one thread. Raises DatabaseUnreachable, LoginRefused, TableUnreadable."""

    def __init__(self, department: Department, settings: DatabaseSettings) -> None:
        self._kind = department.kind
        self._section = f"databases.{department.settings}"
        if self._kind in BINLOG_KINDS:
            # TIMESTAMPs come in the session's zone.
            more: dict[str, Any] = {"conv": _BINLOG_VALUES, "init_command": "SET SESSION time_zone = '+00:00'"}
            self._connection = connect(department, settings, STATEMENT_SECONDS, **more)
        else:
            self._connection = connect(department, settings, STATEMENT_SECONDS)
            self._connection.execute("SET TIME ZONE 'UTC'")
            self._connection.execute("SET DateStyle = 'ISO'")
            for name, loader in _POSTGRESQL_LOADERS.items():
                self._connection.adapters.register_loader(name, loader)
        self._key_types: dict[str, list[int]] = {}

    def close(self) -> None:
        self._connection.close()

    def now_ms(self) -> int:
        """The database's own time."""
        return int(self._ask(database_now(self._kind), ())[0][0])

    def all(self, source: Source) -> Iterator[list[Row]]:
        """Every row, in slices."""
        rows = self._rows(source, rows_behind(source, self._kind, SLICE_ROWS, begins=True), ())
        while rows:
            yield rows
            if len(rows) < SLICE_ROWS:
                return
            key = self._parameters(source, [rows[-1][column] for column in source.primary_key])
            rows = self._rows(source, rows_behind(source, self._kind, SLICE_ROWS, begins=False), key_behind(key))

    def named(self, source: Source, keys: Sequence[Key]) -> list[Row]:
        """Those of the rows that are there."""
        found = []
        for start in range(0, len(keys), NAMED_ROWS):
            some = keys[start : start + NAMED_ROWS]
            parameters = [value for key in some for value in self._parameters(source, key)]
            found += self._rows(source, rows_named(source, self._kind, len(some)), parameters)
        return found

    def _rows(self, source: Source, statement: str, parameters: Sequence[Any]) -> list[Row]:
        columns = read_columns(source)
        return [dict(zip(columns, row, strict=True)) for row in self._ask(statement, parameters)]

    def _ask(self, statement: str, parameters: Sequence[Any]) -> Any:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, tuple(parameters) or None)
                return cursor.fetchall()
        except (psycopg.OperationalError, pymysql.OperationalError, pymysql.InterfaceError) as failure:
            raise DatabaseUnreachable(self._section, words_of(failure)) from failure
        except (psycopg.Error, pymysql.Error) as refusal:
            raise TableUnreadable(words_of(refusal)) from refusal

    # --- a primary key, back into what the database compares with ---

    def _parameters(self, source: Source, key: Key) -> list[Any]:
        back = _BINLOG_KEYS if self._kind in BINLOG_KINDS else _POSTGRESQL_KEYS
        types = self._types(source)
        if self._kind in BINLOG_KINDS and not _BINLOG_NO_KEYS.isdisjoint(types):
            raise TableUnreadable(f"{source.table}: a moment or a fraction in the primary key")
        values = [back[type_](value) if type_ in back else value for type_, value in zip(types, key, strict=True)]
        # PostgreSQL takes a text without a type for what it is compared with.
        return values if self._kind in BINLOG_KINDS else [value if value is None else str(value) for value in values]

    def _types(self, source: Source) -> list[int]:
        if source.table not in self._key_types:
            columns = ", ".join(quoted(column, self._kind) for column in source.primary_key)
            with self._connection.cursor() as cursor:
                cursor.execute(f"SELECT {columns} FROM {quoted(source.table, self._kind)} LIMIT 0")  # noqa: S608  # declared names
                self._key_types[source.table] = [column[1] for column in cursor.description]
        return self._key_types[source.table]


# --- values: Debezium's ---


def _days(text: str) -> int | str:
    """Days since 1970. A date that is none of Python's (infinity, before the year 1) stays a text, which no item takes for a date."""
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH.toordinal()
    except ValueError:
        return text


def _microseconds(text: str) -> int | str:
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    except (ValueError, TypeError):
        return text


def _zoned(text: str) -> str:
    """A moment in UTC as ISO 8601."""
    moment = text.removesuffix("+00").replace(" ", "T")
    return (moment.rstrip("0").removesuffix(".") if "." in moment else moment) + "Z"


def _single(text: str) -> float:
    """A four-byte float, as wide as a Python float."""
    value: float = struct.unpack("f", struct.pack("f", float(text)))[0]
    return value


def _loader(read: Callable[[str], Any]) -> type[psycopg.adapt.Loader]:
    class Reads(psycopg.adapt.Loader):
        def load(self, data: Any) -> Any:
            return read(bytes(data).decode())

    return Reads


_POSTGRESQL_LOADERS: Mapping[str, type[psycopg.adapt.Loader]] = {
    "date": _loader(_days),
    "timestamp": _loader(_microseconds),
    "timestamptz": _loader(_zoned),
    "float4": _loader(_single),
    **dict.fromkeys(("numeric", "uuid", "json", "jsonb", "inet", "cidr", "interval"), _loader(str)),
}

_DATE_OID, _TIMESTAMP_OID = 1082, 1114


def _date_of(days: Any) -> Any:
    return date.fromordinal(days + _EPOCH.toordinal()).isoformat() if isinstance(days, int) else days


def _moment_of(microseconds: Any) -> Any:
    return (_EPOCH + microseconds * _MICROSECOND).isoformat(" ") if isinstance(microseconds, int) else microseconds


_POSTGRESQL_KEYS: Mapping[int, Callable[[Any], Any]] = {_DATE_OID: _date_of, _TIMESTAMP_OID: _moment_of}


def _binlog_days(text: str) -> int | str | None:
    # A zero date comes as NULL (in a NOT NULL column as a date that nobody wrote, which shows as another value).
    return None if text.startswith("0000-00-00") else _days(text)


def _binlog_moment(text: str) -> int | str | None:
    """A DATETIME: milliseconds up to precision 3, else microseconds."""
    if text.startswith("0000-00-00"):
        return None
    read = _microseconds(text)
    is_fine = len(text.partition(".")[2]) > 3
    return read if is_fine or isinstance(read, str) else read // 1000


_BINLOG_VALUES: Mapping[Any, Any] = {
    **pymysql.converters.conversions,
    FIELD_TYPE.DATE: _binlog_days,
    FIELD_TYPE.DATETIME: _binlog_moment,
    FIELD_TYPE.TIMESTAMP: lambda text: None if text.startswith("0000-00-00") else _zoned(text),
    FIELD_TYPE.FLOAT: _single,
    FIELD_TYPE.DECIMAL: str,
    FIELD_TYPE.NEWDECIMAL: str,
    FIELD_TYPE.BIT: lambda bits: bits == b"\x01" if bits in (b"\x00", b"\x01") else bits,  # BIT(1) comes as a truth value
}

_BINLOG_NO_KEYS = frozenset((FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP, FIELD_TYPE.TIME, FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE))
"""What a value of theirs says of a row, it does not say so that the row is found by it again."""

_BINLOG_KEYS: Mapping[int, Callable[[Any], Any]] = {
    FIELD_TYPE.DATE: _date_of,
    FIELD_TYPE.DECIMAL: Decimal,
    FIELD_TYPE.NEWDECIMAL: Decimal,
}
