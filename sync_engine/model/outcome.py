"""What a stage may return: records to write, and dead letters. A stage never raises for bad data; the world's failures are the loop's.

`Reason` is closed: each has a sentence in docs/dead-letters.md and a test case.
"""

from enum import Enum

import msgspec

from sync_engine.model.claim import Claim
from sync_engine.model.record import Record


class Reason(Enum):
    """Why a record was put aside. The value is what stands in the dead letter and in metrics."""

    UNDECODABLE = "undecodable"  # the bytes are not what their schema says, or carry no schema id
    UNKNOWN_SCHEMA = "unknown_schema"  # the registry answers and has no such schema
    UNKNOWN_TABLE = "unknown_table"  # captured, but declared nowhere
    UNKNOWN_COLUMN = "unknown_column"  # the row has a column that its declaration neither maps nor ignores
    MISSING_COLUMN = "missing_column"  # the row lacks a declared column
    UNKNOWN_OPERATION = "unknown_operation"  # neither r, c, u, d nor t
    INVALID_POSITION = "invalid_position"  # no source position, or no epoch header
    INVALID_IDENTIFIER = "invalid_identifier"  # the entity key breaks its standard (GB 11643, GB 32100, TD/T 1001)
    NO_AUTHORITY = "no_authority"  # the catalogue entry names no authority for a key of this kind
    INVALID_VALUE = "invalid_value"  # a value breaks its item's type
    BROKEN_RULE = "broken_rule"  # a value breaks a validation rule of its catalogue entry
    UNKNOWN_CODE = "unknown_code"  # a code that its table does not hold
    UNKNOWN_SOURCE = "unknown_source"  # a neighbour's claim of a source that no declaration names
    NOT_ITS_TO_SEND = "not_its_to_send"  # a neighbour's claim that cannot have come that way
    UNSUPPORTED_KIND = "unsupported_kind"  # a record kind that this version does not act on yet
    BUG = "bug"  # an unforeseen exception in a stage: ours to mend


class Emit(msgspec.Struct, frozen=True, gc=False):
    """A record to write in the batch's transaction. `partition` None = by the key; `value` None = erase (compacted topics)."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """A record put aside with its reason; the loop adds stage, topic, partition, offset and the bytes as they came.

    `detail` names columns, items, limits, never a value of the record: dead letters may be listed on a screen.
    """

    reason: Reason
    detail: str
    of: Record | None = None
    """The record it is about, where that is not the one in hand: one that was put back and is put aside again."""


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A slot for a neighbour: the very object that stands in state, where its bytes may pass through."""

    neighbour: str
    slot: Claim
