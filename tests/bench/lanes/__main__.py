"""Each stage alone, beside a plain loop that does the same writes (TOPOLOGY.md): in turn, several rounds, on one core each.

What the two sides leave behind must be the same, or the run is void.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sync_engine.model import names
from sync_engine.model.names import partition_of
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.receiver import Receiver
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.table_target import DRIVERS
from sync_engine.runtime.topics import create_topics
from sync_engine.topology import Hops
from tests.bench.broker import Claims, pin
from tests.bench.catalogue import ENTITY, read_entry
from tests.bench.codec import new_codec
from tests.bench.job import Measured, turn
from tests.bench.lanes import judge
from tests.bench.lanes.inputs import Goldens, Put, captured, from_the_county
from tests.bench.lanes.job import INPUT_OF, LANES, SECRET, LaneJob, node_of
from tests.bench.lanes.network import KEY_COLUMN, county_of, network, table_of, tables
from tests.bench.lanes.report import SIDES, Lane, lane_of, save_lanes, show
from tests.bench.report import round_of

CORES = sorted(os.sched_getaffinity(0))
WORKER_CORE, SERVER_CORE = CORES[-1], CORES[0]
ENTRY = read_entry()
PARTITIONS, BATCH_RECORDS = 4, 2_000
AMOUNTS = {"ingest": 40_000, "link": 80_000, "webhook": 12_000, "postgresql": 30_000, "mariadb": 30_000}
"""Changes that are measured in a round; a quarter as many before and behind the clock."""
DATABASES = {"postgresql": "postgres", "mariadb": "mariadb"}


class LocalReceiver:
    """The receiver of webhooks: in a thread of this process, on the servers' core."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        os.sched_setaffinity(0, {SERVER_CORE})
        self._loop.run_forever()

    def open(self) -> Receiver:
        receiver = Receiver([SECRET])
        asyncio.run_coroutine_threadsafe(receiver.__aenter__(), self._loop).result(10)
        return receiver


class Contest:
    """One lane, both sides."""

    def __init__(self, lane: str, servers: LocalStack, receivers: LocalReceiver, asked: argparse.Namespace) -> None:
        self._lane, self._servers, self._asked = lane, servers, asked
        self._changes = asked.changes or AMOUNTS[lane]
        self._edge = self._changes // 4
        at = servers.endpoints
        node = INPUT_OF[lane]
        self._put = Claims(at.kafka, "", PARTITIONS)
        self._registry = SchemaRegistry(at.registry)
        self._goldens = Goldens(ENTRY, node, new_codec(network(ENTRY, node, PARTITIONS), at.registry))
        self.target = {"postgresql": at.postgres, "mariadb": f"{at.mariadb}bench".replace("mysql:", "mariadb:")}
        self.receivers = {side: receivers.open() for side in SIDES} if lane == "webhook" else {}
        for side in SIDES:
            _make_topics(at.kafka, node_of(lane, side))
            if lane in DATABASES:
                _make_table(self.target[lane], lane, node_of(lane, side))
        self.rounds: dict[str, list[Measured]] = {side: [] for side in SIDES}

    def run(self) -> Lane:
        rounds: dict[str, list[Any]] = {side: [] for side in SIDES}
        for number in range(self._asked.rounds):
            self._fill(number)
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                done = round_of(self._turn(side, number))
                rounds[side].append(done)
                rate = f"{done.changes_per_second:>9,.0f} changes/s {done.cpu_us_per_change:>7.1f} µs CPU"
                print(f"{self._lane:<11} round {number + 1}/{self._asked.rounds} {side:<7} {rate}", flush=True)
        return lane_of(self._put.bytes / self._put.records, rounds, {side: self._left(side) for side in SIDES})

    def _fill(self, number: int) -> None:
        for each in self._inputs(number, range(self._changes + 2 * self._edge)):
            partition = partition_of(each.key, PARTITIONS) if each.partition is None else each.partition
            self._put.put_one(each.topic, each.key, each.value, partition, each.headers)
        self._put.flush()

    def _inputs(self, number: int, rows: range) -> Iterable[Put]:
        node, at = INPUT_OF[self._lane], self._servers.endpoints
        if self._lane == "ingest":
            return captured(ENTRY, node, lambda name, schema: self._registry.register(name, json.dumps(schema)), number, rows)
        if self._lane == "link":
            return from_the_county(ENTRY, node, new_codec(network(ENTRY, node, PARTITIONS), at.registry), number, rows)
        return self._goldens.put(number, rows)

    def _turn(self, side: str, number: int) -> Measured:
        at, each = self._servers.endpoints, self._changes + 2 * self._edge
        directory = self._servers.home / node_of(self._lane, side)
        directory.mkdir(exist_ok=True)
        job = LaneJob(
            bootstrap=at.kafka,
            registry=at.registry,
            node=node_of(self._lane, side),
            claims="",
            entity=ENTITY,
            before=number * each,
            warm_up=self._edge,
            tail=self._edge,
            changes=each,
            partitions=PARTITIONS,
            batch_records=BATCH_RECORDS,
            core=WORKER_CORE,
            directory=str(directory),
            give_up_seconds=60 + each / 300,
            schema_ids={},
            lane=self._lane,
            target=self.receivers[side].url if self._lane == "webhook" else self.target.get(self._lane, ""),
        )
        return turn([sys.executable, "-m", f"tests.bench.lanes.{side}"], job)

    def _left(self, side: str) -> judge.Left:
        at, node = self._servers.endpoints, node_of(self._lane, side)
        if self._lane == "webhook":
            assert not self.receivers[side].regressions and not self.receivers[side].unverified
            return judge.versions(self.receivers[side].versions, at.kafka, node)
        if self._lane in DATABASES:
            return judge.rows(self.target[self._lane], at.kafka, self._lane, node)
        return judge.claims(at.kafka, node, PARTITIONS)


def _make_topics(bootstrap: str, node: str) -> None:
    declared = network(ENTRY, node, PARTITIONS)
    ones = [
        names.dead(node),
        names.control(node),
        names.cut(node),
        names.alert(node),
        names.receipt(node),
        names.retry(node),
        names.hold(node),
    ]
    ones += [topic for of in (node, county_of(node)) for _, topic in tables(ENTRY, of)]
    ones += [*Hops(declared, node).beats(), names.cut(county_of(node))]
    many = [names.claim(node, ENTITY), names.golden(node, ENTITY), names.finding(node), names.edge(county_of(node), node, ENTITY)]
    many += [names.parked(node, lane) for lane in LANES]
    create_topics(bootstrap, [(name, 1, {}) for name in dict.fromkeys(ones)] + [(name, PARTITIONS, {}) for name in many])


def _make_table(url: str, lane: str, node: str) -> None:
    at = sa.make_url(url)
    is_postgresql = lane == "postgresql"
    engine = sa.create_engine(at.set(drivername=DRIVERS[at.drivername], database=at.database if is_postgresql else "mysql"))
    key = f"{KEY_COLUMN} varchar(40) {'' if is_postgresql else 'COLLATE utf8mb4_bin'} PRIMARY KEY"
    texts = ("sync_state", *network(ENTRY, node, 1).subscribers[f"{node}/{lane}"].items)
    columns = ", ".join(f"{name} {'date' if name == 'birth_date' else 'varchar(200)'}" for name in texts)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS bench"))
        connection.execute(sa.text(f"CREATE TABLE {table_of(lane, node)} ({key}, sync_version bigint NOT NULL, {columns})"))
    engine.dispose()


def main() -> int:
    asked = _arguments()
    servers = ["kafka", "registry", *(DATABASES[lane] for lane in asked.lanes if lane in DATABASES)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as home, LocalStack(Path(home), servers, fast_start=False) as stack:
        for name in servers:
            pin(stack.process(name).pid, SERVER_CORE)
        receivers = LocalReceiver()
        found = {lane: Contest(lane, stack, receivers, asked).run() for lane in asked.lanes}
    show(found)
    print(f"{time.monotonic() - began:.0f} s")
    if not all(lane.equal for lane in found.values()):
        print("The run is void: the two sides have left different things.", file=sys.stderr)
        return 1
    if not asked.changes:
        save_lanes(found)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lanes", description=__doc__)
    parser.add_argument("--lanes", type=partial(str.split, sep=","), default=list(LANES), help="some of them, by comma")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--changes", type=int, help="measured in a round, of every lane; writes no results")
    asked = parser.parse_args()
    if unknown := set(asked.lanes) - set(LANES):
        parser.error(f"no such lane: {', '.join(sorted(unknown))}; there are {', '.join(LANES)}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
