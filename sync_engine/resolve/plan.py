"""`content.resolve` compiled by shape: the same result for the common records, at a fraction of the cost.

The shape of a record is which sources are there and which items each knows. It decides who wins what, but where a class holds several
rows: then the rows' values choose once per rule, and the plan of shape and choice does the rest. A plan is made once per catalogue version,
and a record costs look-ups. Whatever is not common (ended, withheld, swept, unverified, scope) goes to the reference. The properties in
tests/properties hold both to the oracle.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sync_engine.model.claim import ASSERT, Claim, Value
from sync_engine.model.core import CORE
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
Won = tuple[tuple[str, str, int], ...]
"""(item, status, the slot that wins it by its index), sorted by item."""
Compared = tuple[tuple[str, tuple[int, ...]], ...]
"""(item, the slots that know it)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who wins what in records of one shape, once the contests are decided; slots by their index."""

    won: Won
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
    compared: Compared
    """Of each of the checks."""
    plans: dict[tuple[int, ...], Plan] = field(default_factory=dict)
    """By the winners of the contests."""


def resolve(rules: Rules, key: str, slots: list[Claim]) -> Resolved:
    """As `content.resolve`."""
    if len(slots) > SLOTS_MAX or (shape := _shape(slots)) is None:
        return content.resolve(rules, key, slots)
    if rules.conditional is not None:
        rules = rules.of(key)
    shaped: Shaped | None = rules.plans[shape] if shape in rules.plans else _shaped(rules, shape)
    if shaped is None:
        return content.resolve(rules, key, slots)
    winners = tuple([_first(rule, indexes, slots) for rule, indexes in shaped.contests]) if shaped.contests else ()
    plan = shaped.plans.get(winners) or _plan(rules, shaped, winners, slots)
    items = _picked(plan.won, slots)
    jurisdiction = None if plan.jurisdiction is None else items[plan.jurisdiction][2]
    resolved = Content(rules.entity, key, shaped.life_cycle, None, None if jurisdiction is None else str(jurisdiction), None, items)
    differing = _differing(shaped.compared, slots) if shaped.compared else ()
    return Resolved(resolved, plan.sources, _findings(rules, key, shaped, slots, differing) if differing else ())


def pure_shape(slots: Sequence[Claim]) -> Shape | None:
    """None: not a common record."""
    shape = []
    for slot in slots:
        if slot.kind != ASSERT or slot.withheld or slot.floor is not None or slot.error is not None:
            return None
        shape.append((slot.source, tuple(slot.values)))
    return tuple(shape)


def pure_picked(won: Won, slots: Sequence[Claim]) -> list[tuple[str, str, Value]]:
    """(item, status, value)"""
    return [(item, status, slots[index].values[item]) for item, status, index in won]


def pure_differing(compared: Compared, slots: Sequence[Claim]) -> list[int]:
    """The numbers of those whose values, but for null, are not all one."""
    found = []
    for number, (item, indexes) in enumerate(compared):
        first = None
        for index in indexes:
            value = slots[index].values[item]
            if value is not None and first is not None and value != first:
                found.append(number)
                break
            first = value if first is None else first
    return found


_shape, _picked, _differing = (pure_shape, pure_picked, pure_differing) if CORE is None else (CORE.shape, CORE.pick, CORE.differing)


def _shaped(rules: Rules, shape: Shape) -> Shaped | None:
    shaped = _make(rules, shape)
    if len(rules.plans) < PLANS_MAX:
        rules.plans[shape] = shaped
    return shaped


def _first(rule: AuthorityRule, indexes: tuple[int, ...], slots: Sequence[Claim]) -> int:
    candidates = [slots[index] for index in indexes]
    winner = content.first(rule, candidates)
    return next(index for index in indexes if slots[index] is winner)


def _findings(rules: Rules, key: str, shaped: Shaped, slots: Sequence[Claim], differing: Iterable[int]) -> tuple[Finding, ...]:
    found = []
    for number in differing:
        check = shaped.checks[number]
        said = [(camp, slots[index]) for index, camp in zip(check.slots, check.camps, strict=True)]
        said = [(camp, slot) for camp, slot in said if slot.values[check.item] is not None]
        if check.kind == DUPLICATE_IN_SOURCE or len({camp for camp, _ in said}) > 1:
            pairs = sort_pairs({(slot.source, slot.values[check.item]) for _, slot in said})
            found.append(Finding(rules.entity, key, check.kind, check.rule, check.item, pairs))
    return tuple(found)


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
    checks = [check for check in checks if len(check.slots) > 1]
    life_cycle = LIVE if rules.existence in by_class else UNCONFIRMED
    compared = tuple((check.item, check.slots) for check in checks)
    return Shaped(life_cycle, tuple(contests.values()), tuple(won), tuple(checks), compared)


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
    items = [item for item, _, _ in won]
    jurisdiction = items.index(rules.jurisdiction) if rules.jurisdiction in items else None
    plan = Plan(tuple(won), {item: slots[index].source for item, _, index in won}, jurisdiction)
    if len(shaped.plans) < PLANS_MAX:
        shaped.plans[winners] = plan
    return plan
