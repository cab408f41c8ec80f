"""`make bench`: the engine and five others do the same work (TOPOLOGY.md), in turn, several rounds, one broker.

Each side is a process of its own on one core; broker and registry have the other. Contents that differ from the oracle's void the run.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sync_engine.model import names
from sync_engine.model.avro import encoder
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.localstack.versions import KAFKA
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.schemas import all_schemas
from tests.bench import build
from tests.bench.broker import Claims, KeyValue, make_topics, pin
from tests.bench.catalogue import ENTITY, declarations, read_entry
from tests.bench.check import Digests, Outcome, digest_by_the_oracle, outcome
from tests.bench.job import Job, Measured, turn
from tests.bench.report import SIDES, Amount, Round, Settings, results_of, round_of, save, show, side_of
from tests.bench.workload import Change, Workload, datum

CORES = sorted(os.sched_getaffinity(0))
WORKER_CORE, BROKER_CORE = CORES[-1], CORES[0]
SERVERS = ("kafka", "registry")
SLOW = "faust_idiomatic"
SLOWEST_PER_SECOND = {SLOW: 200}
GUARANTEES = {"kafka_streams_eos": "exactly_once_v2", "kafka_streams_alos": "at_least_once"}
HEAP = ("-Xms2g", "-Xmx2g")
LOAD_CHUNK = 1_000
ENTRY = read_entry()
SCHEMAS = all_schemas(declarations(ENTRY, "bench", 1))


class Input:
    """A topic of claims that several sides read, and what must come of them. `node` = its prefix."""

    def __init__(self, servers: LocalStack, node: str, keys: int, asked: argparse.Namespace) -> None:
        self.workload = Workload(ENTRY, keys, asked.seed)
        self.topic = names.claim(node, ENTITY)
        self.schema_ids = {
            name.rpartition(".")[2]: SchemaRegistry(servers.endpoints.registry).register(name, json.dumps(SCHEMAS[name]))
            for name in (f"sync.{ENTITY}.Claim", f"sync.{ENTITY}.Golden", "sync.wire.Finding")
        }
        self._encode = Encoding(self.workload, self.schema_ids["Claim"])
        self._claims = Claims(servers.endpoints.kafka, self.topic, asked.partitions)
        self._digests: dict[str, bytes] = {}
        self.loaded = self.bytes_of_rounds = 0

    def load(self) -> None:
        """The records that stand before the first round."""
        every = self.workload.loaded
        chunks = [range(first, min(first + LOAD_CHUNK, every)) for first in range(0, every, LOAD_CHUNK)]
        with multiprocessing.Pool(len(CORES)) as pool:
            for claims, digests in pool.imap(self._encode.load, chunks):
                self._claims.put(claims)
                self._digests.update(digests)
        self.loaded = self._claims.records

    def more(self, changes: int) -> None:
        before = self._claims.bytes
        self._claims.put(self._encode.claim(self.workload.next()) for _ in range(changes))
        self.bytes_of_rounds += self._claims.bytes - before

    @property
    def records(self) -> int:
        return self._claims.records

    def expected(self) -> Digests:
        """By the oracle, of all that was said."""
        for key, said in self.workload.said.items():
            self._digests[key] = digest_by_the_oracle(ENTRY, key, said)
        return self._digests


class Encoding:
    """Claims as bytes. Goes to the processes that make the load."""

    def __init__(self, workload: Workload, schema_id: int) -> None:
        self._workload = workload
        self._prefix = b"\0" + schema_id.to_bytes(4, "big")
        self._avro: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_avro": None}

    def claim(self, change: Change) -> KeyValue:
        if self._avro is None:
            self._avro = encoder(SCHEMAS[f"sync.{ENTITY}.Claim"])
        return change.key.encode(), self._prefix + self._avro(datum(change))

    def load(self, numbers: range) -> tuple[list[KeyValue], list[tuple[str, bytes]]]:
        """Claims of these records, and their digests by the oracle."""
        rows = list(self._workload.load(numbers))
        digests = [(said[0].key, digest_by_the_oracle(ENTRY, said[0].key, said)) for said in rows]
        return [self.claim(change) for said in rows for change in said], digests


class Contest:
    """All sides, and what they have done so far."""

    def __init__(self, asked: argparse.Namespace, servers: LocalStack) -> None:
        self._asked, self._servers = asked, servers
        self._began = time.monotonic()
        self._classpath = build.classpath() if GUARANTEES.keys() & set(asked.sides) else ""
        self._quix_python = build.quix_python() if "quix" in asked.sides else ""
        self.rounds: dict[str, list[Round]] = {side: [] for side in asked.sides}
        self._done = dict.fromkeys(asked.sides, 0)
        fast, slow = (node_of(side) for side in ("engine", SLOW))
        for node in {fast, slow, *map(node_of, asked.sides)}:
            make_topics(servers.endpoints.kafka, declarations(ENTRY, node, asked.partitions), node, asked.partitions)
        self.fast, self.slow = Input(servers, fast, asked.keys, asked), Input(servers, slow, asked.keys_faust, asked)

    def run(self) -> None:
        asked = self._asked
        for given in {self._given(side) for side in asked.sides}:
            given.load()
            self._say(f"{given.loaded:,} claims of {given.workload.loaded:,} records made")
        for side in asked.sides:
            loaded = self._turn(side, 0, 0)
            self._say(f"{side:<19} has loaded them, {loaded.changes_per_second:,.0f} a second")
        for number in range(asked.rounds):
            for given in {self._given(side) for side in asked.sides}:
                given.more(sum(self.shares(given)))
            for side in self._in_turn(number):
                warm_up, _, tail = self.shares(self._given(side))
                done = self._turn(side, warm_up, tail)
                self.rounds[side].append(done)
                rate = f"{done.changes_per_second:>9,.0f} changes/s {done.cpu_us_per_change:>7.1f} µs CPU"
                self._say(f"round {number + 1}/{asked.rounds} {side:<19} {rate}")

    def outcomes(self) -> Iterator[tuple[str, Outcome]]:
        at = self._servers.endpoints
        expected = {given: given.expected() for given in {self._given(side) for side in self._asked.sides}}
        self._say("what the oracle makes of them")
        for side in self._asked.sides:
            found = outcome(at.kafka, at.registry, node_of(side), self._asked.partitions, ENTRY, expected[self._given(side)])
            self._say(f"{side:<19} {found.wrong_keys} of {found.keys:,} keys wrong")
            yield side, found

    def shares(self, given: Input) -> tuple[int, int, int]:
        """Of a round: warm-up, what is measured, tail."""
        asked = self._asked
        if given is self.slow:
            return asked.warm_up_faust, asked.changes_faust, asked.warm_up_faust
        return asked.warm_up, asked.changes, asked.tail

    def _given(self, side: str) -> Input:
        return self.slow if side == SLOW else self.fast

    def _in_turn(self, number: int) -> list[str]:
        first = number % len(self._asked.sides)
        return self._asked.sides[first:] + self._asked.sides[:first]

    def _turn(self, side: str, warm_up: int, tail: int) -> Round:
        """All claims that the side has not done yet."""
        given, at, asked = self._given(side), self._servers.endpoints, self._asked
        directory = self._servers.home / node_of(side)
        directory.mkdir(exist_ok=True)
        before, changes = self._done[side], given.records - self._done[side]
        give_up = 120 + changes / SLOWEST_PER_SECOND.get(side, 2_000)
        job = Job(
            bootstrap=at.kafka,
            registry=at.registry,
            node=node_of(side),
            claims=given.topic,
            entity=ENTITY,
            before=before,
            warm_up=warm_up,
            tail=tail,
            changes=changes,
            partitions=asked.partitions,
            batch_records=asked.batch_records,
            core=WORKER_CORE,
            directory=str(directory),
            give_up_seconds=give_up,
            schema_ids=given.schema_ids,
        )
        (directory / "entity.json").write_bytes(msgspec.json.encode(ENTRY))
        measured = self._run(side, job)
        self._done[side] = given.records
        return round_of(measured)

    def _run(self, side: str, job: Job) -> Measured:
        if side in GUARANTEES:
            java = ["java", *HEAP, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", self._classpath, "bench.Main"]
            return turn(java, job, str(Path(job.directory) / "entity.json"), GUARANTEES[side])
        return turn([self._quix_python if side == "quix" else sys.executable, "-m", f"tests.bench.{side}"], job)

    def _say(self, what: str) -> None:
        print(f"{what}, {time.monotonic() - self._began:.0f} s", flush=True)


def node_of(side: str) -> str:
    return f"bench-{side.replace('_', '-')}"


def main() -> int:
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="bench-") as home, LocalStack(Path(home), SERVERS, fast_start=False) as servers:
        for name in SERVERS:
            pin(servers.process(name).pid, BROKER_CORE)
        contest = Contest(asked, servers)
        contest.run()
        sides = {side: side_of(contest.rounds[side], found) for side, found in contest.outcomes()}
        settings = _settings(asked, contest)
    results = results_of(settings, {"kafka": KAFKA, **build.versions()}, sides)
    show(results)
    if not (results.digests_equal and results.records_equal):
        print("The run is void: contents or numbers of records differ.", file=sys.stderr)
        return 1
    if len(sides) == len(SIDES) and not asked.quick:
        save(results)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, for trying; writes no results")
    parser.add_argument("--sides", type=_sides, default=list(SIDES), help="some of them, by comma; writes no results")
    parser.add_argument("--rounds", type=int, help="3")
    parser.add_argument("--keys", type=int, help="records that stand before the first round: 1,000,000")
    parser.add_argument("--changes", type=int, help="that are measured in a round")
    parser.add_argument("--warm-up", type=int, help="changes of a round before the clock")
    parser.add_argument("--tail", type=int, help="changes of a round behind the clock")
    parser.add_argument("--keys-faust", type=int, help="of the idiomatic agent")
    parser.add_argument("--changes-faust", type=int)
    parser.add_argument("--warm-up-faust", type=int, help="and behind the clock")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--batch-records", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    full = {
        "rounds": 3,
        "keys": 1_000_000,
        "changes": 100_000,
        "warm_up": 100_000,
        "tail": 20_000,
        "keys_faust": 10_000,
        "changes_faust": 10_000,
        "warm_up_faust": 2_000,
    }
    quick = {
        **full,
        "rounds": 1,
        "keys": 10_000,
        "changes": 30_000,
        "warm_up": 30_000,
        "tail": 10_000,
        "keys_faust": 1_000,
        "changes_faust": 3_000,
    }
    for name, value in (quick if asked.quick else full).items():
        setattr(asked, name, getattr(asked, name) or value)
    return asked


def _sides(said: str) -> list[str]:
    sides = said.split(",")
    if unknown := set(sides) - set(SIDES):
        raise argparse.ArgumentTypeError(f"no such side: {', '.join(unknown)}; there are {', '.join(SIDES)}")
    return sides


def _settings(asked: argparse.Namespace, contest: Contest) -> Settings:
    fast, slow = (_amount(given, *contest.shares(given)) for given in (contest.fast, contest.slow))
    return Settings(asked.rounds, fast, slow, asked.partitions, asked.batch_records, asked.seed, WORKER_CORE, BROKER_CORE)


def _amount(given: Input, warm_up: int, changes: int, tail: int) -> Amount:
    each = given.bytes_of_rounds / max(given.records - given.loaded, 1)
    return Amount(given.workload.loaded, given.loaded, warm_up, changes, tail, round(each, 1))


if __name__ == "__main__":
    sys.exit(main())
