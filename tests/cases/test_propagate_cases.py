"""Every case of propagate/: what a record holds, the word that comes, and which neighbour is then sent what.

What a case may say stands in propagate/README.md. Records before and after are the engine's own, so that no case begins with one that
cannot be; the surprise: a slot that nothing wins with is sent like any other.
"""

from pathlib import Path
from typing import Any

import pytest

from sync_engine.model.claim import ASSERT, Claim, Kind
from sync_engine.model.golden import GENERATION
from sync_engine.model.outcome import Sent
from sync_engine.propagate.route import compile_routes, route
from sync_engine.resolve.content import compile_rules
from sync_engine.resolve.decide import Change, RecordState, decide, sweep
from tests.cases.casefile import ANY, Either, Named, load, parameters
from tests.cases.network import CLAIM, ENTITY, KEY, claim_of, declarations, way

FIRST_GENERATION = 1
SENT = Either((ANY, {"slot": ANY, "withheld": [ANY]}, {"out_of_scope": ANY}, {"in_scope": True}))
SHAPE = {
    "given": {"node": ANY, "known": [CLAIM], "now": Either((CLAIM, {"sweep": ANY, "at": [ANY]}))},
    "expect": Named([SENT]),
}


@pytest.mark.parametrize("file", parameters("propagate"))
def test_the_case_holds(file: Path) -> None:
    case = load(file, SHAPE)
    given = case["given"]
    before = None
    for number, written in enumerate(given["known"], start=1):
        before = (said(given["node"], before, written, number) or no_news(number)).after

    change = said(given["node"], before, given["now"], len(given["known"]) + 1)

    sent = [] if change is None else route(routes(given["node"]), KEY, change.before, change.after, change.slots)
    found: dict[str, list[Any]] = {}
    for one in sent:
        assert change is not None
        found.setdefault(one.neighbour, []).append(seen(one, given["node"], change.after))
    assert found == {neighbour: told for neighbour, told in case["expect"].items() if told}, case["title"]


def no_news(number: int) -> Change:
    raise AssertionError(f"step {number} of what is known says nothing new")


def routes(node: str) -> Any:
    return compile_routes(declarations(), node, ENTITY)


def said(node: str, state: RecordState | None, written: dict[str, Any], number: int) -> Change | None:
    """What the word changes; words come in the order of their positions."""
    classes = {source.id: source.department_class for source in declarations().sources.values()}
    rules = compile_rules(declarations().entities[ENTITY], classes.__getitem__)
    if "sweep" in written:
        assert state is not None
        return sweep(rules, FIRST_GENERATION, KEY, state, written["sweep"], tuple(written["at"]))
    (source,) = (written[kind.name.lower()] for kind in Kind if kind.name.lower() in written)
    origin = source.removeprefix("scope/").split("/")[0]
    claim = claim_of(written, ",".join(way(origin, node)), (1, 1, number, 1, 0))
    return decide(rules, FIRST_GENERATION, KEY, state, claim)


def seen(sent: Sent, node: str, after: RecordState) -> Any:
    """What was sent in the words of `expect`."""
    slot = sent.slot
    if slot.source == f"scope/{node}":
        assert slot.position == (FIRST_GENERATION, 1, after.version % GENERATION, 0, 0)
        assert (slot.row, slot.mapping, slot.path) == (KEY, "scope", node)
        return {"in_scope": True} if slot.kind == ASSERT else {"out_of_scope": slot.moved_to}
    assert sent.neighbour not in slot.path.split(",")
    whole = next(one for one in after.slots if one.slot == slot.slot)
    if slot is whole:
        return slot.source
    assert same_but_for_withheld(slot, whole)
    return {"slot": slot.source, "withheld": list(slot.withheld)}


def same_but_for_withheld(slot: Claim, whole: Claim) -> bool:
    """Whether the slot says what the whole one says, but for what it withholds."""
    kept = {item: value for item, value in whole.values.items() if item not in slot.withheld}
    return (slot.stamp, slot.moved_to, slot.values) == (whole.stamp, whole.moved_to, kept)
