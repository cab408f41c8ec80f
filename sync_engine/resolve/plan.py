"""`content.resolve` compiled by shape: the same result for the common records, at a fraction of the cost.

The shape of a record is which sources are there and which items each knows. It decides who wins what, unless a class holds several
rows; so a plan is made once per shape and catalogue version, and a record costs look-ups. Whatever is not common (ended, withheld, swept,
unverified, scope) goes to the reference. The properties in tests/properties hold both to the oracle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sync_engine.model.claim import ASSERT, Claim, Value
from sync_engine.model.declaration import AuthorityRule, CompareRule
from sync_engine.model.golden import CONFIRMED, FALLBACK, LIVE, UNCONFIRMED, Content
from sync_engine.resolve import content
from sync_engine.resolve.content import SCOPE_PREFIX, Resolved, Rules

PLANS_MAX = 10_000
"""Shapes are as many as there are combinations of sources: a limit keeps a flood of odd rows from filling the memory."""

Shape = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Who wins what in records of one shape; slots by their index."""

    life_cycle: str
    items: tuple[tuple[str, str, int], ...]
    """(item, status, winning slot), sorted by item."""
    compared: tuple[tuple[CompareRule, str, tuple[int, ...]], ...]
    """(rule, item, slots that know it), of at least two classes."""


def resolve(rules: Rules, key: str, slots: Sequence[Claim]) -> Resolved:
    """As `content.resolve`."""
    shape = []
    for slot in slots:
        if slot.kind != ASSERT or slot.withheld or slot.floor is not None or slot.error is not None or slot.source.startswith(SCOPE_PREFIX):
            return content.resolve(rules, key, slots)
        shape.append((slot.source, tuple(slot.values)))
    plan = _plan_of(rules, tuple(shape))
    if plan is None or _disagrees(plan, slots):
        return content.resolve(rules, key, slots)
    values = [slot.values for slot in slots]
    items: list[tuple[str, str, Value]] = [(item, status, values[index][item]) for item, status, index in plan.items]
    sources = {item: slots[index].source for item, _, index in plan.items}
    jurisdiction = None
    if rules.jurisdiction is not None:
        found = next((value for item, _, value in items if item == rules.jurisdiction), None)
        jurisdiction = None if found is None else str(found)
    return Resolved(Content(rules.entity, key, plan.life_cycle, None, jurisdiction, None, items), sources, ())


def _plan_of(rules: Rules, shape: Shape) -> Plan | None:
    plan = rules.plans.get(shape, False)
    if plan is False:
        plan = _make(rules, shape)
        if len(rules.plans) < PLANS_MAX:
            rules.plans[shape] = plan
    assert plan is None or isinstance(plan, Plan)
    return plan


def _disagrees(plan: Plan, slots: Sequence[Claim]) -> bool:
    for _, item, indexes in plan.compared:
        first = None
        for index in indexes:
            value = slots[index].values[item]
            if value is None:
                continue
            if first is None:
                first = value
            elif value != first:
                return True
    return False


def _make(rules: Rules, shape: Shape) -> Plan | None:
    """None where values decide: several slots of one class."""
    by_class: dict[str, int] = {}
    for index, (source, _) in enumerate(shape):
        name = rules.class_of(source)
        if name in by_class:
            return None
        by_class[name] = index
    won = {index: _winner(rule, by_class, shape) for index, rule in enumerate(rules.authority) if rule.together}
    items = []
    for item, index in rules.item_rules:
        rule = rules.authority[index]
        winner = won[index] if rule.together else _winner(rule, by_class, shape, item)
        if winner is not None and item in shape[winner[0]][1]:
            items.append((item, CONFIRMED if winner[1] else FALLBACK, winner[0]))
    compared = []
    for compare in rules.compare:
        for item in compare.items:
            knowing = tuple(by_class[name] for name in compare.classes if name in by_class and item in shape[by_class[name]][1])
            if len(knowing) > 1:
                compared.append((compare, item, knowing))
    return Plan(LIVE if rules.existence in by_class else UNCONFIRMED, tuple(items), tuple(compared))


def _winner(rule: AuthorityRule, by_class: dict[str, int], shape: Shape, item: str | None = None) -> tuple[int, bool] | None:
    """(slot, whether its class is the authoritative one) that wins the rule's group, or one item of it."""
    wanted = set(rule.items) if item is None else {item}
    for name in rule.classes:
        index = by_class.get(name)
        if index is not None and not wanted.isdisjoint(shape[index][1]):
            return index, name == rule.authority_class
    return None
