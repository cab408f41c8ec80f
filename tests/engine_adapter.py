"""The engine behind the same face as the oracle: the one place of the cases and properties that knows sync_engine's names.

A step is ("claim", plain dict) or ("sweep", source, position); claims and declarations are the oracle's plain dicts. The surprise: sweeps
are remembered beside the record, as the resolve stage does, because they also end a slot that is heard of only later.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from sync_engine.model.avro import (
    claim_of_datum,
    claim_schema,
    claim_to_datum,
    decoder,
    encoder,
    golden_of_datum,
    golden_schema,
    golden_to_datum,
)
from sync_engine.model.claim import Claim, Kind, Position, error_of, floor_of, join, swept
from sync_engine.model.declaration import AuthorityRule, CompareRule, EntityType, ExistenceRule, Item, Title
from sync_engine.model.finding import Finding
from sync_engine.model.golden import GENERATION
from sync_engine.model.key_kind import Condition
from sync_engine.resolve.content import Rules, compile_rules
from sync_engine.resolve.decide import Change, RecordState, decide, sweep

Step = tuple[Any, ...]
FIRST_GENERATION = 1
FIRST_VERSION = FIRST_GENERATION * GENERATION + 1


@dataclass
class EngineRecord:
    """One key's record in the engine: what it holds, and the changes that made it so."""

    entity: EntityType
    rules: Rules
    key: str
    state: RecordState | None = None
    sweeps: dict[str, Position] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    @property
    def n(self) -> int:
        return self.state.version - FIRST_VERSION + 1 if self.state else 0

    def canonical(self) -> bytes | None:
        """Canonical bytes of the last golden record; None if there never was one."""
        goldens = [change.golden for change in self.changes if change.golden]
        return goldens[-1].content.canonical() if goldens else None

    def digest(self) -> bytes | None:
        return self.state.digest if self.state else None

    def content(self) -> list[Any] | None:
        """The canonical list."""
        canonical = self.canonical()
        return None if canonical is None else list(json.loads(canonical))

    def findings(self) -> set[tuple[str, str, str, tuple[tuple[str, Any], ...]]]:
        """(kind, rule, item, pairs) of every finding that was raised and not cleared."""
        return {(one.kind, one.rule, one.item, tuple(one.pairs)) for one in self.standing()}

    def standing(self) -> list[Finding]:
        standing: list[Finding] = []
        for change in self.changes:
            assert all(one in standing for one in change.cleared), "only what stands can be cleared"
            assert all(one not in standing for one in change.raised), "what stands is not raised again"
            standing = [one for one in standing if one not in change.cleared] + change.raised
        return standing

    def incomplete_slots(self) -> set[tuple[str, str, str]]:
        return {slot.slot for slot in self.state.slots if slot.live and slot.incomplete} if self.state else set()


def take(record: EngineRecord, steps: Iterable[Step]) -> None:
    """THE ADAPTER: let the engine take these steps, one by one. Everything else here only translates."""
    for verb, *said in steps:
        if verb == "claim":
            change = decide(record.rules, FIRST_GENERATION, record.key, record.state, claim_of(said[0]), record.sweeps)
        else:
            source, position = said
            record.sweeps[source] = max(position, record.sweeps.get(source, position))
            change = sweep(record.rules, FIRST_GENERATION, record.key, record.state, source, position) if record.state else None
        if change:
            record.changes.append(change)
            record.state = change.after


def restored(record: EngineRecord) -> EngineRecord:
    """The record as a worker finds it after a restart: read back from the bytes in state and golden; findings follow from the slots."""
    if record.state is None:
        return record
    read_slot, write_slot = codec(claim_schema(record.entity))
    read_golden, write_golden = codec(golden_schema(record.entity))
    slots = [claim_of_datum(read_slot(write_slot(claim_to_datum(slot)))) for slot in record.state.slots]
    written = [change.golden for change in record.changes if change.golden][-1]
    golden = golden_of_datum(record.entity.entity, record.key, read_golden(write_golden(golden_to_datum(written))))
    content = golden.content
    state = RecordState(slots, golden.version, golden.digest, content.life_cycle, content.jurisdiction, golden.left)
    return replace(record, state=state)


def codec(schema: dict[str, Any]) -> tuple[Callable[[bytes], dict[str, Any]], Callable[[dict[str, Any]], bytes]]:
    """(decode, encode)."""
    return decoder(schema), encoder(schema)


# --- slots alone ---


def joined(claims: list[Claim]) -> Claim:
    """The slot that these claims of one slot make, taken in this order."""
    return reduce(join, claims)


def swept_at(slot: Claim, position: Position) -> Claim:
    return swept(slot, position)


def word(slot: Claim) -> dict[str, Any]:
    """All that a slot says, spelled one way; evidence left out."""
    return {
        "slot": slot.slot,
        "stamp": slot.stamp,
        "floor": floor_of(slot),
        "moved_to": slot.moved_to,
        "values": slot.values,
        "withheld": sorted(slot.withheld),
        "positions": {item: slot.positions.get(item, slot.position) for item in (*slot.values, *slot.withheld)},
        "unchanged": slot.unchanged,
        "error": error_of(slot),
    }


def through_bytes(declared: dict[str, Any], claim: Claim) -> Claim:
    """The claim after a journey through the Avro bytes of its topic."""
    decode, encode = codec(claim_schema(entity_of(declared)))
    return claim_of_datum(decode(encode(claim_to_datum(claim))), claim.path)


def claim_of(plain: dict[str, Any]) -> Claim:
    """The engine's claim of a plain one."""
    cells, kind = plain["cells"], Kind[plain["kind"].upper()]
    position: Position = tuple(plain["position"])
    return Claim(
        plain["source"],
        plain["row"],
        plain["mapping"],
        int(kind),
        position,
        {item: None if cell == "null" else cell["value"] for item, cell in cells.items() if cell == "null" or isinstance(cell, dict)},
        plain["moved_to"],
        tuple(sorted(item for item, cell in cells.items() if cell == "withheld")),
        {item: (*position, int(kind)) for item, cell in cells.items() if cell == "unchanged"},
    )


def record_of(declared: dict[str, Any], class_of: Callable[[str], str], key: str) -> EngineRecord:
    """A record of which nothing has been said yet."""
    entity = entity_of(declared)
    return EngineRecord(entity, compile_rules(entity, class_of), key)


def entity_of(declared: dict[str, Any]) -> EntityType:
    """The engine's catalogue entry of a declaration as it stands in YAML."""
    title = Title("", "")
    types = declared.get("items", {})
    items = types or {item: {"type": "string"} for rule in declared["authority"] for item in rule["items"]}
    said = declared["existence"]
    existence = [{"class": said}] if isinstance(said, str) else said
    return EntityType(
        entity=declared["entity"],
        title=title,
        version=1,
        update_cycle="realtime",
        key_name="key",
        key_type=declared.get("key_type", "string"),
        existence=tuple(ExistenceRule(rule["class"], condition_of(rule)) for rule in existence),
        jurisdiction=declared.get("jurisdiction"),
        items={item: Item(item, said["type"], title) for item, said in items.items()},
        authority=tuple(
            AuthorityRule(
                rule["rule"],
                tuple(rule["items"]),
                rule["class"],
                tuple(rule.get("fallback", ())),
                rule.get("order_by"),
                rule.get("together", False),
                condition_of(rule),
            )
            for rule in declared["authority"]
        ),
        compare=tuple(
            CompareRule(rule["rule"], tuple(rule["items"]), tuple(rule["classes"]), 0, condition_of(rule))
            for rule in declared.get("compare", ())
        ),
    )


def condition_of(rule: dict[str, Any]) -> Condition:
    return Condition(tuple((attribute, tuple(values)) for attribute, values in rule.get("when", {}).items()))
