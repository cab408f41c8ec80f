"""The departments work on while every process of the network is killed in turn: afterwards nobody lacks anything.

For a drill: SYNC_RESTARTS_KILLS so many kills, of whom and how SYNC_CHAOS_SEED decides; SYNC_RESTARTS_CHANGES so many changes at least, at
SYNC_RESTARTS_RATE a second; the kills are spread over that time. At the end every source is reconciled with what came of it, so that what
the capture itself has lost is told apart from what the engine has.
"""

import json
import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pymysql
import pytest

from sync_engine.model import names
from sync_engine.runtime.demo.departments import Connection
from sync_engine.runtime.demo.player import Player
from sync_engine.runtime.demo.workload import Transaction, events
from sync_engine.runtime.localstack import LocalStack
from tests.e2e.network import Network
from tests.e2e.oracle_check import assert_all_hold_what_is_owed

pytestmark = pytest.mark.stack

PEOPLE = 500
CHANGES_PER_SECOND = float(os.environ.get("SYNC_RESTARTS_RATE", "20"))
CHANGES = int(os.environ.get("SYNC_RESTARTS_CHANGES", "501"))
KILLS = int(os.environ.get("SYNC_RESTARTS_KILLS", "0"))
"""0: each process once, in turn."""
SERVERS = ("redis", "registry", "connect", "postgres", "mariadb", "kafka")
RECEIVER = "receiver"
KILL, END, FREEZE = "kill -9", "SIGTERM", "SIGSTOP and SIGCONT"
STILL_SECONDS = 7.0
"""How long a process stands still, or the receiver is away: longer than every session of the stack."""
BETWEEN_SECONDS = max(5.0, CHANGES / CHANGES_PER_SECOND / KILLS) if KILLS else 5.0
GONE = (psycopg.OperationalError, pymysql.OperationalError, pymysql.InterfaceError)


@pytest.fixture
def network(home: Path, tmp_path: Path) -> Iterator[Network]:
    with LocalStack(home / "stack") as stack:
        running = Network(stack, tmp_path, PEOPLE)
        try:
            running.start()
            running.catch_up(180)
            yield running
        finally:
            running.stop()


class Eyes:
    """Lets the journal look at the rows that a transaction of the workload wrote, by what its statements name."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._connections: dict[str, Connection] = {}

    def look(self, transaction: Transaction) -> None:
        sources = {source.table: source for source in self._network.declarations.departments[transaction.database].sources}
        if transaction.database not in self._connections:
            self._connections[transaction.database] = self._network.departments.connect(transaction.database)
        connection = self._connections[transaction.database]
        whole = {text.split()[1] for text, _ in transaction.statements if text.startswith("TRUNCATE")}
        for table in whole:
            self._network.journal.note(sources[table].id, connection.rows(f"SELECT * FROM {table}"))
        for text, parameters in transaction.statements:
            table = re.match(r"(?:INSERT INTO|UPDATE|DELETE FROM|COPY|TRUNCATE) (\S+)", text)[1]  # type: ignore[index]
            if table in whole:
                continue
            named = re.search(r"WHERE (\w+) = %s$", text)
            column = named[1] if named else sources[table].primary_key[0]
            given = [value for row in parameters for value in row] if text.startswith("COPY") else parameters
            values = {str(value) for value in given}
            listed = ", ".join("'" + value.replace("'", "''") + "'" for value in sorted(values))
            rows = connection.rows(f"SELECT * FROM {table} WHERE concat({column}, '') IN ({listed})")
            self._network.journal.note(sources[table].id, rows, lambda row, c=column, v=values: str(row[c]) in v)  # type: ignore[misc]
        connection.rollback()  # the next look sees what is then

    def blink(self) -> None:
        self._connections.clear()


class Clerks(threading.Thread):
    """The workload in a thread, until `stop`. When a database goes, what it left is looked at as soon as it is back."""

    def __init__(self, network: Network) -> None:
        super().__init__(name="clerks", daemon=True)
        self._network, self._eyes, self._over = network, Eyes(network), threading.Event()
        self.player = Player(network.departments.connect, CHANGES_PER_SECOND, after=self._eyes.look)
        self.interruptions = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        happening = events(PEOPLE)
        try:
            while not self._over.is_set():
                try:
                    self.player.play(happening, 10**6, self._over.wait)
                except GONE:
                    self.interruptions += 1
                    self._eyes.blink()
                    self._look_at_all()
        except BaseException as failure:
            self.failure = failure
            raise

    def _look_at_all(self) -> None:
        while True:
            try:
                return self._network.note()
            except GONE:
                time.sleep(0.5)

    def stop(self) -> None:
        self._over.set()
        self.join(60)
        assert self.failure is None
        assert not self.is_alive()


def victims(network: Network) -> list[tuple[str, str]]:
    """(who, how)"""
    everybody = [*network.nodes, *SERVERS, RECEIVER]
    chance = random.Random(int(os.environ.get("SYNC_CHAOS_SEED", "1")))
    if KILLS:
        return [(chance.choice(everybody), chance.choice((KILL, END, FREEZE))) for _ in range(KILLS)]
    return [*((name, KILL) for name in everybody), (chance.choice([*network.nodes]), FREEZE), (chance.choice([*network.nodes]), END)]


def strike(network: Network, name: str, how: str) -> None:
    """A node that has gone is started again by `tend`."""
    if name == RECEIVER:  # a part of this process: its end is that nobody listens
        network.subscriber.leave()
        time.sleep(STILL_SECONDS)
        network.subscriber.come_back()
        return
    child = network.nodes[name] if name in network.nodes else network.stack.process(name)
    if how == FREEZE:
        child.freeze()
        time.sleep(STILL_SECONDS)
        child.thaw()
        return
    child.kill() if how == KILL else child.stop()
    if name in SERVERS:
        network.stack.restart(name)


def capture_lost(network: Network) -> int:
    """What the slots lacked of the rows, by reconciliation, which has put it right."""

    def healed(department: str) -> int:
        command = network.command("source", "reconcile", department, "--heal", "-o", "json")
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{department}: {done.stdout}{done.stderr}"
        return sum(table["healed"] for table in json.loads(done.stdout)["tables"])

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(healed, network.declarations.departments))


def test_every_process_is_killed_in_turn_while_the_departments_work(network: Network, record_property: Callable[[str, int], None]) -> None:
    clerks = Clerks(network)
    killed = victims(network)
    clerks.start()
    try:
        for number, (name, how) in enumerate(killed, 1):
            time.sleep(BETWEEN_SECONDS)
            print(f"{number} of {len(killed)}: {how} for {name}, after {clerks.player.changes} changes", flush=True)
            strike(network, name, how)
            network.tend()
            assert clerks.is_alive()
        time.sleep(BETWEEN_SECONDS)
        while clerks.player.changes < CHANGES:
            time.sleep(1)
            network.tend()
            assert clerks.is_alive()
    finally:
        clerks.stop()
    if {("postgres", KILL), ("mariadb", KILL)} <= set(killed):
        assert clerks.interruptions >= 2, "both databases were killed"
    network.catch_up(240)
    lost = capture_lost(network)
    assert_all_hold_what_is_owed(network, 240)
    for node in network.nodes:
        assert network.reader(names.dead(node)).more() == []
    counts = {"kills": len(killed), "changes": clerks.player.changes, "left by themselves": len(network.left), "capture_lost": lost}
    for what, count in counts.items():
        record_property(what, count)
    assert lost == 0, "the capture has lost something; all else is as it should be"
