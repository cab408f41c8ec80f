"""Content of a golden record: a pure function of its slots and the catalogue entry (docs/merge.md §5, §6).

Rules are compiled once per catalogue version; a record costs look-ups. The surprise: nothing here may look at arrival order, at a clock
or at positions of different slots, or two nodes with the same slots would differ.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sync_engine.model.claim import ASSERT, Claim, Value, error_of
from sync_engine.model.declaration import AuthorityRule, CompareRule, EntityType
from sync_engine.model.finding import DISAGREEMENT, DUPLICATE_IN_SOURCE, TWO_AUTHORITIES, Finding, sort_pairs
from sync_engine.model.golden import CONFIRMED, FALLBACK, LIVE, MOVED, UNCONFIRMED, UNVERIFIED, WITHDRAWN, WITHHELD, Content

SCOPE_PREFIX = "scope/"
SCOPE_CLASS = "scope"

ByClass = dict[str, list[Claim]]


@dataclass(frozen=True)
class Rules:
    """One entity's catalogue entry, compiled.

    `class_of` gives the department class of a source id and may raise KeyError for a source that no declaration names: ingest has refused
    its claims before.
    """

    entity: str
    version: int
    existence: str | None
    jurisdiction: str | None
    authority: tuple[AuthorityRule, ...]
    compare: tuple[CompareRule, ...]
    item_rules: tuple[tuple[str, int], ...]
    """(item, index of its rule), sorted by item: the order of the content."""
    class_of: Callable[[str], str]
    plans: dict[Any, Any] = field(default_factory=dict)
    """Who wins what, by the shape of a record; filled by `plan.resolve`."""
    conditional: EntityType | None = None
    """The entry, if its rules depend on the key: then `of` gives those that stand for a key."""
    variants: dict[tuple[str, ...], "Rules"] = field(default_factory=dict)

    def of(self, key: str) -> "Rules":
        """The rules that stand for this key: these, but where the entry has conditions."""
        if self.conditional is None:
            return self
        kind = self.conditional.key.kind_of(key)
        said = tuple(kind.values())
        variant = self.variants.get(said)
        if variant is None:
            variant = self.variants[said] = compile_rules(self.conditional.variant(kind), self.class_of)
        return variant


def compile_rules(entity: EntityType, class_of: Callable[[str], str]) -> Rules:
    """The entry as look-up tables; `class_of` need not know scope sources."""
    ruled = sorted((item, index) for index, rule in enumerate(entity.authority) for item in rule.items)
    return Rules(
        entity.entity,
        entity.version,
        entity.existence_of({}),
        entity.jurisdiction,
        entity.authority,
        entity.compare,
        tuple(ruled),
        class_of,
        conditional=entity if entity.attributes else None,
    )


class Resolved(msgspec.Struct, frozen=True, gc=False):
    content: Content
    sources: dict[str, str]
    """Item -> the source that won it: evidence."""
    findings: tuple[Finding, ...]


def resolve(rules: Rules, key: str, slots: Sequence[Claim]) -> Resolved:
    """Content and findings of the record that these slots make. `slots` must not be empty."""
    rules = rules.of(key)
    live, ended = _by_class(rules, slots)
    life_cycle, moved_to = _life_cycle(rules, live, ended)
    if life_cycle in (WITHDRAWN, MOVED):
        return Resolved(Content(rules.entity, key, life_cycle, moved_to, None, None, []), {}, ())
    items, sources = _items(rules, live)
    jurisdiction = next((value for item, _, value in items if item == rules.jurisdiction), None)
    content = Content(rules.entity, key, life_cycle, moved_to, None if jurisdiction is None else str(jurisdiction), None, items)
    return Resolved(content, sources, tuple(findings(rules, key, live)) if len(slots) > 1 else ())


def _by_class(rules: Rules, slots: Iterable[Claim]) -> tuple[ByClass, ByClass]:
    live: ByClass = {}
    ended: ByClass = {}
    for slot in slots:
        name = SCOPE_CLASS if slot.source.startswith(SCOPE_PREFIX) else rules.class_of(slot.source)
        (live if slot.live else ended).setdefault(name, []).append(slot)
    return live, ended


def _life_cycle(rules: Rules, live: ByClass, ended: ByClass) -> tuple[str, str | None]:
    left = ended.get(SCOPE_CLASS)
    if left and SCOPE_CLASS not in live:
        return MOVED, _greatest_moved_to(left)
    if rules.existence in live:
        return LIVE, None
    gone = None if rules.existence is None else ended.get(rules.existence)
    if not gone:
        return UNCONFIRMED, None
    # Without a forward the record has ended; positions of different sources cannot say which of two endings came last.
    if any(not slot.moved_to for slot in gone):
        return WITHDRAWN, None
    return MOVED, _greatest_moved_to(gone)


def _greatest_moved_to(slots: Iterable[Claim]) -> str | None:
    return max((slot.moved_to for slot in slots if slot.moved_to), default=None)


def _items(rules: Rules, live: ByClass) -> tuple[list[tuple[str, str, Value]], dict[str, str]]:
    together: list[tuple[Claim, bool] | None] = [_winner(rule, rule.items, live) if rule.together else None for rule in rules.authority]
    items: list[tuple[str, str, Value]] = []
    sources: dict[str, str] = {}
    for item, index in rules.item_rules:
        rule = rules.authority[index]
        won = together[index] if rule.together else _winner(rule, (item,), live)
        if won is None:
            continue
        slot, authoritative = won
        if item in slot.values:
            status = UNVERIFIED if _is_unverified(slot, item) else CONFIRMED if authoritative else FALLBACK
            items.append((item, status, slot.values[item]))
        elif item in slot.withheld:
            items.append((item, WITHHELD, None))
        else:
            continue
        sources[item] = slot.source
    return items, sources


def _is_unverified(slot: Claim, item: str) -> bool:
    """Whether a change of the row could not be read since the item was last said."""
    error = error_of(slot)
    return error is not None and (*slot.positions.get(item, slot.position), ASSERT) < error


def _winner(rule: AuthorityRule, items: Sequence[str], live: ByClass) -> tuple[Claim, bool] | None:
    """The slot whose cells count, and whether its class is the authoritative one; None if nobody knows."""
    for name in rule.classes:
        slots = live.get(name)
        if not slots:
            continue
        candidates = [slot for slot in slots if any(item in slot.values or item in slot.withheld for item in items)]
        if candidates:
            winner = candidates[0] if len(candidates) == 1 else first(rule, candidates)
            return winner, name == rule.authority_class
    return None


def first(rule: AuthorityRule, candidates: list[Claim]) -> Claim:
    """Greatest `order_by` value, then the smallest source, row, mapping."""
    if rule.order_by is not None:
        ranks = [_order(slot.values.get(rule.order_by)) for slot in candidates]
        greatest = max(ranks)
        candidates = [slot for slot, rank in zip(candidates, ranks, strict=True) if rank == greatest]
    return min(candidates, key=lambda slot: slot.slot)


def _order(value: Value) -> tuple[bool, str]:
    return (value is not None, "" if value is None else str(value))


def findings(rules: Rules, key: str, live: ByClass) -> Iterable[Finding]:
    """Every finding of a record that is live or unconfirmed (docs/merge.md §6)."""
    for compare in rules.compare:
        for item in compare.items:
            yield from _disagreement(rules, key, compare, item, live)
    for rule in rules.authority:
        slots = live.get(rule.authority_class, ())
        if len(slots) > 1:
            for item in rule.items:
                yield from _two_authorities(rules, key, rule, item, slots)
    yield from _duplicates(rules, key, live)


def _disagreement(rules: Rules, key: str, compare: CompareRule, item: str, live: ByClass) -> Iterable[Finding]:
    pairs: set[tuple[str, Value]] = set()
    classes_seen = 0
    for name in compare.classes:
        before = len(pairs)
        pairs.update((slot.source, slot.values[item]) for slot in live.get(name, ()) if slot.values.get(item) is not None)
        classes_seen += len(pairs) > before
    if classes_seen > 1 and len({value for _, value in pairs}) > 1:
        yield Finding(rules.entity, key, DISAGREEMENT, compare.rule, item, sort_pairs(pairs))


def _two_authorities(rules: Rules, key: str, rule: AuthorityRule, item: str, slots: Sequence[Claim]) -> Iterable[Finding]:
    pairs = {(slot.source, slot.values[item]) for slot in slots if slot.values.get(item) is not None}
    if len({source for source, _ in pairs}) > 1 and len({value for _, value in pairs}) > 1:
        yield Finding(rules.entity, key, TWO_AUTHORITIES, rule.rule, item, sort_pairs(pairs))


def _duplicates(rules: Rules, key: str, live: ByClass) -> Iterable[Finding]:
    for name, slots in live.items():
        if len(slots) < 2 or name == SCOPE_CLASS:
            continue
        by_source: dict[str, list[Claim]] = {}
        for slot in slots:
            by_source.setdefault(slot.source, []).append(slot)
        for source, rows in by_source.items():
            if len(rows) > 1:
                yield from _duplicates_of(rules, key, source, rows)


def _duplicates_of(rules: Rules, key: str, source: str, rows: list[Claim]) -> Iterable[Finding]:
    for item, _ in rules.item_rules:
        pairs = {(source, row.values[item]) for row in rows if row.values.get(item) is not None}
        if len(pairs) > 1:
            yield Finding(rules.entity, key, DUPLICATE_IN_SOURCE, source, item, sort_pairs(pairs))
