"""The engine's seam to Kafka, as the loop sees it. A lane is one stage of one node, in one thread: take a batch, decide, commit, again.

`runtime.kafka` is the real one, `tests/fakes/log.py` the one in memory; `tests/contract/test_log.py` holds both to this text.
The surprise: partitions come and go only inside `take()` and `close()`, when no batch is in hand, so that nothing is ever decided for a
partition that is another's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record

TopicPartition = tuple[str, int]
OnPartitions = Callable[[list[TopicPartition]], None]


class WorldFailure(Exception):
    """Bad weather: nothing was committed, and nothing is lost by trying again later."""


class BatchAborted(WorldFailure):
    """The batch's transaction was given up: nothing of it is visible and no offset moved. Drop the overlay, call `rewind()`."""


class MustRestart(Exception):
    """Fenced, fatal, or nobody knows whether the last transaction was committed: leave the process, start again, restore."""


class Log(Protocol):
    """All methods but `overdue` are called from the lane's one thread."""

    def subscribe(self, topics: Sequence[str], on_assign: OnPartitions, on_revoke: OnPartitions) -> None:
        """Join the group. A topic that does not exist yet is picked up when it does.

        `on_assign` runs before any record of its partitions is returned. If it raises WorldFailure, `take()` raises it too and calls it
        again with the same partitions next time: it must undo what it had begun. `on_revoke` runs, before anybody else can have them, for
        partitions that `on_assign` was done with; also when they were lost to another member already, and at `close()`.
        """

    def take(self, max_records: int, timeout_seconds: float) -> list[Record]:
        """The next records, of committed transactions only, in order within a partition; [] if there are none within the timeout.

        A broker that is away gives [] too. WorldFailure: something a person must mend (no permission, say). MustRestart.
        After an aborted batch it rewinds first, if the caller's `rewind()` could not.
        """

    def commit(self, emits: Sequence[Emit], offsets: Mapping[TopicPartition, int]) -> None:
        """ONE transaction: all records and, per partition of ours, the next offset to take. Never without: the fencing rests on them.

        A record without a partition goes to CRC-32 of its key modulo the topic's partitions, without a key to partition 0.
        Raises BatchAborted (nothing happened), another WorldFailure (the same, before anything was begun) or MustRestart.
        """

    def rewind(self) -> None:
        """Go back to the committed offset on every partition of ours; what was fetched ahead is forgotten."""

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Take nothing more of these partitions of ours, nor what was fetched ahead; the others go on. Also in `on_assign`, for its own.

        A pause outlasts `rewind()` and rebalances, and ends when the partition is revoked: given anew, it is to be paused anew.
        """

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Take them again, from the committed offset on. WorldFailure if that is not to be had: they stay paused."""

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The group's next offsets, or where the partition begins. Waits for offsets of transactions that are still open."""

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the partitions end, records of open transactions included: a reader that gets there has waited for a predecessor."""

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[list[Record]]:
        """Committed records from `start`, until the position is at `end` (markers take offsets too: never wait for a last record).

        Waits behind an open transaction. Independent of the group. WorldFailure when nothing moves for long.
        """

    def positions(self) -> dict[TopicPartition, int]:
        """The next offset of every partition of ours that `take()` has got to, past the markers at the end; never beyond what was taken."""

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has; asked once. WorldFailure while it does not exist."""

    def overdue(self) -> str | None:
        """The call to the broker that does not come back although its time is over by far; None when all is well. From any thread.

        Nobody takes such a lane's partitions over, since its heartbeats go on: leave the process, as after MustRestart.
        """

    def close(self) -> None:
        """Leave the group; `on_revoke` runs for what is left. A transaction that is open is given up."""
