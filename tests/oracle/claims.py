"""Slots, content and findings by definition: over the set of all claims, nothing folded, nothing remembered (docs/merge.md §1-§6).

A claim is a plain dict: source, row, mapping, kind, position (five integers), moved_to, and cells: {item: {"value": v} or "null" or
"withheld" or "unchanged"}; an item that is not mentioned is absent. A sweep is a pair (source, position). The surprise: a record
without claims is None.
"""

import json
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

Value = str | int | bool | None
Position = tuple[int, int, int, int, int]
Sweep = tuple[str, Position]
Cell = Any
"""{"value": v} or one of the words "null", "withheld", "unchanged"."""
Claim = dict[str, Any]
Slot = dict[str, Any]
Content = list[Any]
Finding = tuple[str, str, str, tuple[tuple[str, Value], ...]]
"""(kind, rule, item, pairs)"""

RANK = {"assert": 1, "in_error": 2, "out_of_scope": 3, "withdraw": 4}
LIVE_KINDS = {"assert", "in_error"}
SWEEP_RANK = 0
CELL_RANK = {"withheld": 0, "null": 1}


def content_of(
    entity: dict[str, Any], class_of: Callable[[str], str], key: str, claims: list[Claim], sweeps: list[Sweep]
) -> Content | None:
    """The canonical list of the record of `key`, of which these are all claims and all sweeps; None if there is no claim (§5)."""
    if not claims:
        return None
    entity = entity_for(entity, key)
    slots = slots_of(claims, sweeps)
    life_cycle, moved_to = life_cycle_of(entity, class_of, slots)
    if life_cycle in ("withdrawn", "moved"):
        return [entity["entity"], key, life_cycle, moved_to, None, None, [], []]
    items = sorted(items_of(entity, class_of, slots))
    jurisdiction = {item: value for item, _, value in items}.get(entity.get("jurisdiction"))
    return [entity["entity"], key, life_cycle, moved_to, jurisdiction, None, items, []]


# --- conditions (§5) ---

ATTRIBUTES = {"uscc": {"registrar": slice(0, 1), "kind": slice(0, 2)}, "parcel": {"ownership": slice(12, 13), "use": slice(13, 14)}}


def entity_for(entity: dict[str, Any], key: str) -> dict[str, Any]:
    """The catalogue entry with the rules alone whose conditions hold for this key; `existence` is a class, or None."""

    def holds(rule: dict[str, Any]) -> bool:
        places = ATTRIBUTES.get(key_type_of(entity), {})
        return all(attribute in places and key[places[attribute]] in values for attribute, values in rule.get("when", {}).items())

    existence = entity["existence"]
    if isinstance(existence, list):
        existence = next((rule["class"] for rule in existence if holds(rule)), None)
    authority = [rule for rule in entity["authority"] if holds(rule)]
    return {
        **entity,
        "existence": existence,
        "authority": authority,
        "compare": [rule for rule in entity.get("compare", []) if holds(rule)],
    }


def key_type_of(entity: dict[str, Any]) -> str:
    """As a file of schemas/entities/ says it, or as a catalogue made up for a test does."""
    key = entity.get("key")
    return str(key["type"]) if isinstance(key, dict) else str(entity.get("key_type", "string"))


def ruled_items(entity: dict[str, Any]) -> set[str]:
    return {item for rule in entity["authority"] for item in rule["items"]}


def canonical(value: object) -> bytes:
    """UTF-8 JSON without blanks, non-ASCII unescaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def digest(content: Content) -> bytes:
    return blake2b(canonical(content), digest_size=16).digest()


# --- slots (§1-§4) ---


def slots_of(claims: list[Claim], sweeps: list[Sweep]) -> list[Slot]:
    names = sorted({slot_name(claim) for claim in claims})
    return [slot_of([claim for claim in claims if slot_name(claim) == name], sweeps) for name in names]


def slot_name(claim: Claim | Slot) -> tuple[str, str, str]:
    return (claim["source"], claim["row"], claim["mapping"])


def slot_of(claims: list[Claim], sweeps: list[Sweep]) -> Slot:
    """What one slot says, `claims` (at least one) being all its claims (§4). A cell is "unchanged" only if nobody knows the item."""
    source, row, mapping = slot_name(claims[0])
    greatest = max(stamp_of(claim) for claim in claims)
    heads = [claim for claim in claims if stamp_of(claim) == greatest]
    floor = floor_of(claims, [position for swept, position in sweeps if swept == source])
    standing = [claim for claim in claims if stamp_of(claim) >= floor]
    live = heads[0]["kind"] in LIVE_KINDS and greatest >= floor
    mentioned = sorted({item for claim in standing for item in cells_of(claim)}) if live else []
    items = {item: item_of(item, standing) for item in mentioned}
    return {
        "source": source,
        "row": row,
        "mapping": mapping,
        "live": live,
        "moved_to": greatest_moved_to(heads),
        "cells": {item: cell for item, (_, cell) in items.items()},
        "positions": {item: position for item, (position, _) in items.items()},
        "incomplete": "unchanged" in [cell for _, cell in items.values()],
        "error": max((stamp_of(claim) for claim in standing if claim["kind"] == "in_error"), default=None),
    }


def stamp_of(claim: Claim) -> tuple[int, ...]:
    return (*claim["position"], RANK[claim["kind"]])


def floor_of(claims: list[Claim], sweeps: list[Position]) -> tuple[int, ...]:
    """Below it nothing of the slot lives on."""
    newest_epoch = max(claim["position"][0] for claim in claims)
    ended = [stamp_of(claim) for claim in claims if replaces(claim)] + [(*position, SWEEP_RANK) for position in sweeps]
    return max([*ended, (newest_epoch, 0, 0, 0, 0, 0)])


def replaces(claim: Claim) -> bool:
    """A complete assert, or an ending."""
    if claim["kind"] == "assert":
        return "unchanged" not in claim["cells"].values()
    return claim["kind"] in ("out_of_scope", "withdraw")


def cells_of(claim: Claim) -> dict[str, Cell]:
    if claim["kind"] == "in_error":
        return dict.fromkeys(claim["cells"], "unchanged")
    return claim["cells"] if claim["kind"] == "assert" else {}


def item_of(item: str, standing: list[Claim]) -> tuple[Position, Cell]:
    """(position, cell) of an item that at least one of these claims mentions."""
    said = [(tuple(claim["position"]), cells_of(claim)[item]) for claim in standing if item in cells_of(claim)]
    known = [(position, cell) for position, cell in said if cell != "unchanged"]
    return max(known or said, key=lambda pair: (pair[0], cell_order(pair[1])))


def cell_order(cell: Cell) -> tuple[int, bytes]:
    if isinstance(cell, dict):
        return (2, canonical(cell["value"]))
    return (CELL_RANK.get(cell, -1), b"")


def greatest_moved_to(slots: Iterable[Claim | Slot]) -> str | None:
    return max((slot["moved_to"] for slot in slots if slot["moved_to"] is not None), default=None)


# --- content (§5) ---


def class_of_slot(class_of: Callable[[str], str], slot: Slot) -> str:
    return "scope" if slot["source"].startswith("scope/") else class_of(slot["source"])


def life_cycle_of(entity: dict[str, Any], class_of: Callable[[str], str], slots: list[Slot]) -> tuple[str, str | None]:
    """(life cycle, moved_to)."""
    scope = [slot for slot in slots if class_of_slot(class_of, slot) == "scope"]
    if scope and not any(slot["live"] for slot in scope):
        return "moved", greatest_moved_to(scope)
    existence = [slot for slot in slots if class_of_slot(class_of, slot) == entity["existence"]]
    if any(slot["live"] for slot in existence):
        return "live", None
    if not existence:
        return "unconfirmed", None
    if any(slot["moved_to"] is None for slot in existence):
        return "withdrawn", None
    return "moved", greatest_moved_to(existence)


def items_of(entity: dict[str, Any], class_of: Callable[[str], str], slots: list[Slot]) -> list[list[Any]]:
    """[item, status, value] of every item that somebody knows."""
    live = [slot for slot in slots if slot["live"]]
    items = []
    for rule in entity["authority"]:
        groups = [rule["items"]] if rule.get("together") else [[item] for item in rule["items"]]
        for group in groups:
            decided = winner_of(rule, group, class_of, live)
            if decided is not None:
                deciding_class, winner = decided
                items += [[item, *status_and_value(rule, deciding_class, winner, item)] for item in group if known_cell(winner, item)]
    return items


def winner_of(rule: dict[str, Any], group: list[str], class_of: Callable[[str], str], live: list[Slot]) -> tuple[str, Slot] | None:
    """(deciding class, winning slot) for the items of `group`."""
    for name in [rule["class"], *rule.get("fallback", [])]:
        of_class = [slot for slot in live if class_of_slot(class_of, slot) == name]
        candidates = [slot for slot in of_class if any(known_cell(slot, item) for item in group)]
        if candidates:
            greatest = max(order_value(rule, slot) for slot in candidates)
            return name, min((slot for slot in candidates if order_value(rule, slot) == greatest), key=slot_name)
    return None


def known_cell(slot: Slot, item: str) -> Cell | None:
    cell = slot["cells"].get(item)
    return None if cell == "unchanged" else cell


def order_value(rule: dict[str, Any], slot: Slot) -> tuple[int, str]:
    cell = slot["cells"].get(rule.get("order_by"))
    return (1, str(cell["value"])) if isinstance(cell, dict) else (0, "")


def status_and_value(rule: dict[str, Any], deciding_class: str, winner: Slot, item: str) -> tuple[str, Value]:
    cell = winner["cells"][item]
    if cell == "withheld":
        return "withheld", None
    value = None if cell == "null" else cell["value"]
    if winner["error"] is not None and (*winner["positions"][item], RANK["assert"]) < winner["error"]:
        return "unverified", value
    return ("confirmed" if deciding_class == rule["class"] else "fallback"), value


# --- findings (§6) ---


def findings_of(entity: dict[str, Any], class_of: Callable[[str], str], key: str, claims: list[Claim], sweeps: list[Sweep]) -> set[Finding]:
    """Every finding that stands, of which these are all claims and all sweeps."""
    content = content_of(entity, class_of, key, claims, sweeps)
    if content is None or content[2] in ("withdrawn", "moved"):
        return set()
    entity = entity_for(entity, key)
    slots = slots_of(claims, sweeps)
    said = [
        (class_of_slot(class_of, slot), slot["source"], item, cell["value"])
        for slot in slots
        if slot["live"] and class_of_slot(class_of, slot) != "scope"
        for item, cell in slot["cells"].items()
        if isinstance(cell, dict) and item in ruled_items(entity)
    ]
    return disagreements(entity, said) | two_authorities(entity, said) | duplicates(said)


Said = list[tuple[str, str, str, Value]]
"""(class, source, item, value) of every value that a live slot holds."""


def disagreements(entity: dict[str, Any], said: Said) -> set[Finding]:
    found = set()
    for rule in entity.get("compare", []):
        for compared in rule["items"]:
            there = [entry for entry in said if entry[0] in rule["classes"] and entry[2] == compared]
            if distinct(name for name, _, _, _ in there) > 1 and distinct(value for _, _, _, value in there) > 1:
                found.add(("disagreement", rule["rule"], compared, pairs_of(there)))
    return found


def two_authorities(entity: dict[str, Any], said: Said) -> set[Finding]:
    found = set()
    for rule in entity["authority"]:
        for ruled in rule["items"]:
            there = [entry for entry in said if entry[0] == rule["class"] and entry[2] == ruled]
            if distinct(source for _, source, _, _ in there) > 1 and distinct(value for _, _, _, value in there) > 1:
                found.add(("two_authorities", rule["rule"], ruled, pairs_of(there)))
    return found


def duplicates(said: Said) -> set[Finding]:
    found = set()
    for source, item in {(source, item) for _, source, item, _ in said}:
        there = [entry for entry in said if entry[1] == source and entry[2] == item]
        if distinct(value for _, _, _, value in there) > 1:
            found.add(("duplicate_in_source", source, item, pairs_of(there)))
    return found


def distinct(values: Iterable[Value]) -> int:
    return len(set(values))


def pairs_of(said: Said) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted({(source, value) for _, source, _, value in said}))


def finding_id(entity: str, key: str, finding: Finding) -> str:
    kind, rule, item, pairs = finding
    return blake2b(canonical([entity, key, kind, rule, item, pairs]), digest_size=16).hexdigest()
