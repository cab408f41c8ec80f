"""What every node is owed: the history of the departments' rows as claims, judged by the oracle.

The oracle's own `records_of` knows only rows that are there; a record also remembers what has ended. So the journal looks at a table after
every commit and writes down each row that differs, by docs/merge.md alone. A position here is just the number of the look.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.oracle.claims import Claim, Content
from tests.oracle.normal import Refused, normal_key
from tests.oracle.rows import Held, Network, Row, fixed_point, grouped_records, held_of, lies_in, read_network, row_identity

Key = tuple[str, str]
"""(entity, key)"""


class Journal:
    """`note` a table once before its first change, then after every commit; `owed` is what the nodes must hold now."""

    def __init__(self, declarations: Path | Network) -> None:
        self._network = read_network(declarations) if isinstance(declarations, Path) else declarations
        self._rows: dict[str, dict[str, Row]] = {}
        self._claims: dict[Key, list[Held]] = {}
        self._regions: dict[Key, list[str]] = {}
        self._changed: set[Key] = set()
        self._owed: dict[str, dict[Key, Content]] = {node: {} for node in self._network.nodes}
        self._looks = 0

    def note(self, source: str, rows: Iterable[Row], among: Callable[[Row], bool] = lambda row: True) -> None:
        """All `rows` of the source's table as they are now, or all of those that `among` holds for, now or when they were noted last."""
        self._looks += 1
        primary_key = self._table(source)["primary_key"]
        known = self._rows.setdefault(source, {})
        after = {row_identity(primary_key, row): row for row in rows}
        before = {identity: row for identity, row in known.items() if identity in after or among(row)}
        for identity in {**before, **after}:
            if _filled(before.get(identity)) != _filled(after.get(identity)):
                self._write(source, identity, before.get(identity), after.get(identity))
            known.pop(identity, None)
        known.update(after)

    def owed(self) -> Mapping[str, Mapping[Key, Content]]:
        """node -> (entity, key) -> content. Records do not touch each other, so only those that changed are judged again."""
        own = {node: [held for key in self._changed for held in self._claims[key] if held.path == (node,)] for node in self._network.nodes}
        once_within = frozenset((node, *key) for key in self._changed for node in self._once_within(key))
        for node, held in fixed_point(self._network, own, once_within).items():
            for entity, records in grouped_records(self._network, held).items():
                self._owed[node].update({(entity, key): content for key, content in records.items()})
        self._changed.clear()
        return self._owed

    def held(self) -> Mapping[str, list[Held]]:
        """node -> every claim that it is owed, over the whole history."""
        own = {node: [held for of_key in self._claims.values() for held in of_key if held.path == (node,)] for node in self._network.nodes}
        once_within = frozenset((node, *key) for key in self._claims for node in self._once_within(key))
        return fixed_point(self._network, own, once_within)

    def _table(self, source: str) -> Any:
        node, department, alias = source.split("/")
        return self._network.departments[f"{node}/{department}"]["tables"][alias]

    def _write(self, source: str, identity: str, before: Row | None, after: Row | None) -> None:
        for mapping, declared in self._table(source)["mappings"].items():
            slot = {"source": source, "row": identity, "mapping": mapping, "position": (1, 1, self._looks, 0, 0)}
            old, new = (None if row is None else self._key(declared, row) for row in (before, after))
            if old is not None and old != new:
                self._add(declared["entity"], old, {**slot, "kind": "withdraw", "cells": {}, "moved_to": new})
            if after is not None and new is not None:
                said = self._said(source, identity, mapping, declared, after)
                self._add(declared["entity"], new, {**slot, **said, "moved_to": None})
                if said["kind"] == "assert":
                    self._note_region(declared, new, after)

    def _add(self, entity: str, key: str, claim: Claim) -> None:
        self._claims.setdefault((entity, key), []).append(Held(entity, key, (claim["source"].split("/")[0],), claim))
        self._changed.add((entity, key))

    def _key(self, declared: Any, row: Row) -> str | None:
        try:
            return normal_key(self._network.entities[declared["entity"]]["key"]["type"], row[declared["key"]])
        except Refused:
            return None

    def _said(self, source: str, identity: str, mapping: str, declared: Any, row: Row) -> dict[str, Any]:
        """Kind and cells: what the row says, or that it cannot be read (a bad value, or a column that nobody declared)."""
        try:
            if row.keys() - self._columns(source):
                raise Refused("unknown_column")
            cells = held_of(self._network, source.split("/")[0], source, identity, mapping, declared, row).claim["cells"]
        except Refused:
            return {"kind": "in_error", "cells": dict.fromkeys(declared["items"], "unchanged")}
        return {"kind": "assert", "cells": cells}

    def _columns(self, source: str) -> set[str]:
        table = self._table(source)
        mappings = table["mappings"].values()
        mapped = {item["column"] for mapping in mappings for item in mapping["items"].values()}
        return mapped | {mapping["key"] for mapping in mappings} | {*table["primary_key"], *table["ignore"]}

    # --- whose area a record has lain in ---

    def _note_region(self, declared: Any, key: str, row: Row) -> None:
        mapped = declared["items"].get(self._network.entities[declared["entity"]]["jurisdiction"])
        if mapped is not None:
            self._regions.setdefault((declared["entity"], key), []).append(row[mapped["column"]])

    def was_within(self, node: str, key: Key) -> bool:
        """Whether a row ever placed the record in the node's area."""
        return node in self._once_within(key)

    def _once_within(self, key: Key) -> list[str]:
        """Nodes in whose area the record lies or lay once."""
        regions = self._regions.get(key, [])
        return [node for node, declared in self._network.nodes.items() if any(lies_in(region, declared["region"]) for region in regions)]


def _filled(row: Row | None) -> Row | None:
    """Without what is NULL: a column that is added changes no row, and nothing is captured until somebody writes one."""
    return None if row is None else {column: value for column, value in row.items() if value is not None}
