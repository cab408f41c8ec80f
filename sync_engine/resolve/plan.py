"""`content.resolve` compiled by shape: the same result for the common records, at a fraction of the cost.

The shape of a record is which sources are there and which items each knows. It decides who wins what, but where a class holds several
rows: then the rows' values choose once per rule, and the plan of shape and choice does the rest. A plan is made once per catalogue version,
and a record costs look-ups. Whatever is not common (ended, withheld, swept, unverified, scope) goes to the reference. The properties in
tests/properties hold both to the oracle.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from sync_engine.model.claim import ASSERT, Claim, Value
from sync_engine.model.declaration import AuthorityRule
from sync_engine.model.finding import DISAGREEMENT, DUPLICATE_IN_SOURCE, TWO_AUTHORITIES, Finding, sort_pairs
from sync_engine.model.golden import CONFIRMED, FALLBACK, LIVE, UNCONFIRMED, Content
from sync_engine.resolve import content
from sync_engine.resolve.content import SCOPE_PREFIX, Resolved, Rules

PLANS_MAX = 10_000
"""Shapes are as many as there are combinations of sources: a limit keeps a flood of odd rows from filling the memory."""
SLOTS_MAX = 8
"""Records of more rows are rare, and hardly any two of them have one shape."""

Shape = tuple[tuple[str, tuple[str, ...]], ...]
Pick = Callable[[Any], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Who wins what in records of one shape, once the contests are decided; slots by their index."""

    items: tuple[str, ...]
    """Sorted."""
    statuses: tuple[str, ...]
    picks: tuple[tuple[int, Pick], ...]
    """(slot, the values that it wins)."""
    in_order: Pick | None
    """The values of all picks, one behind the other, in the order of the items. None if they are already."""
    sources: dict[str, str]
    jurisdiction: int | None
    """Which of the items."""


@dataclass(frozen=True, slots=True)
class Check:
    """Where different values are a finding: if they come from several of the camps (classes, sources), or from rows of one source."""

    kind: str
    rule: str
    item: str
    slots: tuple[int, ...]
    """Those that know the item."""
    camps: tuple[str, ...]
    """Of each of the slots."""


@dataclass(frozen=True, slots=True)
class Shaped:
    """What a shape decides."""

    life_cycle: str
    contests: tuple[tuple[AuthorityRule, tuple[int, ...]], ...]
    """(rule, slots of one class that know of its items): values choose the winner."""
    won: tuple[tuple[str, str, int | tuple[AuthorityRule, tuple[int, ...]]], ...]
    """(item, status, winning slot, or the contest that finds it), sorted by item."""
    checks: tuple[Check, ...]
    plans: dict[tuple[int, ...], Plan] = field(default_factory=dict)
    """By the winners of the contests."""


def resolve(rules: Rules, key: str, slots: Sequence[Claim]) -> Resolved:
    """As `content.resolve`."""
    if len(slots) > SLOTS_MAX:
        return content.resolve(rules, key, slots)
    rules = rules.of(key)
    shape = []
    for slot in slots:
        if slot.kind != ASSERT or slot.withheld or slot.floor is not None or slot.error is not None:
            return content.resolve(rules, key, slots)
        shape.append((slot.source, tuple(slot.values)))
    shaped = _shaped(rules, tuple(shape))
    if shaped is None:
        return content.resolve(rules, key, slots)
    winners = tuple([_first(rule, indexes, slots) for rule, indexes in shaped.contests]) if shaped.contests else ()
    plan = shaped.plans.get(winners)
    if plan is None:
        plan = _plan(rules, shaped, winners, slots)
        if len(shaped.plans) < PLANS_MAX:
            shaped.plans[winners] = plan
    if len(plan.picks) == 1:
        index, pick = plan.picks[0]
        values = pick(slots[index].values)
    else:
        values = tuple([value for index, pick in plan.picks for value in pick(slots[index].values)])
    if plan.in_order is not None:
        values = plan.in_order(values)
    said: list[tuple[str, str, Value]] = list(zip(plan.items, plan.statuses, values, strict=True))
    jurisdiction = None if plan.jurisdiction is None else values[plan.jurisdiction]
    resolved = Content(rules.entity, key, shaped.life_cycle, None, None if jurisdiction is None else str(jurisdiction), None, said)
    return Resolved(resolved, plan.sources, tuple(_findings(rules, key, shaped, slots)) if shaped.checks else ())


def _shaped(rules: Rules, shape: Shape) -> Shaped | None:
    shaped = rules.plans.get(shape, False)
    if shaped is False:
        shaped = _make(rules, shape)
        if len(rules.plans) < PLANS_MAX:
            rules.plans[shape] = shaped
    assert shaped is None or isinstance(shaped, Shaped)
    return shaped


def _first(rule: AuthorityRule, indexes: tuple[int, ...], slots: Sequence[Claim]) -> int:
    candidates = [slots[index] for index in indexes]
    winner = content.first(rule, candidates)
    return next(index for index in indexes if slots[index] is winner)


def _findings(rules: Rules, key: str, shaped: Shaped, slots: Sequence[Claim]) -> list[Finding]:
    found = []
    for check in shaped.checks:
        item = check.item
        first = None
        for index in check.slots:
            value = slots[index].values[item]
            if value is None:
                continue
            if first is None:
                first = value
            elif value != first:
                said = [(camp, slots[index]) for index, camp in zip(check.slots, check.camps, strict=True)]
                said = [(camp, slot) for camp, slot in said if slot.values[item] is not None]
                if check.kind == DUPLICATE_IN_SOURCE or len({camp for camp, _ in said}) > 1:
                    pairs = sort_pairs({(slot.source, slot.values[item]) for _, slot in said})
                    found.append(Finding(rules.entity, key, check.kind, check.rule, item, pairs))
                break
    return found


# --- made once ---


def _make(rules: Rules, shape: Shape) -> Shaped | None:
    """None where a slot says that the record is in a scope."""
    if any(source.startswith(SCOPE_PREFIX) for source, _ in shape):
        return None
    by_class: dict[str, list[int]] = {}
    for index, (source, _) in enumerate(shape):
        by_class.setdefault(rules.class_of(source), []).append(index)
    won: list[tuple[str, str, int | tuple[AuthorityRule, tuple[int, ...]]]] = []
    contests: dict[tuple[str, tuple[int, ...]], tuple[AuthorityRule, tuple[int, ...]]] = {}
    for item, number in rules.item_rules:
        rule = rules.authority[number]
        found = _candidates(rule, by_class, shape, rule.items if rule.together else (item,))
        if found is None:
            continue
        indexes, status = found
        if len(indexes) > 1:
            contest = contests.setdefault((rule.rule, indexes), (rule, indexes))
            won.append((item, status, contest))
        elif item in shape[indexes[0]][1]:
            won.append((item, status, indexes[0]))
    checks = [check for check in _checks(rules, by_class, shape) if check.kind == DUPLICATE_IN_SOURCE or len(set(check.camps)) > 1]
    life_cycle = LIVE if rules.existence in by_class else UNCONFIRMED
    return Shaped(life_cycle, tuple(contests.values()), tuple(won), tuple(check for check in checks if len(check.slots) > 1))


def _candidates(
    rule: AuthorityRule, by_class: dict[str, list[int]], shape: Shape, items: Sequence[str]
) -> tuple[tuple[int, ...], str] | None:
    """The slots of the first class that knows of the items, and the status of what they win."""
    for name in rule.classes:
        knowing = tuple(index for index in by_class.get(name, ()) if not set(items).isdisjoint(shape[index][1]))
        if knowing:
            return knowing, CONFIRMED if name == rule.authority_class else FALLBACK
    return None


def _checks(rules: Rules, by_class: dict[str, list[int]], shape: Shape) -> Iterable[Check]:
    """In the order of `content.findings`."""
    for compare in rules.compare:
        for item in compare.items:
            known = [(index, name) for name in compare.classes for index in by_class.get(name, ()) if item in shape[index][1]]
            yield _check(DISAGREEMENT, compare.rule, item, known)
    for rule in rules.authority:
        for item in rule.items:
            known = [(index, shape[index][0]) for index in by_class.get(rule.authority_class, ()) if item in shape[index][1]]
            yield _check(TWO_AUTHORITIES, rule.rule, item, known)
    for indexes in by_class.values():
        for source in dict.fromkeys(shape[index][0] for index in indexes):
            for item, _ in rules.item_rules:
                known = [(index, source) for index in indexes if shape[index][0] == source and item in shape[index][1]]
                yield _check(DUPLICATE_IN_SOURCE, source, item, known)


def _check(kind: str, rule: str, item: str, known: list[tuple[int, str]]) -> Check:
    return Check(kind, rule, item, tuple(index for index, _ in known), tuple(camp for _, camp in known))


def _plan(rules: Rules, shaped: Shaped, winners: tuple[int, ...], slots: Sequence[Claim]) -> Plan:
    winner_of = {(rule.rule, indexes): winner for (rule, indexes), winner in zip(shaped.contests, winners, strict=True)}
    won = []
    for item, status, by in shaped.won:
        index = by if isinstance(by, int) else winner_of[by[0].rule, by[1]]
        if item in slots[index].values:
            won.append((item, status, index))
    by_slot: dict[int, list[str]] = {}
    for item, _, index in won:
        by_slot.setdefault(index, []).append(item)
    picked = [item for items in by_slot.values() for item in items]
    items = [item for item, _, _ in won]
    return Plan(
        tuple(items),
        tuple(status for _, status, _ in won),
        tuple((index, _pick(items)) for index, items in by_slot.items()),
        None if picked == items else _pick([picked.index(item) for item in items]),
        {item: slots[index].source for item, _, index in won},
        items.index(rules.jurisdiction) if rules.jurisdiction in items else None,
    )


def _pick(places: Sequence[Any]) -> Pick:
    """`itemgetter` gives one value by itself, and several as a tuple."""
    if len(places) == 1:
        place = places[0]
        return lambda values: (values[place],)
    return itemgetter(*places)
