"""Kafka in memory: `FakeBroker`, and `FakeLog` for one lane of it. Held to the promises of `runtime.log.Log` by tests/contract/test_log.py.

Offsets are as awkward as Kafka's: every transaction leaves a marker in each partition it wrote to, an open one holds readers back, and what
it aborted stays in the log unseen. Nothing here takes time: `take()` never waits, and whoever waits for a transaction gives up soon.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from sync_engine.model.names import partition_of
from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.runtime.log import BatchAborted, MustRestart, OnPartitions, TopicPartition, WorldFailure

READ_BATCH = 1_000


class Fate(Enum):
    """What becomes of a lane's next commit."""

    ABORTED = "aborted"  # BatchAborted, as if a message could not be delivered
    UNKNOWN_COMMITTED = "unknown_committed"  # MustRestart, and it was committed
    UNKNOWN_ABORTED = "unknown_aborted"  # MustRestart, and it was not
    OPEN = "open"  # MustRestart: the process died between its last record and the commit; until `end_open` nobody gets past it


@dataclass(eq=False)
class Transaction:
    """Of a lane, or of whoever else writes. Holds back every reader of the partitions it wrote to, and of the offsets it is to move."""

    broker: "FakeBroker"
    offsets: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)
    wrote: dict[TopicPartition, None] = field(default_factory=dict)
    is_open: bool = True
    committed: bool = False

    def put(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int = 0, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        with self.broker.changed:
            self.wrote[topic, partition] = None
            self.broker.append(topic, partition, key, value, headers, self)

    def move(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        self.offsets |= {(group, partition): offset for partition, offset in offsets.items()}

    def end(self, commit: bool) -> None:
        with self.broker.changed:
            if not self.is_open:
                return
            self.is_open, self.committed = False, commit
            for topic, partition in self.wrote:
                self.broker.topics[topic][partition].entries.append(Entry(None, self))
            if commit:
                for (group, partition_of_group), offset in self.offsets.items():
                    self.broker.group(group).committed[partition_of_group] = offset
            self.broker.open.pop(self, None)
            self.broker.changed.notify_all()


@dataclass(frozen=True)
class Entry:
    """A place in a partition. Without a record: the marker that a transaction leaves."""

    record: Record | None
    transaction: Transaction | None

    @property
    def is_visible(self) -> bool:
        return self.record is not None and (self.transaction is None or self.transaction.committed)


@dataclass
class Partition:
    entries: list[Entry] = field(default_factory=list)
    begin: int = 0
    """The oldest offset still kept."""

    def stable_end(self) -> int:
        """The first record of an open transaction, or the end."""
        held = (at for at, entry in enumerate(self.entries) if entry.transaction is not None and entry.transaction.is_open)
        return next(held, len(self.entries))

    def read(self, start: int, limit: int, end: int | None = None) -> tuple[list[Record], int]:
        """Up to `limit` visible records before `end`, and how far that got: past markers and aborted records behind the last one."""
        at, stop = max(start, self.begin), self.stable_end() if end is None else min(end, self.stable_end())
        found: list[Record] = []
        while at < stop:
            entry = self.entries[at]
            if entry.is_visible and entry.record is not None:
                if len(found) == limit:
                    break
                found.append(entry.record)
            at += 1
        return found, at


@dataclass
class Group:
    """Members keep what they have, as far as the shares allow, and get more only after somebody gave it back: cooperative, sticky."""

    topics: tuple[str, ...] = ()
    members: list["FakeLog"] = field(default_factory=list)
    owners: dict[TopicPartition, "FakeLog"] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)

    def shares(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, "FakeLog"]:
        """Who is to have what."""
        wanted: dict[TopicPartition, FakeLog] = {}
        room = {member: len(partitions) // len(self.members) for member in self.members}
        for member in self.members[: len(partitions) % len(self.members)]:
            room[member] += 1
        for partition in partitions:
            owner = self.owners.get(partition)
            if owner is not None and room.get(owner, 0) > 0:
                wanted[partition] = owner
                room[owner] -= 1
        for partition in partitions:
            if partition not in wanted:
                wanted[partition] = next(member for member in self.members if room[member] > 0)
                room[wanted[partition]] -= 1
        return wanted


class FakeBroker:
    """`away = True`: nobody reaches it. `patience_seconds`: how long a reader waits for an open transaction before WorldFailure."""

    def __init__(self, patience_seconds: float = 5.0) -> None:
        self.patience_seconds = patience_seconds
        self.away = False
        self.changed = threading.Condition(threading.RLock())
        self.topics: dict[str, list[Partition]] = {}
        self.open: dict[Transaction, None] = {}
        self._groups: dict[str, Group] = {}
        self._writers: dict[str, FakeLog] = {}
        self._clock = count(1_700_000_000_000)

    def create(self, topic: str, partitions: int = 1) -> None:
        self.topics.setdefault(topic, [Partition() for _ in range(partitions)])

    def put(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int = 0, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        """A record of a writer without transactions."""
        with self.changed:
            self.append(topic, partition, key, value, headers, None)
            self.changed.notify_all()

    def begin(self) -> Transaction:
        """A transaction of a writer that is nobody's lane."""
        transaction = Transaction(self)
        self.open[transaction] = None
        return transaction

    def records(self, topic: str, partition: int = 0) -> list[Record]:
        """All that a reader of committed records sees."""
        return self.topics[topic][partition].read(0, len(self.topics[topic][partition].entries))[0]

    def forget_before(self, topic: str, partition: int, offset: int) -> None:
        """Retention."""
        self.topics[topic][partition].begin = offset

    def end_open(self, commit: bool = False) -> None:
        """End every open transaction: aborted, as the coordinator does with those that took too long, or committed."""
        for transaction in list(self.open):
            transaction.end(commit)

    def throw_out(self, log: "FakeLog") -> None:
        """The lane was frozen for longer than its session: its partitions are another's from now on, and it does not know."""
        with self.changed:
            group = self.group(log.group)
            group.members.remove(log)
            group.owners = {partition: owner for partition, owner in group.owners.items() if owner is not log}

    # --- for FakeLog ---

    def group(self, name: str) -> Group:
        return self._groups.setdefault(name, Group())

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...],
        transaction: Transaction | None,
    ) -> None:
        entries = self.topics[topic][partition].entries
        entries.append(Entry(Record(topic, partition, len(entries), key, value, headers, next(self._clock)), transaction))

    def register(self, transactional_id: str, log: "FakeLog") -> None:
        """Whoever had the id before is fenced, and what it left open is aborted."""
        with self.changed:
            predecessor = self._writers.get(transactional_id)
            self._writers[transactional_id] = log
            if predecessor is not None and predecessor.transaction is not None:
                predecessor.transaction.end(False)

    def writer(self, transactional_id: str) -> "FakeLog":
        return self._writers[transactional_id]

    def wait_until(self, reached: Callable[[], bool], what: str) -> None:
        with self.changed:
            if not self.changed.wait_for(reached, self.patience_seconds):
                raise WorldFailure(f"an open transaction holds back {what}")


class FakeLog:
    """`Log` in memory. `next_commit` decides over one commit, then is spent."""

    def __init__(self, broker: FakeBroker, group: str, transactional_id: str) -> None:
        if broker.away:
            raise WorldFailure("no transaction coordinator: the broker is away")
        self.broker, self.group, self.transactional_id = broker, group, transactional_id
        self.next_commit: Fate | None = None
        self.transaction: Transaction | None = None
        self._topics: tuple[str, ...] = ()
        self._ours: dict[TopicPartition, int] = {}
        """With the next offset to take."""
        self._paused: set[TopicPartition] = set()
        self._must_rewind = False
        self._next_first = 0
        broker.register(transactional_id, self)

    def subscribe(self, topics: Sequence[str], on_assign: OnPartitions, on_revoke: OnPartitions) -> None:
        self._topics, self._on_assign, self._on_revoke = tuple(topics), on_assign, on_revoke
        self._join()

    def take(self, max_records: int, timeout_seconds: float) -> list[Record]:
        if self.broker.away:
            return []
        if self._must_rewind:
            self.rewind()
        self._rebalance()
        taken: list[Record] = []
        # Another partition begins every time, so that none starves behind a full one.
        ours = list(self._ours)
        self._next_first = (self._next_first + 1) % max(len(ours), 1)
        for topic, partition in ours[self._next_first :] + ours[: self._next_first]:
            if (topic, partition) in self._paused:
                continue
            found, at = self.broker.topics[topic][partition].read(self._ours[topic, partition], max_records - len(taken))
            taken += found
            self._ours[topic, partition] = at
        return taken

    def commit(self, emits: Sequence[Emit], offsets: Mapping[TopicPartition, int]) -> None:
        self._refuse(offsets)
        self._must_rewind = True
        fate, self.next_commit = self.next_commit, None
        if self.broker.away:
            raise BatchAborted("the broker is away")
        if self not in self.broker.group(self.group).members:
            raise BatchAborted("no longer a member of the group: its partitions may be another's")
        partitions = [self._partition(emit) for emit in emits]
        if self.broker.writer(self.transactional_id) is not self:
            raise MustRestart("fenced: another has the transactional id")
        self.transaction = transaction = self.broker.begin()
        for emit, partition in zip(emits, partitions, strict=True):
            if partition >= self.partitions(emit.topic):
                transaction.end(False)
                raise BatchAborted(f"{emit.topic} has no partition {partition}")
            transaction.put(emit.topic, emit.key, emit.value, partition, tuple(emit.headers))
        transaction.move(self.group, offsets)
        if fate is Fate.OPEN:
            raise MustRestart("died before the commit")
        transaction.end(commit=fate in (None, Fate.UNKNOWN_COMMITTED))
        if fate is Fate.ABORTED:
            raise BatchAborted("as the test wants it")
        if fate is not None:
            raise MustRestart("nobody knows whether the transaction was committed")
        self._must_rewind = False

    def rewind(self) -> None:
        self._must_rewind = True
        self._ours.update(self.committed(list(self._ours)))
        self._must_rewind = False

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._ours.update(self.committed(partitions))
        self._paused.difference_update(partitions)

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self._reach()
        wanted = {(self.group, partition) for partition in partitions}
        self.broker.wait_until(lambda: not any(wanted & transaction.offsets.keys() for transaction in self.broker.open), "offsets")
        committed = self.broker.group(self.group).committed
        return {(topic, number): max(committed.get((topic, number), 0), self._at(topic, number).begin) for topic, number in partitions}

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self._reach()
        return {(topic, number): len(self._at(topic, number).entries) for topic, number in partitions}

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[list[Record]]:
        at, log = start, self._at(*partition)
        while at < end:
            self._reach()
            found, at = log.read(at, READ_BATCH, end)
            if found:
                yield found
            elif at < end:
                held = at
                self.broker.wait_until(lambda: log.stable_end() > held, f"{partition[0]}/{partition[1]}")  # noqa: B023  # called at once

    def positions(self) -> dict[TopicPartition, int]:
        return dict(self._ours)

    def partitions(self, topic: str) -> int:
        self._reach()
        if topic not in self.broker.topics:
            raise WorldFailure(f"topic {topic} does not exist")
        return len(self.broker.topics[topic])

    def overdue(self) -> str | None:
        return None  # every call comes back

    def close(self) -> None:
        with self.broker.changed:
            group = self.broker.group(self.group)
            if self in group.members:
                self.broker.throw_out(self)
        self._give_back(list(self._ours))
        if self.transaction is not None:
            self.transaction.end(False)

    # --- the group ---

    def _join(self) -> None:
        with self.broker.changed:
            group = self.broker.group(self.group)
            group.topics = tuple(dict.fromkeys(group.topics + self._topics))
            group.members.append(self)

    def _rebalance(self) -> None:
        """First give back, then get: whoever is to have what another holds waits until that one took."""
        with self.broker.changed:
            group = self.broker.group(self.group)
            if self not in group.members:
                self._give_back(list(self._ours))
                self._join()
            known = [topic for topic in group.topics if topic in self.broker.topics]
            shares = group.shares([(topic, number) for topic in known for number in range(len(self.broker.topics[topic]))])
            self._give_back([partition for partition in self._ours if shares.get(partition) is not self])
            for partition, owner in list(group.owners.items()):
                if owner is self and shares.get(partition) is not self:
                    del group.owners[partition]  # got, and taken away before the lane had prepared for it
            ours = [partition for partition, member in shares.items() if member is self and group.owners.get(partition, self) is self]
            group.owners.update(dict.fromkeys(ours, self))
        new = [partition for partition in ours if partition not in self._ours]
        if new:
            self._on_assign(new)
            self._ours.update(self.committed(new))

    def _give_back(self, partitions: list[TopicPartition]) -> None:
        if not partitions:
            return
        owners = self.broker.group(self.group).owners
        for partition in partitions:
            del self._ours[partition]
            self._paused.discard(partition)
        self._on_revoke(partitions)
        for partition in partitions:
            if owners.get(partition) is self:
                del owners[partition]

    # --- small things ---

    def _refuse(self, offsets: Mapping[TopicPartition, int]) -> None:
        if not offsets:
            raise ValueError("a transaction without offsets is not fenced by the group")
        if foreign := offsets.keys() - self._ours.keys():
            raise ValueError(f"offsets of partitions that are not ours: {sorted(foreign)}")

    def _partition(self, emit: Emit) -> int:
        if emit.partition is not None:
            return emit.partition
        return 0 if emit.key is None else partition_of(emit.key, self.partitions(emit.topic))

    def _at(self, topic: str, partition: int) -> Partition:
        return self.broker.topics[topic][partition]

    def _reach(self) -> None:
        if self.broker.away:
            raise WorldFailure("the broker is away")
