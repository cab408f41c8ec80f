"""Writes a workload's events into the departments' databases at a steady rate: one transaction after the other, as their clerks would."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from sync_engine.runtime.demo.departments import Connection
from sync_engine.runtime.demo.workload import Event, Statement, Transaction

NEVER = threading.Event()
Connect = Callable[[str], Connection]
"""Department's id -> a new connection to its database."""


class _Late(NamedTuple):
    """A transaction that stays open while others come and go."""

    until: int  # so many transactions were committed
    connection: Connection
    transaction: Transaction


class Player:
    """`play` may be called again, also after it raised. `after` is told of every transaction once it is committed or rolled back."""

    def __init__(
        self,
        connect: Connect,
        changes_per_second: float,
        after: Callable[[Transaction], None] = lambda transaction: None,
    ) -> None:
        self._connect, self._rate, self._after = connect, changes_per_second, after
        self._connections: dict[str, Connection] = {}
        self._late: list[_Late] = []
        self.changes = 0
        """Rows that were written, a TRUNCATE as one; those of a rollback as well."""
        self.transactions = 0
        self.events: Counter[str] = Counter()

    def play(self, happening: Iterable[Event], seconds: float, stopped: Callable[[float], bool] = NEVER.wait) -> None:
        """For so long, and to the end of the event then. `stopped` waits so many seconds, and says whether to stop.

        Raises what the databases' drivers raise.
        """
        began, changes = time.monotonic(), self.changes
        try:
            for event in happening:
                for transaction in event.transactions:
                    due = began + (self.changes - changes) / self._rate
                    if stopped(max(0.0, due - time.monotonic())):
                        return
                    self._write(transaction)
                self.events[event.kind] += 1
                if time.monotonic() - began > seconds:
                    return
        finally:
            self._end()

    def _write(self, transaction: Transaction) -> None:
        if transaction.outlasts:
            connection = self._connect(transaction.database)
            self._late.append(_Late(self.transactions + transaction.outlasts, connection, transaction))
        else:
            connection = self._connections.get(transaction.database) or self._connect(transaction.database)
            self._connections[transaction.database] = connection
        for statement in transaction.statements:
            self.changes += _execute(connection, statement)
        if not transaction.outlasts:
            self._finish(connection, transaction)
        self._finish_late(self.transactions)

    def _finish(self, connection: Connection, transaction: Transaction) -> None:
        if transaction.commit:
            connection.commit()
        else:
            connection.rollback()
        self.transactions += 1
        self._after(transaction)

    def _finish_late(self, now: float) -> None:
        for one in [one for one in self._late if one.until <= now]:
            self._late.remove(one)
            self._finish(one.connection, one.transaction)
            one.connection.close()

    def _end(self) -> None:
        """What still is open is committed, unless a database has gone."""
        connections = [*self._connections.values(), *(one.connection for one in self._late)]
        try:
            self._finish_late(float("inf"))
        finally:
            self._late.clear()
            self._connections.clear()
            for connection in connections:
                with suppress(Exception):  # gone, or closed already
                    connection.close()


def _execute(connection: Connection, statement: Statement) -> int:
    """Returns how many rows it writes."""
    text, parameters = statement
    if not text.startswith("COPY"):
        connection.execute(text, parameters)
        return 1
    with connection.raw.cursor().copy(text) as copy:
        for row in parameters:
            copy.write_row(row)
    return len(parameters)
