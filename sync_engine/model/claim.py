"""What one slot says about one entity key, and the join that makes a slot of its claims.

A slot's state is itself a `Claim`, so that `join` takes and gives one type, and a complete claim that is newer than all before
passes through unchanged. The rules are docs/merge.md §1-§4; the surprise is that a floor, not the head, decides which older items live on.
"""

from enum import IntEnum
from typing import TypeAlias

import msgspec

Value: TypeAlias = str | int | bool | None
"""A cell's value; None is *null*: the source says the item is empty."""

Position: TypeAlias = tuple[int, int, int, int, int]
"""(epoch, phase, major, minor, sub): orders the claims of one slot, and nothing else."""

Stamp: TypeAlias = tuple[int, int, int, int, int, int]
"""A position and the rank of the kind."""

SNAPSHOT, STREAM = 0, 1
"""Phases of a position."""


class Kind(IntEnum):
    """What a claim says of its slot. The number is the rank between two claims of one slot at one position."""

    ASSERT = 1
    IN_ERROR = 2
    OUT_OF_SCOPE = 3
    WITHDRAW = 4


SWEEP_RANK = 0
ASSERT = int(Kind.ASSERT)
IN_ERROR = int(Kind.IN_ERROR)


class Claim(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One slot's word on one entity key; also the join of many.

    An item that stands in none of `values`, `withheld`, `unchanged` is *absent*. `positions` holds the position of each known item
    that is not the claim's own, `unchanged` the stamp at which an item was last said to be unchanged. `floor` is None where it follows
    from the kind. `error` is the greatest stamp of an unreadable change, None where it follows from the kind.
    """

    source: str
    row: str
    mapping: str
    kind: int
    position: Position
    values: dict[str, Value] = {}
    moved_to: str | None = None
    withheld: tuple[str, ...] = ()
    unchanged: dict[str, Stamp] = {}
    positions: dict[str, Position] = {}
    floor: Stamp | None = None
    effective_ms: int = 0
    path: str = ""
    via: str | None = None
    error: Stamp | None = None

    @property
    def stamp(self) -> Stamp:
        return (*self.position, self.kind)

    @property
    def live(self) -> bool:
        """A slot below its floor has been swept."""
        return (self.kind == ASSERT or self.kind == IN_ERROR) and (self.floor is None or self.stamp >= self.floor)

    @property
    def slot(self) -> tuple[str, str, str]:
        return (self.source, self.row, self.mapping)

    @property
    def replaces_all_before(self) -> bool:
        """Whether the floor is the claim's own stamp: nothing older in the slot outlives it."""
        return self.floor is None and self.kind != IN_ERROR and not self.unchanged

    @property
    def incomplete(self) -> bool:
        """Whether an item is said to be unchanged and its value was never known."""
        return any(item not in self.values and item not in self.withheld for item in self.unchanged)


def floor_of(claim: Claim) -> Stamp:
    """The stamp below which nothing of the slot lives on."""
    if claim.floor is not None:
        return claim.floor
    if claim.replaces_all_before:
        return claim.stamp
    return (claim.position[0], 0, 0, 0, 0, 0)


def error_of(claim: Claim) -> Stamp | None:
    """The stamp of the newest change of the slot that could not be read: cells below it are not verified."""
    return claim.stamp if claim.kind == IN_ERROR else claim.error


def join(old: Claim, new: Claim) -> Claim:
    """The slot of both (docs/merge.md §4): idempotent, commutative and associative in all but evidence.

    Returns `old` itself when `new` says nothing more, and `new` itself when nothing of `old` lives on, so that the caller can test by
    identity whether a claim was accepted and whether its bytes may pass through.
    """
    if new.position > old.position and new.replaces_all_before and (old.floor is None or old.floor <= new.stamp):
        return new
    if new.position < old.position and old.replaces_all_before and (new.floor is None or new.floor <= old.stamp):
        return old
    return _join_items(old, new)


def _join_items(old: Claim, new: Claim) -> Claim:
    head = new if new.stamp > old.stamp else old
    floor = max(floor_of(old), floor_of(new), (head.position[0], 0, 0, 0, 0, 0))
    known: dict[str, tuple[Position, int, str, Value]] = {}
    unchanged: dict[str, Stamp] = {}
    for claim in (old, new):
        for item, cell in _known_cells(claim):
            if (*cell[0], ASSERT) >= floor and (item not in known or cell[:3] > known[item][:3]):
                known[item] = cell
        for item, stamp in claim.unchanged.items():
            if stamp >= floor and (item not in unchanged or stamp > unchanged[item]):
                unchanged[item] = stamp
    moved_to = head.moved_to
    if old.stamp == new.stamp:
        moved_to = max(old.moved_to or "", new.moved_to or "") or None
    errors = [error for claim in (old, new) if (error := error_of(claim)) is not None and error >= floor]
    joined = _slot(head, floor, known, unchanged, moved_to, max(errors, default=None))
    if same_word(joined, old):
        return old
    return new if same_word(joined, new) else joined


def _known_cells(claim: Claim) -> list[tuple[str, tuple[Position, int, str, Value]]]:
    """(item, (position, rank, canonical text, value)) of every known cell; withheld 0 < null 1 < value 2."""
    positions, own = claim.positions, claim.position
    cells: list[tuple[str, tuple[Position, int, str, Value]]] = []
    cells.extend((item, (positions.get(item, own), 0, "", None)) for item in claim.withheld)
    for item, value in claim.values.items():
        rank, text = (1, "") if value is None else (2, msgspec.json.encode(value).decode())
        cells.append((item, (positions.get(item, own), rank, text, value)))
    return cells


def _slot(
    head: Claim,
    floor: Stamp,
    known: dict[str, tuple[Position, int, str, Value]],
    unchanged: dict[str, Stamp],
    moved_to: str | None,
    error: Stamp | None,
) -> Claim:
    # An unchanged mark below a known cell can never matter again: whatever drops the cell drops the mark.
    kept = {item: stamp for item, stamp in unchanged.items() if item not in known or stamp > (*known[item][0], ASSERT)}
    slot = Claim(
        head.source,
        head.row,
        head.mapping,
        head.kind,
        head.position,
        {item: cell[3] for item, cell in sorted(known.items()) if cell[1]},
        moved_to,
        tuple(sorted(item for item, cell in known.items() if not cell[1])),
        kept,
        {item: cell[0] for item, cell in sorted(known.items()) if cell[0] != head.position},
        None,
        head.effective_ms,
        head.path,
        head.via,
        None if head.kind == IN_ERROR else error,
    )
    return slot if floor_of(slot) == floor else msgspec.structs.replace(slot, floor=floor)


def same_word(a: Claim, b: Claim) -> bool:
    """Whether two states of a slot say the same; evidence (effective time, path, via) is left out."""
    return (
        a.position == b.position
        and a.kind == b.kind
        and a.values == b.values
        and a.moved_to == b.moved_to
        and a.withheld == b.withheld
        and a.unchanged == b.unchanged
        and a.positions == b.positions
        and error_of(a) == error_of(b)
        and floor_of(a) == floor_of(b)
    )


def swept(slot: Claim, position: Position) -> Claim:
    """The slot after its source's sweep at `position`: its floor is raised, which ends it if it was not renewed since.

    The same object if the sweep says nothing new, or if the slot has ended anyway.
    """
    floor: Stamp = (*position, SWEEP_RANK)
    if not slot.live or floor_of(slot) >= floor:
        return slot
    return _join_items(slot, msgspec.structs.replace(slot, floor=floor))
