"""Compiled plans say what the reference says, to the order of findings: whatever rows a record has, also several of one class or source."""

from dataclasses import replace
from itertools import product

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_engine.model.claim import Claim, Kind, Value
from sync_engine.model.core import CORE
from sync_engine.model.declaration import EntityType
from sync_engine.resolve import content, plan
from tests.bench.catalogue import class_of, entity_type, read_entry

ENTRY = read_entry()
SOURCES: dict[str, list[str]] = {source: declared["items"] for source, declared in ENTRY["sources"].items()}
SCOPE = "scope/340000"
KEYS = ("923415021234567890", "933415021234567890")
"""Of two kinds, for which other rules stand."""


def _value(item: str) -> st.SearchStrategy[Value]:
    known: list[Value] = {"contribution_months": [1, 2], "on_pension": [True, False]}.get(item, ["1", "2"])
    return st.sampled_from([None, *known])


@st.composite
def slots(draw: st.DrawFn) -> list[Claim]:
    made = []
    rows = st.tuples(st.sampled_from([*SOURCES, SCOPE]), st.sampled_from("123"))
    for source, row in draw(st.lists(rows, min_size=1, max_size=plan.SLOTS_MAX + 1, unique=True)):
        items = draw(st.lists(st.sampled_from(SOURCES.get(source, ["name", "sex"])), unique=True))
        kind = draw(st.sampled_from([Kind.ASSERT] * 9 + [Kind.WITHDRAW]))
        made.append(Claim(source, row, "m", int(kind), (1, 1, draw(st.integers(0, 9)), 0, 0), {item: draw(_value(item)) for item in items}))
    return made


@st.composite
def entities(draw: st.DrawFn) -> EntityType:
    """The bench entity with other rules: what is decided together, and by what order."""
    entity = entity_type(ENTRY)
    authority = tuple(
        replace(rule, order_by=draw(st.sampled_from([None, rule.items[0], "name"])), together=draw(st.booleans()))
        for rule in entity.authority
    )
    return replace(entity, authority=authority)


@settings(max_examples=300)
@given(entities(), st.lists(slots(), min_size=1, max_size=4))
def test_a_plan_says_what_the_reference_says(entity: EntityType, records: list[list[Claim]]) -> None:
    rules = content.compile_rules(entity, lambda source: class_of(ENTRY, source))
    for key, record in product(KEYS, [*records, *records]):  # made, and found again
        by_plan, by_reference = plan.resolve(rules, key, record), content.resolve(rules, key, record)
        assert msgspec.json.encode(by_plan.content) == msgspec.json.encode(by_reference.content)
        assert by_plan.sources == by_reference.sources
        assert by_plan.findings == by_reference.findings


@given(slots(), st.data())
def test_the_compiled_core_sees_picks_and_compares_as_the_pure_functions(record: list[Claim], data: st.DataObject) -> None:
    known = [(item, index) for index, slot in enumerate(record) for item in slot.values]
    won = tuple((item, "confirmed", index) for item, index in data.draw(st.lists(st.sampled_from(known) if known else st.nothing())))
    holding = {item: tuple(index for index, slot in enumerate(record) if item in slot.values) for item, _ in known}
    compared = tuple(holding.items())
    for core in [CORE] if CORE else []:
        assert core.shape(record) == plan.pure_shape(record)
        assert core.pick(won, record) == plan.pure_picked(won, record)
        assert core.differing(compared, record) == plan.pure_differing(compared, record)
