"""Why a golden record says what it says: per item the winner, the losers, the rule and the positions. Pure; recomputed from the slots.

It holds losing values, which are other departments' unshared data: for operators with the right to see them, never for subscribers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sync_engine.model.claim import Claim, Position, Value
from sync_engine.model.finding import Finding
from sync_engine.resolve.content import SCOPE_CLASS, SCOPE_PREFIX, Rules, resolve


@dataclass(frozen=True)
class Candidate:
    """What one slot says of an item."""

    source: str
    department_class: str
    row: str
    live: bool
    cell: str
    """value, null, withheld, unchanged."""
    value: Value
    position: Position
    effective_ms: int
    path: str
    wins: bool


@dataclass(frozen=True)
class Explained:
    item: str
    status: str | None
    value: Value
    rule: str
    authority_class: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Explanation:
    entity: str
    key: str
    life_cycle: str
    catalogue_version: int
    digest: str
    items: tuple[Explained, ...]
    findings: tuple[Finding, ...]


def explain(rules: Rules, key: str, slots: Sequence[Claim]) -> Explanation:
    """The explanation of the record that these slots make; its digest is that of the content they resolve to."""
    rules = rules.of(key)
    resolved = resolve(rules, key, slots)
    statuses = {item: (status, value) for item, status, value in resolved.content.items}
    explained = []
    for item, index in rules.item_rules:
        rule = rules.authority[index]
        status, value = statuses.get(item, (None, None))
        winner = resolved.sources.get(item)
        candidates = tuple(candidate for slot in slots if (candidate := _candidate(rules, slot, item, winner, value)) is not None)
        explained.append(Explained(item, status, value, rule.rule, rule.authority_class, candidates))
    content = resolved.content
    return Explanation(rules.entity, key, content.life_cycle, rules.version, content.digest().hex(), tuple(explained), resolved.findings)


def _candidate(rules: Rules, slot: Claim, item: str, winner: str | None, value: Value) -> Candidate | None:
    if item in slot.values:
        cell = "null" if slot.values[item] is None else "value"
    elif item in slot.withheld:
        cell = "withheld"
    elif item in slot.unchanged:
        cell = "unchanged"
    else:
        return None
    name = SCOPE_CLASS if slot.source.startswith(SCOPE_PREFIX) else rules.class_of(slot.source)
    own = slot.values.get(item)
    return Candidate(
        slot.source,
        name,
        slot.row,
        slot.live,
        cell,
        own,
        slot.positions.get(item, slot.position),
        slot.effective_ms,
        slot.path,
        slot.live and slot.source == winner and own == value,
    )
