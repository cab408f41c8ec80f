"""Whether the slots of a source say what its rows say: what the capture has lost, and what would heal it. Pure.

A row and its slots may differ because a change is under way, and that is no loss. So what differs is only suspect, and is looked at in
rounds. In each, in this order: the slots are read (`begin`), a beat of the stream is waited for, the suspect rows are read, everything that
was committed before that has been resolved (a watermark tells), the slots are read again (`judge`). A slot that did not move in between and
differs from its row has lost a change: had it not, it would hold what the row said. One that moved is looked at again.

The surprise: what heals is a claim at the position of that beat, which the stream gave before the row was read. All that the row was
before is older than it, all that it becomes later is newer, so it can neither lose to what it replaces nor hide what it did not see. It
needs no signal, no snapshot and no sweep; written twice it says nothing new.
"""

import struct
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from sync_engine.model.claim import SWEEP_RANK, Claim, Kind, Position, Stamp, error_of

SEPARATOR = "\x1f"


class Loss(Enum):
    """How a slot differs from its row for good."""

    MISSING = "missing"  # the row is there and has no live slot
    STALE = "stale"  # the slot says other than the row
    SURPLUS = "surplus"  # the slot lives, and the row no longer says anything to its record


class Apart(Enum):
    """Slots and rows that are not compared: they differ for a reason that is told elsewhere."""

    UNREADABLE = "unreadable"  # the row's own values are refused, as their change was
    IN_ERROR = "in_error"  # the slot's last change could not be read
    INCOMPLETE = "incomplete"  # a value came as unchanged and was never known
    PUT_ASIDE = "put_aside"  # dead letters of the row stand


class SlotId(NamedTuple):
    """A slot of the one source, at one record."""

    entity: str
    key: str
    row: str
    mapping: str

    def packed(self) -> bytes:
        return SEPARATOR.join(self).encode()

    @staticmethod
    def of(packed: bytes) -> "SlotId":
        return SlotId(*packed.decode().split(SEPARATOR))


class Said(NamedTuple):
    """What a row says: a claim by slot (packed), and the mappings by which it cannot be read. A row that is not there says nothing."""

    claims: Mapping[bytes, Claim] = {}
    unreadable: frozenset[str] = frozenset()


NOTHING = Said()


class Lost(NamedTuple):
    loss: Loss
    slot: SlotId


_STAMP = struct.Struct(">6q")
_CONTENT_BYTES = 8
_LIVE, _IN_ERROR, _INCOMPLETE = 1, 2, 4


def content_of(claim: Claim) -> bytes:
    """What is compared: values, nulls, withheld items. Not positions."""
    canonical = msgspec.json.encode([sorted(claim.values.items()), sorted(claim.withheld)])
    return blake2b(canonical, digest_size=_CONTENT_BYTES).digest()


class Word(NamedTuple):
    """What is kept of a slot."""

    stamp: Stamp
    content: bytes
    marks: int

    @staticmethod
    def of(claim: Claim) -> "Word":
        marks = _LIVE * claim.live | _IN_ERROR * (error_of(claim) is not None) | _INCOMPLETE * claim.incomplete
        return Word(claim.stamp, content_of(claim), marks)

    def packed(self) -> bytes:
        """As kept: there is one of every slot."""
        return _STAMP.pack(*self.stamp) + self.content + bytes([self.marks])

    @staticmethod
    def unpacked(packed: bytes) -> "Word":
        stamp: Stamp = _STAMP.unpack_from(packed)
        return Word(stamp, packed[_STAMP.size : -1], packed[-1])


class Comparison:
    """Of one source. First all its slots, then `scan` for every row and `scanned`; then rounds until nothing is suspect."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.rows = 0
        self.apart: dict[Apart, int] = dict.fromkeys(Apart, 0)
        self.suspects: dict[str, set[bytes]] = {}
        """Row -> those of its slots that are known to be or should be."""
        self._words: dict[bytes, bytes] = {}
        self._floor: Stamp | None = None
        self._moved: set[str] = set()
        self._unseen: set[bytes] | None = None
        self._unreadable: set[tuple[str, str]] = set()

    @property
    def slots(self) -> int:
        """Live ones."""
        return sum(self._lives(Word.unpacked(packed)) for packed in self._words.values())

    # --- what the slots say ---

    def slot(self, slot: SlotId, claim: Claim | None) -> None:
        """The next word of a slot in the state topic; None: it was erased."""
        packed = slot.packed()
        self._moved.add(slot.row)
        if slot.row in self.suspects:
            self.suspects[slot.row].add(packed)
        if claim is None:
            self._words.pop(packed, None)
        else:
            self._words[packed] = Word.of(claim).packed()

    def sweep(self, position: Position) -> None:
        """Every slot below it has ended, or will, as soon as the sweep gets there."""
        self._floor = max(self._floor or (*position, SWEEP_RANK), (*position, SWEEP_RANK))

    # --- the first look at all rows ---

    def scan(self, row: str, said: Said) -> None:
        if self._unseen is None:
            self._unseen = {packed for packed, word in self._words.items() if self._lives(Word.unpacked(word))}
        self.rows += 1
        self._unseen.difference_update(said.claims)
        self._unreadable.update((row, mapping) for mapping in said.unreadable)
        lost, apart = self._compare(said, said.claims)
        if lost:
            self.suspects[row] = set(said.claims)
        else:
            self._set_apart(apart)

    def scanned(self) -> None:
        """All rows have been seen: what lives and was not seen is suspect, too."""
        unseen = self._unseen
        if unseen is None:
            unseen = {packed for packed, word in self._words.items() if self._lives(Word.unpacked(word))}
        for packed in unseen:
            slot = SlotId.of(packed)
            if (slot.row, slot.mapping) not in self._unreadable:
                self.suspects.setdefault(slot.row, set()).add(packed)
        self._unseen, self._unreadable = None, set()

    # --- rounds ---

    def begin(self) -> None:
        """The slots are as they were before the rows of this round are read."""
        self._moved.clear()

    def judge(self, read: Mapping[str, Said], put_aside: Collection[str] = ()) -> list[Lost]:
        """What is lost of the rows that were read; what is left in `suspects` moved. `put_aside` = rows of which letters stand."""
        found: list[Lost] = []
        for row, said in read.items():
            if row in self._moved or row not in self.suspects:
                continue
            lost, apart = self._compare(said, self.suspects.pop(row) | said.claims.keys())
            if lost and row in put_aside:
                self._set_apart([Apart.PUT_ASIDE])
            else:
                found.extend(lost)
            self._set_apart(apart)
        return found

    def suspect(self, lost: Iterable[Lost]) -> None:
        """Look at these again: they should be healed."""
        for each in lost:
            self.suspects.setdefault(each.slot.row, set()).add(each.slot.packed())

    def _compare(self, said: Said, slots: Iterable[bytes]) -> tuple[list[Lost], list[Apart]]:
        lost: list[Lost] = []
        apart = [Apart.UNREADABLE] * len(said.unreadable)
        for packed in slots:
            word = Word.unpacked(self._words[packed]) if packed in self._words else None
            lives = word is not None and self._lives(word)
            claim = said.claims.get(packed)
            if claim is None:
                slot = SlotId.of(packed)
                if lives and slot.mapping not in said.unreadable:
                    lost.append(Lost(Loss.SURPLUS, slot))
            elif word is None or not lives:
                lost.append(Lost(Loss.MISSING, SlotId.of(packed)))
            elif word.marks & _IN_ERROR:
                apart.append(Apart.IN_ERROR)
            elif word.marks & _INCOMPLETE:
                apart.append(Apart.INCOMPLETE)
            elif word.content != content_of(claim):
                lost.append(Lost(Loss.STALE, SlotId.of(packed)))
        return lost, apart

    def _lives(self, word: Word) -> bool:
        return bool(word.marks & _LIVE) and (self._floor is None or word.stamp >= self._floor)

    def _set_apart(self, apart: Iterable[Apart]) -> None:
        for each in apart:
            self.apart[each] += 1


def healing(source: str, lost: Lost, said: Said, position: Position, at_ms: int) -> Claim:
    """What makes the slot say what its row says. `said` and `position` are of the round in which it was found."""
    slot = lost.slot
    if lost.loss is not Loss.SURPLUS:
        return said.claims[slot.packed()]
    now = [other for other in map(SlotId.of, said.claims) if other.mapping == slot.mapping and other.entity == slot.entity]
    moved_to = now[0].key if now else None
    return Claim(source, slot.row, slot.mapping, int(Kind.WITHDRAW), position, moved_to=moved_to, effective_ms=at_ms)


class Losses:
    """What the last comparison of each table of a node has found, and what of it stands."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, int]] = {}

    def read(self, datum: Mapping[str, Any]) -> str:
        """A comparison's record (sync.wire.Reconciled). Returns the department."""
        source: str = datum["source"]
        self._tables[source] = {loss.value: datum[loss.value] for loss in Loss}
        return source.rpartition("/")[0]

    def count(self, department: str) -> dict[str, int]:
        """Slots by kind, of all its tables."""
        tables = [counts for source, counts in self._tables.items() if source.rpartition("/")[0] == department]
        return {loss.value: sum(counts[loss.value] for counts in tables) for loss in Loss}
