"""A node with very many keys on disk: how much memory it takes, how soon it is ready again with its state and without it, and what a change
costs at one, two and four processes. Workers have one core, broker and registry the other.

What a restore has made is tested: every key is there, with its rows and its version.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, Queue

import msgspec

from sync_engine.model import names
from sync_engine.resolve.stage import State
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.store import RocksStore
from tests.bench.broker import Claims, make_topics, pin
from tests.bench.catalogue import ENTITY, declarations, read_entry
from tests.bench.codec import new_codec
from tests.bench.job import ROOT
from tests.bench.lanes.inputs import key_of
from tests.bench.report import save
from tests.bench.scale.fill import SLOTS, Patterns, changes, fill
from tests.bench.scale.node import Orders, Said
from tests.bench.scale.report import Costs, Disk, Memory, Ready, Scale, show

CORES = sorted(os.sched_getaffinity(0))
WORKER_CORE, BROKER_CORE = CORES[-1], CORES[0]
PARTITIONS = 4
PROCESSES = (1, 2, 4)
KEYS_OF_COSTS = 80_000
SILENT_SECONDS = 900.0
SAMPLE = 5_000


class Process:
    """A worker's process."""

    def __init__(self, orders: Orders) -> None:
        command = [sys.executable, "-m", "tests.bench.scale.node", msgspec.json.encode(orders).decode()]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        self._queue: Queue[Said] = Queue()
        self.said: list[Said] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._queue.put(msgspec.json.decode(line, type=Said))

    def wait(self, wanted: Callable[[], bool]) -> None:
        """Until what was said fulfils it."""
        while not wanted():
            self.hear(SILENT_SECONDS)

    def hear(self, seconds: float) -> None:
        try:
            self.said.append(self._queue.get(timeout=seconds))
        except Empty:
            sys.exit("a worker has said nothing for long: the run is void")

    def drain(self) -> None:
        while not self._queue.empty():
            self.said.append(self._queue.get())

    def of(self, what: str) -> list[Said]:
        return [each for each in self.said if each.what == what]

    def ready(self) -> Said:
        self.wait(lambda: bool(self.of("ready")))
        return self.of("ready")[0]

    @property
    def done(self) -> int:
        return sum(each.records for each in self.of("committed"))

    def stop(self) -> Said:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self.wait(lambda: bool(self.of("stopped")))
        self._child.wait(60)
        return self.said[-1]

    def kill(self) -> None:
        self._child.kill()
        self._child.wait(60)


class Bench:
    """The servers, the node with many keys, and the node on which changes are counted."""

    def __init__(self, servers: LocalStack, asked: argparse.Namespace) -> None:
        self._servers, self._asked = servers, asked
        self._at = servers.endpoints
        self._codec = new_codec(declarations(read_entry(), "bench", PARTITIONS), self._at.registry)
        self._patterns = Patterns(read_entry(), self._codec)
        self._chance = random.Random(1)
        self._began = time.monotonic()

    def run(self) -> Scale:
        asked = self._asked
        node, keys = "bench-scale", asked.keys
        self._fill(node, keys)
        disk_of_broker = _size(self._servers.home / "kafka")
        self._say(f"{keys:,} keys in the changelogs, {disk_of_broker / 1e9:.1f} GB at the broker")
        without, restored = self._start(node)
        self._say(f"ready without local state after {without.seconds:.1f} s, {without.restore_seconds:.1f} s of it restoring")
        per_change = self._change(node, [restored])
        last = restored.stop()
        memory = Memory(asked.memory_mib, last.resident_max_mib, round(last.resident_max_mib / asked.memory_mib, 2))
        self._say(f"at most {memory.resident_max_mib:,.0f} MiB resident; {per_change.cpu_us_per_change:.1f} µs of CPU a change")
        disk = Disk(_size(self._directory(node)), disk_of_broker, self._whole(node))
        again, stopped = self._start(node)
        self._say(f"ready with local state after {again.seconds:.1f} s")
        self._change(node, [stopped])
        stopped.kill()
        killed, last_one = self._start(node)
        last_one.stop()
        self._say(f"ready after a kill after {killed.seconds:.1f} s")
        costs = [self._costs(number) for number in PROCESSES]
        kept = self._keeps()
        return Scale(keys, len(SLOTS), asked.changes, memory, disk, without, again, killed, per_change, costs, kept)

    def _directory(self, node: str, instance: str = "0") -> Path:
        return self._servers.home / "state" / node / instance

    def _fill(self, node: str, keys: int) -> None:
        make_topics(self._at.kafka, declarations(read_entry(), node, PARTITIONS), node, PARTITIONS)
        fill(self._at.kafka, node, self._patterns, keys, PARTITIONS)

    def _process(self, node: str, instance: int = 0, owned: int = PARTITIONS) -> Process:
        at, directory = self._at, self._servers.home / "state"
        return Process(
            Orders(at.kafka, at.registry, node, str(instance), str(directory), PARTITIONS, owned, self._asked.memory_mib, WORKER_CORE)
        )

    def _start(self, node: str) -> tuple[Ready, Process]:
        process = self._process(node)
        ready = process.ready()
        begun, assigned = process.of("begun")[0], process.of("assigned")[0]
        seconds = ready.at - assigned.at
        records = sum(each.records for each in process.of("restored"))
        rates = (round(self._asked.keys / seconds), round(records / seconds)) if records > self._asked.keys else (None, None)
        cpu = ready.cpu_seconds - assigned.cpu_seconds
        return Ready(round(ready.at - begun.at, 2), round(seconds, 2), records, *rates, round(cpu, 1)), process

    def _change(self, node: str, processes: Sequence[Process]) -> Costs:
        """All of them done by the processes: what one costs, from the first commit of each to its last."""
        count = self._asked.changes
        keys = self._asked.keys if node == "bench-scale" else KEYS_OF_COSTS
        before = sum(process.done for process in processes)
        marks = [len(process.said) for process in processes]
        put = Claims(self._at.kafka, names.claim(node, ENTITY), PARTITIONS)
        put.put(changes(self._patterns, keys, count, self._chance))
        deadline = time.monotonic() + SILENT_SECONDS
        while sum(process.done for process in processes) - before < count:
            assert time.monotonic() < deadline, "the changes were not all done in time"
            for process in processes:
                process.drain()
            time.sleep(0.05)
        cpu = changed = wall = 0.0
        for process, mark in zip(processes, marks, strict=True):
            first, *rest = [each for each in process.said[mark:] if each.what == "committed"]
            cpu += rest[-1].cpu_seconds - first.cpu_seconds
            wall = max(wall, rest[-1].at - first.at)
            changed += sum(each.records for each in rest)
        return Costs(len(processes), round(cpu / changed * 1e6, 1), round(changed / wall, 1))

    def _costs(self, number: int) -> Costs:
        node = f"bench-scale-{number}"
        self._fill(node, KEYS_OF_COSTS)
        processes = [self._process(node, instance, PARTITIONS // number) for instance in range(number)]
        for process in processes:
            process.ready()
        _await_partitions(processes, PARTITIONS // number)
        costs = self._change(node, processes)
        for process in processes:
            process.stop()
        self._say(f"{number} processes: {costs.cpu_us_per_change:.1f} µs of CPU a change")
        return costs

    def _keeps(self) -> bool:
        """Whether a worker that keeps two of its four partitions, when another one comes, restores nothing."""
        node = "bench-scale-1"
        one = self._process(node)
        one.ready()
        before = len(one.of("restored"))
        two = self._process(node, 1, PARTITIONS // 2)
        two.ready()
        one.drain()
        kept = len(one.of("restored")) == before and len(two.of("restored")) == PARTITIONS // 2
        one.stop()
        two.stop()
        return kept

    def _whole(self, node: str) -> int:
        """Of a sample of keys, those that the local state has with all their rows and a version."""
        wanted = [key_of(number).encode() for number in self._chance.sample(range(self._asked.keys), min(SAMPLE, self._asked.keys))]
        whole = 0
        for partition in range(PARTITIONS):
            store = RocksStore(self._directory(node) / f"resolve.{ENTITY}" / str(partition))
            for raw in store.get_many(wanted):
                state = None if raw is None else msgspec.msgpack.decode(raw, type=State).record
                whole += state is not None and len(state.slots) == len(SLOTS) and state.version > 0
            store.close()
        return whole

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:>5.0f} s  {what}", flush=True)


def _await_partitions(processes: Sequence[Process], owned: int) -> None:
    """The group has settled when nobody has restored anything for some seconds."""
    quiet = time.monotonic()
    seen = -1
    while time.monotonic() - quiet < 4:
        for process in processes:
            process.drain()
        if (now := sum(len(process.said) for process in processes)) != seen:
            seen, quiet = now, time.monotonic()
        time.sleep(0.2)


def _size(folder: Path) -> int:
    return sum(found.stat().st_blocks * 512 for found in folder.rglob("*") if found.is_file())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=60_000)
    parser.add_argument("--memory-mib", type=int, default=1_024, help="the setting worker.memory_mib")
    parser.add_argument("--home", type=Path, help="where state and broker lie; by default a folder that is removed afterwards")
    parser.add_argument("--trial", action="store_true", help="writes no results")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=asked.home) as home,
        LocalStack(Path(home), ("kafka", "registry"), fast_start=False) as stack,
    ):
        for name in ("kafka", "registry"):
            pin(stack.process(name).pid, BROKER_CORE)
        found = Bench(stack, asked).run()
    show(found)
    if not asked.trial:
        save({"scale": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
