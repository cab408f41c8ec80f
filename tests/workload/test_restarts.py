"""The departments work on while every process of the network is killed, ended or frozen in turn: afterwards nobody lacks anything.

SYNC_CHAOS_SEED decides how each ends. For a drill: SYNC_RESTARTS_KILLS so many kills, of whom the seed decides too; SYNC_RESTARTS_CHANGES
so many changes at least, at SYNC_RESTARTS_RATE a second; the kills are spread over that time.
"""

import json
import os
import random
import re
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psycopg
import pymysql
import pytest

from sync_engine.model import names
from sync_engine.model.declaration import TOPIC
from sync_engine.runtime.demo.departments import Connection
from sync_engine.runtime.demo.player import Player
from sync_engine.runtime.demo.workload import Transaction, events
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.localstack.process import Child
from tests.e2e.network import PLATFORM, PROVINCE, Network
from tests.e2e.oracle_check import assert_all_hold_what_is_owed
from tests.workload.receiver import ReceiverProcess

pytestmark = pytest.mark.stack

PEOPLE = 500
CHANGES_PER_SECOND = float(os.environ.get("SYNC_RESTARTS_RATE", "20"))
CHANGES = int(os.environ.get("SYNC_RESTARTS_CHANGES", "501"))
KILLS = int(os.environ.get("SYNC_RESTARTS_KILLS", "0"))
"""0: each process once, in turn."""
SERVERS = ("redis", "registry", "connect", "postgres", "mariadb", "kafka")
RECEIVER = "receiver"
KILL, TERM, FREEZE = "kill -9", "SIGTERM", "SIGSTOP"
WAYS = (KILL, TERM, FREEZE)
FROZEN_SECONDS = (2.0, 12.0 if KILLS else 5.0)
"""In a drill a little longer than a worker's session, at most."""
BETWEEN_SECONDS = max(5.0, CHANGES / CHANGES_PER_SECOND / KILLS) if KILLS else 3.0
GONE = (psycopg.OperationalError, pymysql.OperationalError, pymysql.InterfaceError)


@pytest.fixture
def network(home: Path, tmp_path: Path) -> Iterator[Network]:
    with LocalStack(home / "stack") as stack:
        running = Network(stack, tmp_path, PEOPLE, ReceiverProcess(tmp_path))
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


class Kill(NamedTuple):
    who: str
    how: str
    seconds: float
    """How long it stands still, if it is frozen."""


def kills(network: Network) -> list[Kill]:
    everybody = [*network.nodes, *SERVERS, RECEIVER]
    chance = random.Random(int(os.environ.get("SYNC_CHAOS_SEED", "1")))
    who = chance.choices(everybody, k=KILLS) if KILLS else everybody
    how = [WAYS[number % len(WAYS)] for number in range(len(who))]
    chance.shuffle(how)
    return [Kill(*both, chance.uniform(*FROZEN_SECONDS)) for both in zip(who, how, strict=True)]


def inflict(network: Network, kill: Kill) -> None:
    """When it returns, whoever it was runs again."""
    child = child_of(network, kill.who)
    if kill.how == FREEZE:
        child.freeze()
        time.sleep(kill.seconds)
        child.thaw()
        return
    if kill.how == TERM:
        child.stop()
    else:
        child.kill()
    if kill.who == RECEIVER:
        platform(network).restart()
    elif kill.who in SERVERS:
        network.stack.restart(kill.who)


def child_of(network: Network, who: str) -> Child:
    if who == RECEIVER:
        return platform(network).child
    return network.nodes.get(who) or network.stack.process(who)


def platform(network: Network) -> ReceiverProcess:
    assert isinstance(network.subscriber, ReceiverProcess)
    return network.subscriber


def test_every_process_is_killed_in_turn_while_the_departments_work(network: Network, record_property: Callable[[str, int], None]) -> None:
    clerks = Clerks(network)
    done = kills(network)
    clerks.start()
    try:
        for number, kill in enumerate(done, 1):
            time.sleep(BETWEEN_SECONDS)
            print(f"kill {number} of {len(done)}: {kill.who}, {kill.how}, after {clerks.player.changes} changes", flush=True)
            inflict(network, kill)
            network.tend()
            assert clerks.is_alive()
        time.sleep(BETWEEN_SECONDS)
        while clerks.player.changes < CHANGES:
            time.sleep(1)
            network.tend()
            assert clerks.is_alive()
    finally:
        clerks.stop()
    gone = {kill.who for kill in done if kill.how != FREEZE} & {"postgres", "mariadb"}
    assert clerks.interruptions >= len(gone), "databases were killed"
    settle(network)
    print(f"all has passed after {clerks.player.changes} changes; comparing with the sources", flush=True)
    capture_lost = healed(network)
    settle(network)
    assert_all_hold_what_is_owed(network, 240)
    assert_topics_never_went_back(network)
    for node in network.nodes:
        assert network.reader(names.dead(node)).more() == []
    receiver = network.subscriber.receiver
    counts = {"kills": len(done), **Counter(kill.how for kill in done), "changes": clerks.player.changes, "capture_lost": capture_lost}
    for what, count in {**counts, "pushes": receiver.received, "regressions": receiver.regressions}.items():
        record_property(what, count)
    print(counts, flush=True)


def settle(network: Network) -> None:
    """Everything has passed, and nothing waits for the platform, which may have been away last."""
    network.catch_up(240)
    network.wait("nothing is parked", lambda: {lag["incomplete"] for lag in network.lags(PROVINCE, PLATFORM).values()} == {0}, 120)
    platform(network).read()


def healed(network: Network) -> int:
    """How many slots the capture had lost, of all departments; none now."""

    def compare(department: str) -> int:
        command = network.command("source", "reconcile", department, "--heal", "-o", "json")
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, f"{department}: {done.stdout}\n{done.stderr}"
        return sum(table[kind] for table in json.loads(done.stdout)["tables"] for kind in ("missing", "stale", "surplus"))

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(compare, network.declarations.departments))


def assert_topics_never_went_back(network: Network) -> None:
    for subscriber in network.declarations.subscribers.values():
        if subscriber.kind == TOPIC:
            assert subscriber.topic is not None
            versions = defaultdict(list)
            for record in network.reader(subscriber.topic.name).more():
                versions[record.key].append(network.codec.decode(record.value or b"")[1]["version"])
            assert [key for key, said in versions.items() if said != sorted(said)] == [], subscriber.id
