"""A finding: what is wrong with a record's slots, as a pure predicate of them. Its id holds no position, so replays find the same one."""

from hashlib import blake2b

import msgspec

from sync_engine.model.claim import Value

DISAGREEMENT, TWO_AUTHORITIES, DUPLICATE_IN_SOURCE = "disagreement", "two_authorities", "duplicate_in_source"
FINDING_KINDS = (DISAGREEMENT, TWO_AUTHORITIES, DUPLICATE_IN_SOURCE)


class Finding(msgspec.Struct, frozen=True, array_like=True, order=False):
    """The fields in their order are the canonical form that the id digests."""

    entity: str
    key: str
    kind: str
    rule: str
    item: str
    pairs: list[tuple[str, Value]]
    """Sorted distinct (source, value)."""

    @property
    def id(self) -> str:
        return blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()

    @property
    def subject(self) -> str:
        """The id of the disagreement whatever its values: a case follows it through changes of value."""
        return blake2b(msgspec.json.encode([self.entity, self.key, self.kind, self.rule, self.item]), digest_size=16).hexdigest()


def sort_pairs(pairs: set[tuple[str, Value]]) -> list[tuple[str, Value]]:
    """By source, then by value; strings after numbers, since the values of one item may be of both kinds while its type changes."""
    return sorted(pairs, key=lambda pair: (pair[0], isinstance(pair[1], str), pair[1]))
