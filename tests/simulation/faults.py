"""Where a lane can die, and what else can befall it there: the log and the stores with a step before and behind each of their calls."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.runtime.log import OnPartitions, TopicPartition
from sync_engine.runtime.store import MemoryStore
from tests.fakes.log import FakeLog, Fate


class Died(BaseException):
    """kill -9. Nothing of the engine may catch it and go on."""


Reach = Callable[[str], Fate | None]
"""The lane is at a step. May raise Died or a WorldFailure; returns what is to become of a commit."""
NO_WEATHER = frozenset({"taken", "committed", "storing", "stored", "asking", "asked"})
"""Steps at which nothing is asked of the world, so that it cannot fail there."""


class SteppedLog:
    """`Log` over a FakeLog."""

    def __init__(self, log: FakeLog, reach: Reach) -> None:
        self.log, self._reach = log, reach

    def subscribe(self, topics: Sequence[str], on_assign: OnPartitions, on_revoke: OnPartitions) -> None:
        self.log.subscribe(topics, on_assign, on_revoke)

    def take(self, max_records: int, timeout_seconds: float) -> list[Record]:
        self._reach("take")
        taken = self.log.take(max_records, 0.0)
        if taken:
            self._reach("taken")
        return taken

    def commit(self, emits: Sequence[Emit], offsets: Mapping[TopicPartition, int]) -> None:
        fate = self._reach("commit")
        if fate is not None:
            self.log.next_commit = fate
        self.log.commit(emits, offsets)
        self._reach("committed")

    def rewind(self) -> None:
        self._reach("rewind")
        self.log.rewind()

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self.log.pause(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._reach("resume")
        self.log.resume(partitions)

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self._reach("offsets")
        return self.log.committed(partitions)

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self._reach("ends")
        return self.log.end_offsets(partitions)

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[list[Record]]:
        """In small pieces, so that there is a middle of a restore."""
        self._reach("read")
        for records in self.log.read(partition, start, end):
            for first in range(0, len(records), 8):
                yield records[first : first + 8]
                self._reach("read")

    def positions(self) -> dict[TopicPartition, int]:
        return self.log.positions()

    def partitions(self, topic: str) -> int:
        return self.log.partitions(topic)

    def overdue(self) -> str | None:
        return None

    def close(self) -> None:
        self.log.close()


class Disk(MemoryStore):
    """A local store without a write-ahead log: of what was written since the last flush, a kill leaves a prefix of the batches."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._flushed: tuple[dict[bytes, bytes], dict[str, int]] = ({}, {})
        self._since: list[tuple[Mapping[bytes, bytes | None], Mapping[str, int]]] = []
        self.reach: Reach = lambda step: None

    def write(self, changes: Mapping[bytes, bytes | None], offsets: Mapping[str, int]) -> None:
        if not changes and not offsets:
            return
        self.reach("storing")
        super().write(changes, offsets)
        self._since.append((dict(changes), dict(offsets)))
        if self._chance.random() < 0.1:
            self._flush()
        self.reach("stored")

    def wipe(self) -> None:
        super().wipe()
        self._flush()

    def close(self) -> None:
        self._flush()

    def killed(self) -> None:
        since = self._since[: self._chance.randrange(len(self._since) + 1)]
        super().wipe()
        self._values, self._offsets = dict(self._flushed[0]), dict(self._flushed[1])
        for changes, offsets in since:
            super().write(changes, offsets)
        self._flush()

    def _flush(self) -> None:
        self._flushed, self._since = (dict(self._values), dict(self._offsets)), []
