"""Asks a department's database what must hold before it is captured: the questions of `provision/database`, as the connector's user."""

import socket
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pymysql

from sync_engine.crosscheck import source_file
from sync_engine.fault import Fault, Message
from sync_engine.model.declaration import Department
from sync_engine.provision.database import BINLOG_KINDS, DatabaseCheck, check_queries
from sync_engine.settings import DatabaseSettings

ANSWER_SECONDS = 10
ABSENT = "(none)"


class DatabaseUnreachable(Exception):
    """Nothing answers where the settings say that the database is, or it stopped answering. `fault` says where."""

    def __init__(self, section: str, why: object) -> None:
        self.fault = Fault("settings", section, Message("the database does not answer: {why}", why=why))
        super().__init__(str(self.fault))


class LoginRefused(Exception):
    """The database answers, and does not let the capture user in."""

    def __init__(self, section: str, why: str) -> None:
        self.fault = Fault("settings", section, Message("the database refuses the login: {why}", why=why))
        super().__init__(str(self.fault))


def connect(department: Department, database: DatabaseSettings, seconds: int = ANSWER_SECONDS, **more: Any) -> Any:
    """The driver's connection as the capture user, each statement a transaction; a statement takes `seconds` at most.

    `more` = the driver's own. Raises DatabaseUnreachable, LoginRefused.
    """
    section = f"databases.{department.settings}"
    try:
        # Apart from the login: where nothing answers, waiting may help; where the login is refused, only a correction does.
        if not database.host.startswith("/"):
            socket.create_connection((database.host, database.port), ANSWER_SECONDS).close()
    except OSError as failure:
        raise DatabaseUnreachable(section, failure) from failure
    try:
        return (_mariadb if department.kind in BINLOG_KINDS else _postgresql)(database, seconds, more)
    except (psycopg.Error, pymysql.Error) as refusal:
        raise LoginRefused(section, words_of(refusal)) from refusal


def faults_of(department: Department, database: DatabaseSettings) -> Iterator[Fault]:
    """Every fault of the department's database. No answer is a citizen's: only catalogues are asked. Raises DatabaseUnreachable."""
    section = f"databases.{department.settings}"
    try:
        connection = connect(department, database)
    except LoginRefused as refusal:
        yield refusal.fault
        return
    try:
        with connection.cursor() as cursor:
            for check in check_queries(department):
                yield from _fault(department, check, _answer(cursor, check))
    except (psycopg.OperationalError, pymysql.OperationalError, pymysql.InterfaceError) as failure:
        raise DatabaseUnreachable(section, words_of(failure)) from failure
    finally:
        connection.close()


def _fault(department: Department, check: DatabaseCheck, answer: str) -> Iterator[Fault]:
    if answer == check.expected:
        return
    if check.expected == "true":
        message = Message("is not so; {remedy}", remedy=check.remedy)
    else:
        found, expected = answer or ABSENT, check.expected or ABSENT
        message = Message("is {found}, must be {expected}; {remedy}", found=found, expected=expected, remedy=check.remedy)
    yield Fault(source_file(department), check.subject, message)


def _answer(cursor: Any, check: DatabaseCheck) -> str:
    parameters: Mapping[str, str | list[str]] = check.parameters
    cursor.execute(check.sql, parameters)
    row = cursor.fetchone()
    return "" if row is None or row[0] is None else str(row[0])


def _postgresql(database: DatabaseSettings, seconds: int, more: Mapping[str, Any]) -> Any:
    password = None if database.password is None else database.password.reveal()
    return psycopg.connect(
        host=database.host,
        port=database.port,
        dbname=database.dbname,
        user=database.user,
        password=password,
        connect_timeout=ANSWER_SECONDS,
        autocommit=True,
        options=f"-c statement_timeout={seconds}s",
        **more,
    )


def _mariadb(database: DatabaseSettings, seconds: int, more: Mapping[str, Any]) -> Any:
    return pymysql.connect(
        host=database.host,
        port=database.port,
        database=database.dbname,
        user=database.user,
        password="" if database.password is None else database.password.reveal(),
        connect_timeout=ANSWER_SECONDS,
        read_timeout=seconds,
        autocommit=True,
        **more,
    )


def words_of(failure: Exception) -> str:
    """The database's own words, in one line."""
    return " ".join(str(failure.args[-1] if failure.args else type(failure).__name__).split())
