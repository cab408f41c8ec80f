"""Which slots a change sends to which neighbour.

What is sent never depends on who wins: up go the slots of every department class that the catalogue names, down go all slots of a record
whose jurisdiction lies in the receiver's area. Never to a node in the claim's path, so any cycle of nodes ends after one round.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sync_engine.model.claim import ASSERT, Claim, Kind, floor_of
from sync_engine.model.declaration import Declarations, Node
from sync_engine.model.golden import GENERATION, MOVED, WITHDRAWN
from sync_engine.model.outcome import Sent

SCOPE = "scope"
SCOPE_PREFIX = f"{SCOPE}/"


class Standing(Protocol):
    """What routing needs to know of a record at one moment."""

    version: int
    life_cycle: str
    jurisdiction: str | None
    left: dict[str, int]
    """Regions that it lay in before."""
    slots: list[Claim]


@dataclass(frozen=True)
class Routes:
    """One entity's neighbours of one node, compiled."""

    node: str
    parent: str | None
    children: tuple[tuple[Node, frozenset[str] | None], ...]
    """(child with a registered demand, the items demanded or None for all)."""
    sent_up: frozenset[str]
    """Source ids whose class the catalogue entry names."""
    jurisdiction: str | None
    """The item that says where a record lies."""


def compile_routes(declarations: Declarations, node: str, entity: str) -> Routes:
    entry = declarations.entities[entity]
    demands = {demand.node: demand.items for demand in declarations.demands if demand.entity == entity}
    children = tuple((child, demands[child.name]) for child in declarations.children(node) if child.name in demands)
    named = frozenset(source.id for source in declarations.sources.values() if source.department_class in entry.classes)
    return Routes(node, declarations.nodes[node].parent, children, named, entry.jurisdiction)


def route(routes: Routes, key: str, before: Standing, after: Standing, changed: Sequence[Claim]) -> list[Sent]:
    """Everything that this change of some slots of a record sends to the neighbours."""
    sent: list[Sent] = []
    if routes.parent is not None:
        for slot in changed:
            if slot.source in routes.sent_up and not _passed(slot, routes.parent):
                sent.append(Sent(routes.parent, slot))
    for child, items in routes.children:
        sent.extend(_down(routes, child, items, key, before, after, changed))
    return sent


def _down(
    routes: Routes, child: Node, items: frozenset[str] | None, key: str, before: Standing, after: Standing, changed: Sequence[Claim]
) -> Iterable[Sent]:
    was_in, is_in = child.holds(before.jurisdiction), child.holds(after.jurisdiction)
    if is_in and was_in:
        yield from _to_child(routes, child, items, changed)
        return
    if is_in:
        if before.version:
            # It may have left this area before, by a move that is no longer to be seen here: say that it is back.
            yield Sent(child.name, scope_claim(routes.node, key, after.version, True, None))
        yield from _to_child(routes, child, items, after.slots)
        return
    if was_in:
        yield from _to_child(routes, child, items, changed)
    is_told, must_be_told = _elsewhere(routes, child, before), _elsewhere(routes, child, after)
    if must_be_told is not None and must_be_told != is_told:
        yield Sent(child.name, scope_claim(routes.node, key, after.version, *must_be_told))
        if must_be_told[0]:
            # What the child was sent while the record lay there would come alive again: it gets the endings, which carry no values.
            yield from _to_child(routes, child, items, (slot for slot in after.slots if not slot.live))


def _elsewhere(routes: Routes, child: Node, record: Standing) -> tuple[bool, str | None] | None:
    """What a child must know of a record outside its area: (within, where it lies now); None: no row ever had it there.

    This follows from the record alone, not from the order in which it came to be so: were only the moment told at which it leaves, a county
    would call the same person moved or withdrawn, depending on which county's row came first. A record that has ended says so by its own
    slots, one that goes on elsewhere or has left this node too must be said to have left.
    """
    if child.holds(record.jurisdiction):
        return (True, None)
    held = any(child.holds(region) for region in record.left)
    if not held and not any(child.holds(_said(slot, routes.jurisdiction)) for slot in record.slots if slot.source in routes.sent_up):
        return None
    for slot in record.slots:
        if slot.kind == Kind.OUT_OF_SCOPE:
            return (False, record.jurisdiction or slot.moved_to)
    return (True, None) if record.life_cycle in (WITHDRAWN, MOVED) else (False, record.jurisdiction)


def _said(slot: Claim, item: str | None) -> str | None:
    value = None if item is None else slot.values.get(item)
    return value if isinstance(value, str) else None


def _to_child(routes: Routes, child: Node, items: frozenset[str] | None, slots: Iterable[Claim]) -> Iterable[Sent]:
    for slot in slots:
        if slot.source in routes.sent_up and not _passed(slot, child.name):
            yield Sent(child.name, withhold(slot, items))


def _passed(claim: Claim, node: str) -> bool:
    return node in claim.path.split(",")


def withhold(claim: Claim, items: frozenset[str] | None) -> Claim:
    """The claim with every item outside `items` withheld; the same object if there is none."""
    if items is None or (items.issuperset(claim.values) and items.issuperset(claim.unchanged)):
        return claim
    # Of a row that cannot be read nothing is known that could be withheld: a known cell, were it said, would hide another row's.
    unchanged = {item: stamp for item, stamp in claim.unchanged.items() if item in items or claim.kind == Kind.IN_ERROR}
    hidden = {*claim.withheld, *(claim.values.keys() - items), *(claim.unchanged.keys() - unchanged.keys())}
    return Claim(
        claim.source,
        claim.row,
        claim.mapping,
        claim.kind,
        claim.position,
        {item: value for item, value in claim.values.items() if item in items},
        claim.moved_to,
        tuple(sorted(hidden)),
        unchanged,
        claim.positions,
        # Explicit: with its unchanged items hidden, the claim would else pass for a complete one and end what stands below it.
        claim.floor if claim.replaces_all_before else floor_of(claim),
        claim.effective_ms,
        claim.path,
        claim.via,
        claim.error,
    )


def scope_claim(node: str, key: str, version: int, within: bool, forward: str | None) -> Claim:
    """The sender's word on whether it still sends this record; ordered by the sender's own version of it (docs/merge.md §6)."""
    generation, number = divmod(version, GENERATION)
    kind = ASSERT if within else int(Kind.OUT_OF_SCOPE)
    return Claim(f"{SCOPE_PREFIX}{node}", key, SCOPE, kind, (generation, 1, number, 0, 0), moved_to=None if within else forward, path=node)
