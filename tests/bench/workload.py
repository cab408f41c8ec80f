"""The changes that every side gets, made from a seed: first a load that makes the records, then the stream that is measured.

A record's rows of the load follow from the seed and the record's number alone, so that a million of them are not kept in memory.
TOPOLOGY.md has the shares.
"""

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.bench.catalogue import Entry
from tests.bench.values import new_value, values_of

NEW_ROWS = 0.2
NEW_RECORDS = 0.4
"""Of the new rows."""
KINDS = ("92",) * 7 + ("93",) * 3
"""What the key says: one authority rule depends on it."""
ROWS_OF_ONE = (1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3)
"""Of a record in the load: 2.4 in the mean."""
IN_TWO_COUNTIES = 0.1
"""Of the records: the class public_security has two rows of them. Each change of one of these is a finding until the other follows."""
REPEATED, WITHDRAWN, LARGE_VALUE_MISSING, CORRECTED = 0.01, 0.005, 0.005, 0.01
"""Of the other changes: said twice, row deleted, address not carried (an unavailable value), name corrected. The rest change two items."""
SNAPSHOT_MAJOR, STREAM_MAJOR = 20_000_000_000, 21_000_000_000
BEGAN_MS = 1_790_000_000_000

Cells = dict[str, Any]
Position = tuple[int, int, int, int, int]


class Change(NamedTuple):
    """One claim. `unchanged` names the items that it does not carry."""

    key: str
    source: str
    row: str
    kind: str
    position: Position
    values: Cells
    unchanged: tuple[str, ...]
    effective_ms: int


class Workload:
    """The load of `keys` records, and behind it a stream without end."""

    def __init__(self, entry: Entry, keys: int, seed: int) -> None:
        self._items: dict[str, list[str]] = {source: declared["items"] for source, declared in entry["sources"].items()}
        self._sources = list(self._items)
        self.loaded = self.keys = keys
        self._seed = seed
        self._chance = random.Random(seed)
        self._number = 0
        self._rows: dict[int, list[Change]] = {}
        """The latest change of every row, of the records that the stream has touched."""
        self._lacking: dict[int, list[str]] = {}
        """The sources that have no row of these."""
        self.said: dict[str, list[Change]] = {}
        """Everything that was said of these, in its order."""

    def load(self, numbers: range) -> Iterator[list[Change]]:
        """The first rows of each of these records."""
        for number in numbers:
            sources, rows = self._plan(number)
            position = (1, 0, SNAPSHOT_MAJOR, number, 0)
            yield [self._new_row(number, source, position, BEGAN_MS) for source in sources[:rows]]

    def next(self) -> Change:
        """The next change of the stream."""
        self._number += 1
        position = (1, 1, STREAM_MAJOR + self._number * 904, STREAM_MAJOR + self._number * 904 + 352, 0)
        effective_ms = BEGAN_MS + self._number * 7
        if self._chance.random() < NEW_ROWS:
            number, change = self._of_a_new_row(position, effective_ms)
            self._rows[number].append(change)
        else:
            number = self._touched(self._chance.randrange(self.keys))
            change = self._of_a_standing_row(self._rows[number], position, effective_ms)
        self.said.setdefault(change.key, []).append(change)
        return change

    def key(self, number: int) -> str:
        """Formed like a unified social credit code."""
        chance = random.Random(f"{self._seed} key {number}")
        return f"{chance.choice(KINDS)}34{chance.randrange(10**4):04}{number:09}{chance.randrange(10)}"

    def _plan(self, number: int) -> tuple[list[str], int]:
        """The sources that may have a row of the record, in the order in which they come, and how many have one in the load."""
        chance = random.Random(f"{self._seed} rows {number}")
        sources = self._sources if chance.random() < IN_TWO_COUNTIES else self._sources[1:]
        return chance.sample(sources, len(sources)), chance.choice(ROWS_OF_ONE)

    def _new_row(self, number: int, source: str, position: Position, effective_ms: int) -> Change:
        key = self.key(number)
        row = json.dumps([number * len(self._sources) + self._sources.index(source)])
        return Change(key, source, row, "assert", position, self._first_values(key, source), (), effective_ms)

    def _first_values(self, key: str, source: str) -> Cells:
        values = values_of(key)
        return {item: values[item] for item in self._items[source]}

    def _touched(self, number: int) -> int:
        if number not in self._rows:
            sources, rows = self._plan(number)
            self._lacking[number] = sources[rows:]
            self._rows[number] = next(self.load(range(number, number + 1)))
            self.said[self.key(number)] = list(self._rows[number])
        return number

    def _of_a_new_row(self, position: Position, effective_ms: int) -> tuple[int, Change]:
        if self._chance.random() < NEW_RECORDS:
            number = self.keys
            self.keys += 1
            self._rows[number], self._lacking[number] = [], self._plan(number)[0]
        else:
            number = self._touched(self._chance.randrange(self.keys))
            while not self._lacking[number]:
                number = self._touched(self._chance.randrange(self.keys))
        return number, self._new_row(number, self._lacking[number].pop(0), position, effective_ms)

    def _of_a_standing_row(self, rows: list[Change], position: Position, effective_ms: int) -> Change:
        index = self._chance.randrange(len(rows))
        before = rows[index]
        if self._chance.random() < REPEATED:
            return before
        rows[index] = self._changed(before)._replace(position=position, effective_ms=effective_ms)
        return rows[index]

    def _changed(self, before: Change) -> Change:
        chance = self._chance
        if before.kind == "withdraw":
            return before._replace(kind="assert", values=self._first_values(before.key, before.source), unchanged=())
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
