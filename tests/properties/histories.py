"""What can be said of two keys: by departments whose tables change and are captured, or by nobody that ever was.

A realistic history is played from operations on simulated tables; the tables' last rows are kept, so that a test can ask whether the
records came to say the same. An event is ("claim", key, plain claim) or ("sweep", source, position).
"""

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.properties.worlds import KEYS, NULL, SCOPE, UNCHANGED, WITHHELD, World

Event = tuple[Any, ...]
Steps = list[tuple[Any, ...]]
Cells = dict[str, Any]
Position = tuple[int, int, int, int, int]
ROWS = 3
MOST_ITEMS = 6


@dataclass
class Table:
    """A captured table as it stands, and where its capture stands."""

    epoch: int = 1
    lsn: int = 0
    rows: dict[int, tuple[str, Cells]] = field(default_factory=dict)
    """Row -> (entity key, every item's true cell)."""


@dataclass
class History:
    world: World
    events: list[Event] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    scope_n: int = 0


@dataclass(frozen=True)
class Operation:
    """What happens next; what it means is in `play`."""

    verb: str
    source: int
    row: int
    key: int
    choices: list[int]
    """One per item: 0 = not carried by the change, 1 = empty, more = a value of the pool."""


CAPTURED = ("put",) * 5 + ("patch",) * 4 + ("delete", "delete", "truncate", "recapture", "reread")
UNREADABLE = ("bad", "bad")
SCOPED = ("leave", "enter")


def operations(verbs: tuple[str, ...]) -> st.SearchStrategy[list[Operation]]:
    choices = st.lists(st.integers(0, 8), min_size=MOST_ITEMS, max_size=MOST_ITEMS)
    one = st.builds(Operation, st.sampled_from(verbs), st.integers(0, 7), st.integers(0, ROWS - 1), st.integers(0, len(KEYS) - 1), choices)
    return st.one_of(st.lists(one, min_size=1, max_size=6), st.lists(one, min_size=10, max_size=30))


def play(world: World, operations_: list[Operation]) -> History:
    """The events that the captures make of these operations, in the order in which they happen."""
    history = History(world, tables={source: Table() for source in world.sources})
    for operation in operations_:
        source = world.sources[operation.source % len(world.sources)]
        table = history.tables[source]
        table.lsn += 1
        PLAYS[operation.verb](history, source, table, operation)
    return history


def _put(history: History, source: str, table: Table, operation: Operation, partial: bool = False) -> None:
    """Insert the row or change it, perhaps its key too; `partial` leaves columns out that did not change."""
    world, key = history.world, KEYS[operation.key]
    old_key, truth = table.rows.get(operation.row, (None, {}))
    cells: Cells = {}
    for item, choice in zip(world.spoken[source], operation.choices, strict=False):
        not_carried = choice == 0 and partial and item in truth
        cells[item] = UNCHANGED if not_carried else NULL if choice == 1 else {"value": world.value(item, choice)}
    if old_key not in (None, key):
        _say(history, source, operation.row, old_key, "withdraw", _stream(table), {}, key)
    _say(history, source, operation.row, key, "assert", _stream(table), cells)
    table.rows[operation.row] = (key, {**truth, **{item: cell for item, cell in cells.items() if cell != UNCHANGED}})


def _patch(history: History, source: str, table: Table, operation: Operation) -> None:
    _put(history, source, table, operation, partial=True)


def _bad(history: History, source: str, table: Table, operation: Operation) -> None:
    """The row changes, and nobody can read how."""
    key, _ = table.rows.get(operation.row, (KEYS[operation.key], {}))
    _say(history, source, operation.row, key, "in_error", _stream(table), dict.fromkeys(history.world.spoken[source], UNCHANGED))


def _delete(history: History, source: str, table: Table, operation: Operation) -> None:
    if operation.row in table.rows:
        key, _ = table.rows.pop(operation.row)
        _say(history, source, operation.row, key, "withdraw", _stream(table), {})


def _truncate(history: History, source: str, table: Table, operation: Operation) -> None:
    table.rows.clear()
    history.events.append(("sweep", source, _stream(table)))


def _recapture(history: History, source: str, table: Table, operation: Operation) -> None:
    """The capture was lost, rows changed and went unseen, and a snapshot begins a new epoch, at positions that may be smaller."""
    _lose_unseen(table, operation)
    table.epoch += 1
    table.lsn = operation.choices[0]
    _snapshot(history, source, table, (table.epoch, 0, table.lsn, 0, 0))


def _reread(history: History, source: str, table: Table, operation: Operation) -> None:
    """Reconciliation: rows are read again in the stream, and what was lost unseen is swept."""
    _lose_unseen(table, operation)
    _snapshot(history, source, table, _stream(table))


def _lose_unseen(table: Table, operation: Operation) -> None:
    for row in [row for row in table.rows if operation.choices[row] == 0]:
        del table.rows[row]


def _snapshot(history: History, source: str, table: Table, position: Position) -> None:
    for row, (key, truth) in sorted(table.rows.items()):
        _say(history, source, row, key, "assert", position, dict(truth))
    history.events.append(("sweep", source, position))


def _leave(history: History, source: str, table: Table, operation: Operation) -> None:
    """The sender says that the record has left this node's area."""
    forward = (None, "341525", "341502")[operation.choices[0] % 3]
    _scope(history, operation, "out_of_scope", forward)


def _enter(history: History, source: str, table: Table, operation: Operation) -> None:
    _scope(history, operation, "assert", None)


def _scope(history: History, operation: Operation, kind: str, forward: str | None) -> None:
    history.scope_n += 1
    key = KEYS[operation.key]
    claim = plain_claim(SCOPE, key, "scope", kind, (1, 1, history.scope_n, 0, 0), {}, forward)
    history.events.append(("claim", key, claim))


PLAYS = {
    "put": _put,
    "patch": _patch,
    "bad": _bad,
    "delete": _delete,
    "truncate": _truncate,
    "recapture": _recapture,
    "reread": _reread,
    "leave": _leave,
    "enter": _enter,
}


def _stream(table: Table) -> Position:
    return (table.epoch, 1, table.lsn, 0, 0)


def _say(
    history: History, source: str, row: int, key: str, kind: str, position: Position, cells: Cells, moved_to: str | None = None
) -> None:
    history.events.append(("claim", key, plain_claim(source, f"[{row}]", "self", kind, position, cells, moved_to)))


def plain_claim(
    source: str, row: str, mapping: str, kind: str, position: Position, cells: Cells, moved_to: str | None = None
) -> dict[str, Any]:
    return {
        "source": source,
        "row": row,
        "mapping": mapping,
        "kind": kind,
        "position": position,
        "cells": cells,
        "moved_to": moved_to,
    }


# --- what nobody would say ---

TINY = st.sampled_from([(1, 0, 2, 0, 0), (1, 1, 0, 0, 0), (1, 1, 1, 0, 0), (1, 1, 2, 0, 0), (2, 0, 0, 0, 0), (2, 1, 1, 0, 0)])
"""So few positions that claims meet at one."""
SIZES = (1, 2, 3, 6, 10, 14, 18)
"""Hypothesis prefers small numbers, and few claims seldom meet in one slot."""
ABSENT = "absent"


@st.composite
def wild_claims(draw: st.DrawFn, world: World, source: str, row: str = "[0]") -> dict[str, Any]:
    """Any claim of a slot, of any kind, at any position, with any cells."""
    kind = draw(st.sampled_from(("assert", "assert", "in_error", "withdraw")))
    cells: Cells = {}
    if kind in ("assert", "in_error") and draw(st.integers(0, 4)):
        for item in world.entity["items"]:
            said = draw(st.sampled_from((2, 3, NULL, UNCHANGED, UNCHANGED, WITHHELD, ABSENT)))
            if said != ABSENT:
                cells[item] = UNCHANGED if kind == "in_error" else {"value": world.value(item, said)} if isinstance(said, int) else said
    moved_to = draw(st.sampled_from((None, "K2", "K3"))) if kind == "withdraw" else None
    return plain_claim(source, row, "self", kind, draw(TINY), cells, moved_to)


@st.composite
def wild_events(draw: st.DrawFn, world: World) -> list[Event]:
    """Claims and sweeps of one key that no capture would make."""
    events: list[Event] = []
    for _ in range(draw(st.sampled_from(SIZES))):
        source = draw(st.sampled_from([*world.sources[:2], *world.sources[:2], SCOPE]))
        if source == SCOPE:
            sender, kind = draw(st.sampled_from((SCOPE, "scope/other"))), draw(st.sampled_from(("assert", "out_of_scope")))
            forward = draw(st.sampled_from((None, "341525"))) if kind == "out_of_scope" else None
            events.append(("claim", KEYS[0], plain_claim(sender, KEYS[0], "scope", kind, draw(TINY), {}, forward)))
        elif draw(st.integers(0, 4)) == 0:
            events.append(("sweep", source, draw(TINY)))
        else:
            row = draw(st.sampled_from(("[0]", "[0]", "[1]")))
            events.append(("claim", KEYS[0], draw(wild_claims(world, source, row))))
    return events


# --- in which order it arrives ---

ARRIVALS = st.tuples(st.sampled_from(("replayed", "interleaved", "shuffled")), st.integers(0, 1 << 20))


def arrange(events: list[Event], arrival: tuple[str, int]) -> list[Event]:
    """The same events as they may arrive: each at least once."""
    if not events:
        return []
    shape, seed = arrival
    chance = random.Random(seed)
    if shape == "replayed":
        return _replayed(events, chance)
    if shape == "interleaved":
        return _interleaved(events, chance)
    return chance.sample(events, len(events)) + chance.choices(events, k=len(events) // 3)


def _replayed(events: list[Event], chance: random.Random) -> list[Event]:
    """Now and then everything from some earlier point comes again."""
    arrived: list[Event] = []
    heard = 0
    for end in [*sorted(chance.choices(range(1, len(events) + 1), k=3)), len(events)]:
        arrived += events[chance.randrange(heard + 1) : end]
        heard = end
    return arrived


def _interleaved(events: list[Event], chance: random.Random) -> list[Event]:
    """Every source's events in their order, the sources as they like."""
    queues: dict[str, list[Event]] = {}
    for event in events:
        queues.setdefault(event[2]["source"] if event[0] == "claim" else event[1], []).append(event)
    arrived = []
    while queues:
        source = chance.choice(sorted(queues))
        arrived.append(queues[source].pop(0))
        if not queues[source]:
            del queues[source]
    return arrived


def steps_of(events: list[Event], key: str) -> Steps:
    """What one key's record hears of these events: its claims, and all sweeps."""
    return [("claim", event[2]) if event[0] == "claim" else event for event in events if event[0] == "sweep" or event[1] == key]


def claims_of(steps: Steps) -> list[dict[str, Any]]:
    return [said[1] for said in steps if said[0] == "claim"]


def sweeps_of(steps: Steps) -> list[tuple[str, Position]]:
    return [(said[1], said[2]) for said in steps if said[0] == "sweep"]
