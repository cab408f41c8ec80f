"""`make bench`: the engine, an idiomatic Faust agent and a plain loop do the same work (TOPOLOGY.md), in turn, several rounds, one broker.

Each side is a process of its own on one core; broker and registry have the other. Contents that differ from the oracle's void the run.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.localstack.versions import KAFKA
from tests.bench.broker import KeyValue, pin, preload, remove
from tests.bench.catalogue import ENTITY, Entry, declarations, read_entry
from tests.bench.check import Digests, digests_by_the_oracle, outcome
from tests.bench.codec import new_codec
from tests.bench.job import GIVE_UP_SECONDS, Job, Measured
from tests.bench.report import Round, Settings, results_of, round_of, save, show
from tests.bench.workload import Change, changes, datum

SIDES = ("engine", "plain_loop", "faust_idiomatic")
CORES = sorted(os.sched_getaffinity(0))
WORKER_CORE, BROKER_CORE = CORES[-1], CORES[0]
SERVERS = ("kafka", "registry")


class Input(msgspec.Struct, frozen=True):
    """What a side gets, and what must come of it."""

    claims: list[KeyValue]
    expected: Digests


def main() -> int:
    asked = _arguments()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as home, LocalStack(Path(home), SERVERS, fast_start=False) as servers:
        for name in SERVERS:
            pin(servers.process(name).pid, BROKER_CORE)
        entry = read_entry()
        stream = list(changes(entry, asked.changes, asked.seed))
        codec = new_codec(declarations(entry, "bench", asked.partitions), servers.endpoints.registry)
        claims = [(change.key.encode(), codec.encode(f"sync.{ENTITY}.Claim", datum(change))) for change in stream]
        print(f"{len(claims):,} claims made, {time.monotonic() - began:.0f} s", flush=True)
        given = {count: _input(entry, stream, claims, count) for count in {asked.changes, asked.changes_faust}}
        print(f"what the oracle makes of them, {time.monotonic() - began:.0f} s", flush=True)
        sides: dict[str, list[Round]] = {side: [] for side in SIDES}
        for number in range(asked.rounds):
            for side in SIDES[number % len(SIDES) :] + SIDES[: number % len(SIDES)]:
                what = given[asked.changes_faust if side == "faust_idiomatic" else asked.changes]
                done = _run(side, _job(asked, servers, f"bench-{side.replace('_', '-')}-{number}", what), entry, what)
                sides[side].append(done)
                progress = f"round {number + 1}/{asked.rounds} {side:<16} {done.changes_per_second:>9,.0f} changes/s"
                detail = f"{done.cpu_us_per_change:>7.1f} µs CPU, {done.outcome.wrong_keys} of {done.outcome.keys:,} keys wrong"
                print(f"{progress} {detail}, {time.monotonic() - began:.0f} s", flush=True)
    results = results_of(_settings(asked, stream, claims), KAFKA, sides)
    show(results)
    if not (results.digests_equal and results.records_equal):
        print("The run is void: contents or numbers of records differ.", file=sys.stderr)
        return 1
    if not asked.quick:
        save(results)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, for trying; writes no results")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--changes", type=int, default=None, help="for the engine and the plain loop")
    parser.add_argument("--changes-faust", type=int, default=None, help="a prefix of the same stream, for the idiomatic agent")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--batch-records", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    quick = asked.quick
    asked.rounds = asked.rounds or (1 if quick else 3)
    asked.changes = asked.changes or (40_000 if quick else 150_000)
    asked.changes_faust = min(asked.changes_faust or (5_000 if quick else 15_000), asked.changes)
    return asked


def _input(entry: Entry, stream: list[Change], claims: list[KeyValue], count: int) -> Input:
    return Input(claims[:count], digests_by_the_oracle(entry, stream[:count]))


def _job(asked: argparse.Namespace, servers: LocalStack, node: str, given: Input) -> Job:
    at = servers.endpoints
    directory = str(servers.home / node)
    return Job(at.kafka, at.registry, node, len(given.claims), asked.partitions, asked.batch_records, WORKER_CORE, directory)


def _run(side: str, job: Job, entry: Entry, given: Input) -> Round:
    directory = Path(job.directory)
    directory.mkdir()
    preload(job, declarations(entry, job.node, job.partitions), given.claims)
    (directory / "job.json").write_bytes(msgspec.json.encode(job))
    command = [sys.executable, "-m", f"tests.bench.{side}", str(directory / "job.json"), str(directory / "measured.json")]
    ended = subprocess.run(command, timeout=GIVE_UP_SECONDS + 60, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{ended.stderr}\n{side} failed with exit code {ended.returncode}: the run is void")
    measured = msgspec.json.decode((directory / "measured.json").read_bytes(), type=Measured)
    assert measured.changes == job.changes, f"{side} has done {measured.changes} of {job.changes} changes: the run is void"
    done = round_of(measured, outcome(job, entry, given.expected))
    remove(job.bootstrap, job.node)
    return done


def _settings(asked: argparse.Namespace, stream: list[Change], claims: list[KeyValue]) -> Settings:
    return Settings(
        asked.rounds,
        asked.changes,
        asked.changes_faust,
        len({change.key for change in stream}),
        len({(change.source, change.row) for change in stream}),
        asked.partitions,
        asked.batch_records,
        asked.seed,
        round(sum(len(value) for _, value in claims) / len(claims), 1),
        WORKER_CORE,
        BROKER_CORE,
    )


if __name__ == "__main__":
    sys.exit(main())
