"""The golden record: content (a pure function of the slots), its digest, its version, and the evidence beside it."""

from hashlib import blake2b

import msgspec

from sync_engine.model.claim import Value

LIVE, WITHDRAWN, MOVED, UNCONFIRMED = "live", "withdrawn", "moved", "unconfirmed"
LIFE_CYCLES = (LIVE, WITHDRAWN, MOVED, UNCONFIRMED)
LEFT = "left"
"""What a subscriber is told in place of a life-cycle: the record has left its area."""

CONFIRMED, FALLBACK, WITHHELD, UNVERIFIED = "confirmed", "fallback", "withheld", "unverified"
STATUSES = (CONFIRMED, FALLBACK, WITHHELD, UNVERIFIED)

GENERATION = 1 << 40
"""A version is generation x 2^40 + n."""

_encoder = msgspec.json.Encoder()


class Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a record says. The fields in their order are the canonical form: as a JSON array they are the bytes that are digested."""

    entity: str
    key: str
    life_cycle: str
    moved_to: str | None
    jurisdiction: str | None
    redirect: str | None
    items: list[tuple[str, str, Value]]
    """(item, status, value), sorted by item."""
    flags: tuple[str, ...] = ()

    def canonical(self) -> bytes:
        """UTF-8 JSON without blanks, non-ASCII unescaped (docs/merge.md §5)."""
        return _encoder.encode(self)

    def digest(self) -> bytes:
        """16 bytes; every test of "the same record" compares these."""
        return blake2b(_encoder.encode(self), digest_size=16).digest()


class Golden(msgspec.Struct, frozen=True, gc=False):
    """One version of a golden record as it stands in golden.<entity>: content and evidence."""

    content: Content
    version: int
    digest: bytes
    catalogue_version: int
    effective_ms: int
    """The latest commit time at a source among the slots that were known: evidence, never a tie-break."""
    sources: dict[str, str]
    """Item -> the source that won it."""
    left: dict[str, int]
    """Jurisdiction left -> the version that left it; a subscriber or neighbour that folds versions still learns it."""


def next_version(generation: int, before: int) -> int:
    """The version after `before` (0 = none) in this generation of the node's golden log."""
    return max(before, generation * GENERATION) + 1
