"""The merge against the oracle, and the laws that docs/merge.md promises: any history, any order of arrival, any declaration.

The engine is reached through tests/engine_adapter.py alone. The surprise: between two steps the engine's record may be read back from its
bytes, as after a restart, and must not notice.
"""

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.engine_adapter import (
    EngineRecord,
    claim_of,
    joined,
    record_of,
    restored,
    swept_at,
    take,
    through_bytes,
    word,
)
from tests.oracle.claims import canonical, content_of, digest, entity_for, finding_id, findings_of, slots_of
from tests.properties.histories import (
    ARRIVALS,
    CAPTURED,
    SCOPED,
    TINY,
    UNREADABLE,
    Event,
    Steps,
    arrange,
    claims_of,
    operations,
    play,
    steps_of,
    sweeps_of,
    wild_claims,
    wild_events,
)
from tests.properties.worlds import KEYS, World, worlds

EVERYTHING = CAPTURED + UNREADABLE + SCOPED
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
"""All of Unicode but surrogates, which UTF-8 has no bytes for."""


def arrive(world: World, key: str, steps: Steps, restarts: random.Random | None = None) -> EngineRecord:
    """The engine's record after these steps; with `restarts` it is now and then read back from its bytes in between."""
    record = record_of(world.entity, world.class_of, key)
    for step in steps:
        take(record, [step])
        if restarts and restarts.random() < 0.2:
            record = restored(record)
    return record


def assert_is_the_oracles(world: World, key: str, steps: Steps, record: EngineRecord) -> None:
    claims, sweeps = claims_of(steps), sweeps_of(steps)
    content = content_of(world.entity, world.class_of, key, claims, sweeps)
    assert record.canonical() == (None if content is None else canonical(content))
    assert content is None or record.digest() == digest(content)
    found = findings_of(world.entity, world.class_of, key, claims, sweeps)
    assert record.findings() == found
    assert {one.id for one in record.standing()} == {finding_id(world.entity["entity"], key, one) for one in found}


@given(worlds(), operations(EVERYTHING), ARRIVALS)
def test_a_history_in_any_order_replayed_and_restarted_ends_as_the_oracle_says(
    world: World, operations_: list[Any], arrival: tuple[str, int]
) -> None:
    events = arrange(play(world, operations_).events, arrival)
    for key in KEYS:
        steps = steps_of(events, key)
        record = arrive(world, key, steps, random.Random(arrival[1]))
        assert_is_the_oracles(world, key, steps, record)


@given(st.data(), worlds(), ARRIVALS)
def test_claims_that_no_capture_would_make_end_as_the_oracle_says(data: st.DataObject, world: World, arrival: tuple[str, int]) -> None:
    events: list[Event] = data.draw(wild_events(world))
    steps = steps_of(arrange(events, arrival), KEYS[0])
    assert_is_the_oracles(world, KEYS[0], steps, arrive(world, KEYS[0], steps))


@given(worlds(), operations(CAPTURED), ARRIVALS)
def test_a_history_that_was_wholly_heard_says_what_the_tables_say_at_the_end(
    world: World, operations_: list[Any], arrival: tuple[str, int]
) -> None:
    history = play(world, operations_)
    rows = {(key, source, f"[{row}]"): cells for source, table in history.tables.items() for row, (key, cells) in table.rows.items()}
    events = arrange(history.events, arrival)
    live: dict[tuple[str, str, str], dict[str, Any]] = {}
    for key in KEYS:
        steps = steps_of(events, key)
        assert_is_the_oracles(world, key, steps, arrive(world, key, steps))
        live |= {(key, slot["source"], slot["row"]): slot for slot in slots_of(claims_of(steps), sweeps_of(steps)) if slot["live"]}
    assert live.keys() == rows.keys()
    for where, slot in live.items():
        known = {item: cell for item, cell in slot["cells"].items() if cell != "unchanged"}
        assert known.items() <= rows[where].items() if slot["incomplete"] else known == rows[where]


@given(worlds(), operations(EVERYTHING), ARRIVALS)
def test_hearing_it_twice_changes_nothing(world: World, operations_: list[Any], arrival: tuple[str, int]) -> None:
    events = play(world, operations_).events
    record = arrive(world, KEYS[0], steps_of(events, KEYS[0]))
    n, changes = record.n, len(record.changes)
    take(record, steps_of(arrange(events, arrival), KEYS[0]))
    assert (record.n, len(record.changes)) == (n, changes), "a replay was accepted"


@given(worlds(), operations(EVERYTHING))
def test_the_version_rises_by_one_exactly_when_the_digest_changes(world: World, operations_: list[Any]) -> None:
    record = record_of(world.entity, world.class_of, KEYS[0])
    steps = steps_of(play(world, operations_).events, KEYS[0])
    n, last = 0, None
    for count, step in enumerate(steps, start=1):
        take(record, [step])
        content = content_of(world.entity, world.class_of, KEYS[0], claims_of(steps[:count]), sweeps_of(steps[:count]))
        if content is not None and digest(content) != last:
            n, last = n + 1, digest(content)
        assert (record.n, record.digest()) == (n, last)


@given(worlds(), operations(EVERYTHING), ARRIVALS)
def test_nothing_is_confirmed_that_its_owner_does_not_say(world: World, operations_: list[Any], arrival: tuple[str, int]) -> None:
    """Values carry the class that said them, so that the record itself shows where each came from."""
    events = play(world, operations_).events
    for key in KEYS:
        owner = {item: rule["class"] for rule in entity_for(world.entity, key)["authority"] for item in rule["items"]}
        steps = [signed(world, step) for step in steps_of(arrange(events, arrival), key)]
        for change in arrive(world, key, steps).changes:
            for item, status, value in change.golden.content.items if change.golden else []:
                if value is not None and status in ("confirmed", "fallback"):
                    assert str(value).startswith(f"{owner[item]}:") == (status == "confirmed"), (item, status, value)


def signed(world: World, step: tuple[Any, ...]) -> tuple[Any, ...]:
    if step[0] == "sweep":
        return step
    claim = step[1]
    cells = {
        item: {"value": f"{world.class_of(claim['source'])}:{cell['value']}"} if isinstance(cell, dict) else cell
        for item, cell in claim["cells"].items()
    }
    return ("claim", {**claim, "cells": cells})


# --- the join ---


@st.composite
def slots(draw: st.DrawFn, world: World) -> Any:
    """Any state of one slot: what some claims made of it, perhaps swept."""
    slot = joined([claim_of(claim) for claim in draw(st.lists(wild_claims(world, world.sources[0]), min_size=1, max_size=6))])
    position = draw(st.none() | TINY)
    return slot if position is None else swept_at(slot, position)


@given(st.data(), worlds())
def test_join_is_idempotent_commutative_and_associative(data: st.DataObject, world: World) -> None:
    """word() is all that a slot says, evidence left out. A neighbour joins slots like these, and knows no sweeps."""
    a, b, c = (data.draw(slots(world)) for _ in range(3))
    assert word(joined([a, a])) == word(a)
    assert word(joined([a, b])) == word(joined([b, a]))
    assert word(joined([joined([a, b]), c])) == word(joined([a, joined([b, c])]))
    assert word(joined([joined([a, b]), b])) == word(joined([a, b]))


@given(st.data(), worlds(), TINY)
def test_a_sweep_before_and_after_a_join_is_the_same(data: st.DataObject, world: World, position: Any) -> None:
    """At the node itself, which knows the sweep, and at a neighbour, which hears of the slots only."""
    a, b = (data.draw(slots(world)) for _ in range(2))
    after = swept_at(joined([a, b]), position)
    assert said(swept_at(joined([swept_at(a, position), b]), position)) == said(after)
    assert said(joined([swept_at(a, position), swept_at(b, position)])) == said(after)
    assert said(swept_at(after, position)) == said(after)


def said(slot: Any) -> dict[str, Any]:
    """What counts of a slot: the floor of one that has ended need not be raised by a sweep."""
    return word(slot) if slot.live else {name: word(slot)[name] for name in ("slot", "stamp", "moved_to")}


# --- bytes ---


@given(st.data(), worlds(), TEXT, TEXT)
def test_a_claim_comes_out_of_its_bytes_as_it_went_in(data: st.DataObject, world: World, text: str, row: str) -> None:
    plain = data.draw(st.lists(wild_claims(world, world.sources[0], row), min_size=1, max_size=4))
    claims = [claim_of(with_text(world, claim, text)) for claim in plain]
    for claim in [*claims, joined(claims), swept_at(joined(claims), data.draw(TINY))]:
        assert through_bytes(world.entity, claim) == claim


@given(worlds(), operations(CAPTURED), TEXT, TEXT)
def test_canonical_bytes_are_the_json_of_the_oracles_list(world: World, operations_: list[Any], text: str, key: str) -> None:
    steps = [
        step if step[0] == "sweep" else ("claim", with_text(world, step[1], text))
        for step in steps_of(play(world, operations_).events, KEYS[0])
    ]
    record = arrive(world, key, steps, random.Random(0))
    content = content_of(world.entity, world.class_of, key, claims_of(steps), sweeps_of(steps))
    expected = None if content is None else json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    assert record.canonical() == expected


def with_text(world: World, claim: dict[str, Any], text: str) -> dict[str, Any]:
    """The claim with `text` in every string that it says."""
    strings = {item for item, declared in world.entity["items"].items() if declared["type"] == "string"}
    said = {item: {"value": text + cell["value"]} for item, cell in claim["cells"].items() if item in strings and isinstance(cell, dict)}
    return {**claim, "cells": {**claim["cells"], **said}, "moved_to": claim["moved_to"] and claim["moved_to"] + text}
