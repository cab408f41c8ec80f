"""What a stage is to the loop: topics in, a pure decision, the state it keeps, topics out. One loop runs any stage (runtime/loop).

The surprise: a stage may ask the world something (`Request`), but never does it itself: the loop performs all requests of a batch
together and brings the answers to `conclude` before it commits.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from sync_engine.model.avro_fast import Standing
from sync_engine.model.claim import Claim
from sync_engine.model.golden import Golden
from sync_engine.model.outcome import DeadLetter, Emit, Reason
from sync_engine.model.record import Record

Datum = dict[str, Any]


class Undecodable(Exception):
    """Bytes that no schema of ours reads: bad data."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.letter = DeadLetter(reason, detail)


class Codec(Protocol):
    """Framed Avro bytes to and from datums, by full record name (`sync.wire.Sweep`, `sync.natural_person.Claim`)."""

    def decode(self, framed: bytes) -> tuple[str, Datum]:
        """Raises Undecodable for bad bytes; a WorldFailure of the runtime when the registry is away."""

    def encode(self, name: str, datum: Datum) -> bytes: ...

    def name(self, framed: bytes) -> str:
        """The full name of the record that these bytes are, by their schema id alone. Raises as `decode`."""

    def claim(self, framed: bytes, path: str) -> Claim | None:
        """The claim that these bytes are, None if they are another record. Raises as `decode`."""

    def standing(self, framed: bytes) -> Standing:
        """Of a golden record, what a node's state keeps of it. Raises as `decode`."""

    def encode_claim(self, entity: str, claim: Claim) -> bytes: ...

    def encode_golden(self, entity: str, golden: Golden) -> bytes: ...


class View(Protocol):
    """The state of one partition as a stage sees it in a batch: reads fall through to the store, writes stay until the commit."""

    def get(self, key: bytes) -> Any: ...

    def put(self, key: bytes, state: Any) -> None:
        """None removes the state."""

    def scan(self, after: bytes, limit: int) -> list[tuple[bytes, Any]]:
        """Up to `limit` (key, state) in key order, beginning behind `after`."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """A signed push to be tried once now; unanswered after `timeout_seconds` it counts as failed."""

    subscriber: str
    key: bytes
    partition: int
    webhook_id: str
    body: bytes
    timeout_seconds: float


class Answer(msgspec.Struct, frozen=True, gc=False):
    acknowledged: bool
    status: int | None
    why: str
    retry_after_seconds: float | None = None
    gone: bool = False
    """The receiver wants no more of this (410): it is left alone for an hour, then asked with one record."""


Output = Emit | DeadLetter | Request


class Stage(Protocol):
    """One stage of one node. All methods are pure but for the stage's own indexes, which `open` rebuilds from the state."""

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> tuple[str, ...]: ...

    @property
    def changelogs(self) -> tuple[str, ...]:
        """Topics that the state is restored from; partitioned like the one input. Empty: the stage keeps no state."""

    @property
    def state_type(self) -> type | None: ...

    def open(self, partition: int, view: View) -> None:
        """The partition is ours from here on, or its indexes are void after an abort: rebuild them from the state."""

    def close(self, partition: int) -> None:
        """The partition is another's from here on: its indexes go, or what they count would be counted twice."""

    def keys(self, record: Record) -> Iterable[bytes]:
        """The state keys that `decide` will read for this record, so that a batch's state is loaded in one trip."""

    def decide(self, record: Record, view: View, now_ms: int) -> Sequence[Output]:
        """What this record causes. Puts into `view` last, so that an unforeseen exception leaves no half of it."""

    def work(self, partition: int, view: View, now_ms: int) -> Sequence[Output]:
        """A slice of what is due without any record: a sweep's next keys, a retry, a settle time.

        Called at the end of a batch, in its transaction, and between batches.
        """

    def has_more(self, partition: int) -> bool:
        """Whether `work` goes on at once, with the next slice of something long: then no turn waits for records."""

    def conclude(self, request: Request, answer: Answer, view: View, now_ms: int) -> Sequence[Emit]:
        """What the answer to a request causes."""

    def state_key(self, topic: str, key: bytes) -> bytes:
        """The state key that `restore` reads for a record of this changelog, so that many are loaded in one trip."""

    def restore(self, topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]], view: View) -> None:
        """Fold one changelog record into the state."""


class Stateless:
    """The part of a stage that keeps no state and asks nothing."""

    changelogs: tuple[str, ...] = ()
    state_type: type | None = None

    def open(self, partition: int, view: View) -> None:
        return

    def close(self, partition: int) -> None:
        return

    def keys(self, record: Record) -> Iterable[bytes]:
        return ()

    def work(self, partition: int, view: View, now_ms: int) -> Sequence[Output]:
        return ()

    def has_more(self, partition: int) -> bool:
        return False

    def conclude(self, request: Request, answer: Answer, view: View, now_ms: int) -> Sequence[Emit]:
        return ()

    def state_key(self, topic: str, key: bytes) -> bytes:
        return key

    def restore(self, topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]], view: View) -> None:
        return
