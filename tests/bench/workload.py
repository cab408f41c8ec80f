"""The stream of changes that every side gets: made from a seed, so that a prefix of it is the stream of a smaller run.

Every fifth change is a new row, of a new person or of one that is known; the others change rows that stand. TOPOLOGY.md has the shares.
"""

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.bench.catalogue import Entry
from tests.bench.values import new_value, person_values

NEW_ROWS = 0.2
NEW_PERSONS = 0.4
"""Of the new rows: so a person has 2.5 rows in the end."""
IN_TWO_COUNTIES = 0.1
"""Of the persons: the class public_security has two rows of them. Each change of one of these is a finding until the other follows."""
REPEATED, WITHDRAWN, LARGE_VALUE_MISSING, CORRECTED = 0.01, 0.005, 0.005, 0.01
"""Of the other changes: said twice, row deleted, address not carried (an unavailable value), name corrected. The rest change two items."""

Cells = dict[str, Any]


class Change(NamedTuple):
    """One claim. `unchanged` names the items that it does not carry."""

    key: str
    source: str
    row: str
    kind: str
    position: tuple[int, int, int, int, int]
    values: Cells
    unchanged: tuple[str, ...]
    effective_ms: int


def changes(entry: Entry, count: int, seed: int) -> Iterator[Change]:
    """`count` changes in the order in which departments make them."""
    stream = _Stream(entry, random.Random(seed))
    for number in range(count):
        yield stream.next(number)


class _Stream:
    def __init__(self, entry: Entry, chance: random.Random) -> None:
        self._items = {source: declared["items"] for source, declared in entry["sources"].items()}
        self._sources = list(self._items)
        self._chance = chance
        self._rows: list[Change] = []
        """The latest change of every row."""
        self._places: list[tuple[str, list[str]]] = []
        """(key, sources that have no row of it yet) of every person who lacks one."""

    def next(self, number: int) -> Change:
        position = (1, 1, 21_000_000_000 + number * 904, 21_000_000_000 + number * 904 + 352, 0)
        effective_ms = 1_790_000_000_000 + number * 7
        if not self._rows or self._chance.random() < NEW_ROWS:
            change = self._new_row(position, effective_ms)
            self._rows.append(change)
            return change
        index = self._chance.randrange(len(self._rows))
        before = self._rows[index]
        if self._chance.random() < REPEATED:
            return before
        change = self._rows[index] = self._changed(before)._replace(position=position, effective_ms=effective_ms)
        return change

    def _new_row(self, position: tuple[int, int, int, int, int], effective_ms: int) -> Change:
        chance = self._chance
        place = len(self._places) if chance.random() < NEW_PERSONS else chance.randrange(len(self._places) or 1)
        if place == len(self._places):
            sources = self._sources if chance.random() < IN_TWO_COUNTIES else self._sources[1:]
            self._places.append((_new_key(chance), chance.sample(sources, len(sources))))
        key, lacking = self._places[place]
        source = lacking.pop()
        if not lacking:
            self._places[place] = self._places[-1]
            self._places.pop()
        values = person_values(key, self._items[source])
        return Change(key, source, json.dumps([chance.randrange(10**9)]), "assert", position, values, (), effective_ms)

    def _changed(self, before: Change) -> Change:
        chance = self._chance
        if before.kind == "withdraw":
            return before._replace(kind="assert", values=person_values(before.key, self._items[before.source]), unchanged=())
        what = chance.random()
        if what < WITHDRAWN:
            return before._replace(kind="withdraw", values={}, unchanged=())
        values = dict(before.values)
        values.setdefault("residence_address", new_value("residence_address", chance))
        if what < WITHDRAWN + LARGE_VALUE_MISSING:
            del values["residence_address"]
            return before._replace(values=self._with_two_new(values), unchanged=("residence_address",))
        if what < WITHDRAWN + LARGE_VALUE_MISSING + CORRECTED:
            return before._replace(values={**values, "name": new_value("name", chance)}, unchanged=())
        return before._replace(values=self._with_two_new(values), unchanged=())

    def _with_two_new(self, values: Cells) -> Cells:
        for item in self._chance.sample([item for item in values if item not in ("name", "sex", "birth_date")], 2):
            values[item] = new_value(item, self._chance)
        return values


def _new_key(chance: random.Random) -> str:
    """Formed like a citizen identification number."""
    return f"34{chance.randrange(10**4):04}{chance.randrange(1940, 2010)}{chance.randrange(1, 13):02}{chance.randrange(10**6):06}"


def datum(change: Change) -> dict[str, Any]:
    """The datum of the claim schema that says it."""
    epoch, phase, major, minor, sub = change.position
    return {
        "kind": change.kind,
        "source": change.source,
        "row": change.row,
        "mapping": "resident",
        "epoch": epoch,
        "phase": phase,
        "major": major,
        "minor": minor,
        "sub": sub,
        "effective_ms": change.effective_ms,
        "moved_to": None,
        "via": None,
        "items": change.values,
        "nulls": [item for item, value in change.values.items() if value is None],
        "withheld": [],
        "unchanged": {
            item: {"epoch": epoch, "phase": phase, "major": major, "minor": minor, "sub": sub, "rank": 1} for item in change.unchanged
        },
        "positions": {},
        "floor": None,
    }


def as_the_oracle_says_it(change: Change) -> dict[str, Any]:
    """The claim as `tests.oracle.claims` takes it."""
    cells: Cells = {item: "null" if value is None else {"value": value} for item, value in change.values.items()}
    cells.update(dict.fromkeys(change.unchanged, "unchanged"))
    return {
        "source": change.source,
        "row": change.row,
        "mapping": "resident",
        "kind": change.kind,
        "position": change.position,
        "cells": cells,
        "moved_to": None,
    }
