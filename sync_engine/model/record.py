"""A record as it came out of Kafka: what every stage decides on. It carries no decoding: the bytes are the sender's.

The surprise: `timestamp_ms` is the producer's or the broker's clock, so it is good for lag, never for order.
"""

from collections.abc import Sequence

import msgspec


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of one partition. `value` None = erased (compacted topics); `headers` is empty when there are none."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp_ms: int
