"""A node of its own on the shared broker: its topics, what is fed to it, and its workers, which are processes (tests/chaos/lane.py).

Every wait here ends: with what was waited for, or with an AssertionError that shows what the workers said.
"""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import confluent_kafka as ck
import msgspec

from sync_engine.model import names
from sync_engine.model.avro import claim_to_datum
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.log import WorldFailure
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.schemas import AvroCodec, all_schemas
from sync_engine.runtime.topics import Offsets, create_topics
from sync_engine.topology import group_of
from tests.chaos.catalogue import ENTITY, UP, Event, declarations_of
from tests.chaos.lane import EXIT_RESTART, PAUSE, Orders, Trap
from tests.engine_adapter import claim_of

SESSION_MS = 2_000
"""What the successor of a dead worker waits for at least, and the longest that a transaction may be open."""
PATIENCE_SECONDS = 45.0
POLL_SECONDS = 0.02
NAME = ENTITY["entity"]
KILLED = -signal.SIGKILL


class Worker:
    """One worker process. `start` may be called again when it has ended."""

    def __init__(self, orders: Orders, log: Path, module: str = "tests.chaos.lane") -> None:
        self.orders = orders
        self.module = module
        self.log = log
        self.folder = Path(orders.folder)
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self._heard = 0
        self._news = threading.Condition()
        self._listener: threading.Thread
        self.partitions: set[int] = set()
        """What it has now, or had when it began to close."""
        self.is_let_go = False
        """Not to be started again when it leaves by itself."""

    def start(self, *traps: Trap) -> "Worker":
        self.orders.traps = list(traps)
        self.partitions = set()
        self._heard = len(self._said)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module, msgspec.json.encode(self.orders).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._listener.start()
        return self

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        closing = False
        for line in process.stdout:
            word, _, rest = line.strip().partition(" ")
            with self._news:
                closing = closing or word == "closing"
                if word == "assigned":
                    self.partitions.add(int(rest))
                elif word == "revoked" and not closing:
                    self.partitions.discard(int(rest))
                self._said.append(line.strip())
                self._news.notify_all()

    def wait(self, beginning: str, within_seconds: float = PATIENCE_SECONDS) -> str:
        """Its next line that begins so; what it said before that one is not looked at again."""

        def found() -> str | None:
            while self._heard < len(self._said):
                self._heard += 1
                if self._said[self._heard - 1].startswith(beginning):
                    return self._said[self._heard - 1]
            return None

        with self._news:
            line = self._news.wait_for(found, within_seconds)
        assert line, f"not within {within_seconds:g} s: {beginning!r}\n{self.describe()}"
        return line

    def said(self, beginning: str) -> list[str]:
        """All that it ever said that begins so."""
        with self._news:
            return [line for line in self._said if line.startswith(beginning)]

    def tell(self, command: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def trap(self, step: str, action: str = PAUSE, skip: int = 0) -> None:
        self.tell("trap " + msgspec.json.encode(Trap(step, action, skip)).decode())
        self.wait("trap is set")

    def flush(self) -> None:
        """What it has written so far is on disk."""
        self.tell("flush")
        self.wait("flushed")

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def tend(self) -> None:
        """What a supervisor does with a process that was killed or left to be started again. Any other end is a bug."""
        if self._process is not None and self._process.poll() in (KILLED, EXIT_RESTART) and not self.is_let_go:
            self.ends()
            self.start()

    def ends(self, within_seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit code; negative: the signal that killed it."""
        assert self._process is not None
        try:
            code = self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it runs on after {within_seconds:g} s\n{self.describe()}") from None
        self._listener.join()
        return code

    def stop(self) -> None:
        self.tell("stop")
        assert self.ends() == 0, self.describe()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def describe(self) -> str:
        code = None if self._process is None else self._process.poll()
        if self.running:
            self.signal(signal.SIGUSR1)
            time.sleep(0.5)  # it writes where each of its threads stands
        logged = self.log.read_text(encoding="utf-8", errors="replace")[-3_000:] if self.log.exists() else ""
        with self._news:
            said = "\n  ".join(self._said[-25:])
        return f"worker {self.orders.instance}, exit code {code}, partitions {self.partitions}, said\n  {said}\nand logged\n{logged}"


class World:
    def __init__(self, broker: LocalStack, folder: Path, partitions: int = 2) -> None:
        self.servers = broker
        self.bootstrap, self.registry = broker.endpoints.kafka, broker.endpoints.registry
        self.folder = folder
        self.partitions = partitions
        self.node = f"chaos-{uuid4().hex[:8]}"
        self.group = group_of(self.node, f"resolve.{NAME}")
        self.workers: dict[str, Worker] = {}
        self.fed = 0
        declarations = declarations_of(self.node)
        self.codec = AvroCodec(SchemaRegistry(self.registry), all_schemas(declarations))
        self.claims, self.state, self.golden = (named(self.node, NAME) for named in (names.claim, names.state, names.golden))
        self.edge, self.finding, self.dead = names.edge(self.node, UP, NAME), names.finding(self.node), names.dead(self.node)
        create_topics(self.bootstrap, [(topic, partitions, {}) for topic in (self.claims, self.state, self.golden, self.edge)])
        create_topics(self.bootstrap, [(topic, 1, {}) for topic in (self.finding, self.dead)])
        self.offsets = Offsets(self.bootstrap)
        self._feeder = _transactional(self.bootstrap, self.node)

    # --- what comes in ---

    def feed(self, events: Iterable[Event]) -> None:
        """One committed transaction."""
        self.feed_bytes((key.encode(), self.encoded(claim)) for key, claim in events)

    def encoded(self, plain: dict[str, Any]) -> bytes:
        return self.codec.encode(f"sync.{NAME}.Claim", claim_to_datum(claim_of(plain)))

    def feed_bytes(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        self._put([(names.partition_of(key, self.partitions), key, value) for key, value in records])

    def feed_sweep(self, source: str, position: tuple[int, ...]) -> None:
        datum = {"source": source, **dict(zip(("epoch", "phase", "major", "minor", "sub"), position, strict=True))}
        value = self.codec.encode("sync.wire.Sweep", datum)
        self._put([(partition, None, value) for partition in range(self.partitions)])

    def _put(self, records: list[tuple[int, bytes | None, bytes]]) -> None:
        self._feeder.begin_transaction()
        for partition, key, value in records:
            self._feeder.produce(self.claims, value, key, partition)
        self._feeder.commit_transaction(PATIENCE_SECONDS)
        self.fed += len(records)

    # --- who works ---

    def worker(self, instance: str = "0", module: str = "tests.chaos.lane", **orders: Any) -> Worker:
        """A new one, not started yet. `module`: what its process runs."""
        folder = self.folder / instance
        made = Orders(
            bootstrap=self.bootstrap,
            registry=self.registry,
            node=self.node,
            instance=instance,
            folder=str(folder),
            **{"session_ms": SESSION_MS, "batch_records": 25, **orders},
        )
        self.workers[instance] = worker = Worker(made, self.folder / f"{instance}.log", module)
        return worker

    def stop(self) -> list[Worker]:
        """Stop all who run; returns them. What they had is on disk."""
        running = [worker for worker in self.workers.values() if worker.running]
        for worker in running:
            worker.tell("stop")
        for worker in running:
            assert worker.ends() == 0, worker.describe()
        return running

    def close(self) -> None:
        for worker in self.workers.values():
            worker.kill()
        self._feeder.close()

    # --- waiting ---

    def until(self, what: str, reached: Callable[[], Any], within_seconds: float = PATIENCE_SECONDS) -> Any:
        """The first true value. A broker that is away is waited for."""
        deadline = time.monotonic() + within_seconds
        while True:
            with suppress(WorldFailure):
                if found := reached():
                    return found
            if time.monotonic() > deadline:
                described = "\n".join(worker.describe() for worker in self.workers.values())
                raise AssertionError(f"not within {within_seconds:g} s: {what}\n{described}")
            time.sleep(POLL_SECONDS)

    def drained(self, within_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the group has committed the end of everything that was fed. Meanwhile workers that left to be started again are."""
        self.until("all claims decided", self.is_drained, within_seconds)

    def is_drained(self) -> bool:
        for worker in self.workers.values():
            worker.tend()
        claims = [(self.claims, partition) for partition in range(self.partitions)]
        # Not the ends of what is committed: a commit is known to us before its markers are written, and counts only then.
        at, ends = self.offsets.group_offsets(self.group), self.offsets.list_open_ends(claims)
        return all(at.get(partition, 0) >= end for partition, end in ends.items())

    def members(self) -> int:
        described = self.offsets._admin.describe_consumer_groups([self.group], request_timeout=10)[self.group].result()
        return len(described.members)


def _transactional(bootstrap: str, name: str) -> ck.Producer:
    producer = ck.Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": f"{name}.feeder",
            "acks": "all",
            "linger.ms": 1,
            "retry.backoff.ms": 5,
            "logger": logging.getLogger(__name__),
        }
    )
    producer.init_transactions(PATIENCE_SECONDS)
    return producer
