"""The two worlds of tests/contract/test_log.py: Kafka in memory, and the local broker. They have the same verbs; no test sees which."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, Protocol
from uuid import uuid4

import confluent_kafka as ck

from sync_engine.model.record import Record
from sync_engine.runtime.kafka import KafkaLog
from sync_engine.runtime.log import Log, TopicPartition
from sync_engine.runtime.topics import Offsets, create_topics
from tests.fakes.log import FakeBroker, FakeLog, Transaction

SESSION_MS = 6_000
"""The shortest that a broker grants by default."""
PATIENCE_SECONDS = 30.0


class Writer(Protocol):
    """A transaction of somebody who is no lane."""

    def put(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int = 0, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> None: ...

    def move(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Offsets of a group, to be moved when the transaction ends."""

    def end(self, commit: bool) -> None: ...


class World(Protocol):
    def topic(self, partitions: int = 1) -> str:
        """A new one."""

    def name(self) -> str:
        """A new name that nobody has: of a topic, a group, a transactional id."""

    def lane(self, group: str, transactional_id: str | None = None) -> Log: ...

    def writer(self) -> Writer:
        """Begins a transaction; what it puts has reached the broker."""

    def create(self, topic: str, partitions: int = 1) -> None: ...

    def throw_out(self, log: Log) -> None:
        """The lane loses its session without knowing."""


def seen(log: Log, topic: str, partition: int = 0) -> list[Record]:
    """All that a reader of committed records sees now, with nothing open."""
    end = log.end_offsets([(topic, partition)])[topic, partition]
    return [record for records in log.read((topic, partition), 0, end) for record in records]


def until(reached: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Call until it gives something true; whatever it calls waits by itself for a little."""
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
    return found


def take(log: Log, wanted: int, max_records: int = 1_000) -> list[Record]:
    """Take until there are as many."""
    taken: list[Record] = []
    until(lambda: len(taken.__iadd__(log.take(max_records, 0.1))) >= wanted, f"{wanted} records")
    return taken


class Lane:
    """A log with what it was told about its partitions, in order."""

    def __init__(self, log: Log, topics: Sequence[str]) -> None:
        self.log = log
        self.told: list[tuple[str, list[TopicPartition]]] = []
        self.partitions: set[TopicPartition] = set()
        log.subscribe(topics, self._assigned, self._revoked)

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        self.told.append(("assign", sorted(partitions)))
        self.partitions |= set(partitions)

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        self.told.append(("revoke", sorted(partitions)))
        self.partitions -= set(partitions)

    def join(self, partitions: int) -> "Lane":
        """Take until it has as many. For a topic without records: they would be lost."""
        assert until(lambda: self.log.take(1, 0.1) or len(self.partitions) == partitions, f"{partitions} partitions") is True
        return self


class FakeWorld:
    def __init__(self) -> None:
        self.broker = FakeBroker()
        self._names = count()

    def name(self) -> str:
        return f"name{next(self._names)}"

    def topic(self, partitions: int = 1) -> str:
        self.create(name := self.name(), partitions)
        return name

    def create(self, topic: str, partitions: int = 1) -> None:
        self.broker.create(topic, partitions)

    def lane(self, group: str, transactional_id: str | None = None) -> FakeLog:
        return FakeLog(self.broker, group, transactional_id or self.name())

    def writer(self) -> Transaction:
        return self.broker.begin()

    def throw_out(self, log: Log) -> None:
        assert isinstance(log, FakeLog)
        self.broker.throw_out(log)

    def close(self) -> None:
        return


class KafkaWriter:
    def __init__(self, bootstrap: str, transactional_id: str) -> None:
        self._bootstrap = bootstrap
        self._producer = ck.Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id})
        self._producer.init_transactions(PATIENCE_SECONDS)
        self._producer.begin_transaction()

    def put(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int = 0, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        self._producer.produce(topic, value, key, partition, headers=list(headers))
        assert self._producer.flush(PATIENCE_SECONDS) == 0

    def move(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        nobody = ck.Consumer({"bootstrap.servers": self._bootstrap, "group.id": group}).consumer_group_metadata()
        positions = [ck.TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        self._producer.send_offsets_to_transaction(positions, nobody, PATIENCE_SECONDS)

    def end(self, commit: bool) -> None:
        if commit:
            self._producer.commit_transaction(PATIENCE_SECONDS)
        else:
            self._producer.abort_transaction(PATIENCE_SECONDS)


class KafkaWorld:
    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.offsets = Offsets(bootstrap)
        self._run = uuid4().hex[:8]
        self._names = count()
        self._lanes: list[KafkaLog] = []

    def name(self) -> str:
        return f"{self._run}.{next(self._names)}"

    def topic(self, partitions: int = 1) -> str:
        self.create(name := self.name(), partitions)
        return name

    def create(self, topic: str, partitions: int = 1) -> None:
        create_topics(self.bootstrap, [(topic, partitions, {})])

    def lane(self, group: str, transactional_id: str | None = None) -> KafkaLog:
        log = KafkaLog(
            self.bootstrap,
            group,
            transactional_id or self.name(),
            session_timeout_ms=SESSION_MS,
            transaction_timeout_ms=SESSION_MS,
            max_poll_interval_ms=SESSION_MS,
        )
        self._lanes.append(log)
        return log

    def writer(self) -> Writer:
        return KafkaWriter(self.bootstrap, self.name())

    def throw_out(self, log: Log) -> None:
        """By not taking for longer than its interval: its own threads leave the group then."""
        assert isinstance(log, KafkaLog)
        until(partial(lost_its_place, log), "the end of its membership")

    def close(self) -> None:
        for log in self._lanes:
            log.close()
        self.offsets.close()


def lost_its_place(log: KafkaLog) -> bool:
    """Its own threads gave up its membership; the lane has not heard of it, since it does not take."""
    assert log._member
    return log._member not in log._consumer.consumer_group_metadata()


class Child:
    """tests/contract/log_child.py in a process. Killed at the end, whatever state it is in."""

    def __init__(self, bootstrap: str, group: str, transactional_id: str, source: str, target: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.log_child", bootstrap, group, transactional_id, source, target, str(SESSION_MS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *unused: object) -> None:
        self._process.kill()
        self._process.communicate()

    def says(self) -> str:
        """Its next line; waits for it."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)
