"""The declarations that network.yaml and catalogue.yaml make: what the cases of most stages are about."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sync_engine import declared
from sync_engine.model.claim import Claim, Kind, Position
from sync_engine.model.declaration import Declarations, Demand, Department, EntityType, Node, RowMapping, Source, Subscriber, Title
from tests.cases.casefile import ANY, Named
from tests.engine_adapter import entity_of

HERE = Path(__file__).parent
CATALOGUE = yaml.safe_load((HERE / "catalogue.yaml").read_text(encoding="utf-8"))
NETWORK = yaml.safe_load((HERE / "network.yaml").read_text(encoding="utf-8"))
ENTITY: str = CATALOGUE["entity"]
KEY: str = CATALOGUE["key"]
KINDS = ("assert", "in_error", "withdraw", "out_of_scope")
UNTITLED = Title("", "")


@cache
def declarations() -> Declarations:
    nodes = {
        name: Node(name, said["tier"], said["region"], Title(name, name), said.get("parent")) for name, said in NETWORK["nodes"].items()
    }
    departments = {name: _department(name, of_class) for name, of_class in NETWORK["departments"].items()}
    said = NETWORK["subscriber"]
    subscriber = Subscriber(said["name"], said["node"], UNTITLED, "webhook", said["name"], ENTITY, said["area"], tuple(said["items"]))
    demands = tuple(Demand(node, ENTITY, None if items == "all" else frozenset(items)) for node, items in NETWORK["demands"].items())
    return Declarations(
        nodes,
        dict.fromkeys(set(NETWORK["departments"].values()), UNTITLED),
        {ENTITY: _entity()},
        {},
        departments,
        {subscriber.id: subscriber},
        demands,
        {"realtime": NETWORK["lag_objective_seconds"]},
        declared.read().topics,
    )


def _entity() -> EntityType:
    entity, settle = entity_of(CATALOGUE), NETWORK["settle_seconds"]
    return replace(entity, compare=tuple(replace(rule, settle_seconds=settle[rule.rule]) for rule in entity.compare))


def _department(name: str, of_class: str) -> Department:
    node, department = name.split("/")
    mapping = RowMapping("self", ENTITY, "id", ())
    source = Source(name, node, department, of_class, "db.people", ("row",), frozenset(), (mapping,))
    return Department(department, node, UNTITLED, of_class, "postgresql", department, 1, "db.beat", (source,))


def way(origin: str, to: str) -> list[str]:
    """The nodes from one to the other, both included: in a tree there is one way."""
    up, down = _line(origin), _line(to)
    meet = next(node for node in up if node in down)
    return up[: up.index(meet)] + down[: down.index(meet) + 1][::-1]


def _line(node: str | None) -> list[str]:
    """The node and its ancestors."""
    line: list[str] = []
    while node is not None:
        line.append(node)
        node = NETWORK["nodes"][node].get("parent")
    return line


CLAIM: dict[str, Any] = {
    **dict.fromkeys((*KINDS, "row", "moved_to"), ANY),
    **{key: [ANY] for key in ("at", "withheld", "unchanged")},
    "says": Named(ANY),
}
"""The shape of a claim in a case: as in the cases of resolve."""


def claim_of(written: dict[str, Any], path: str, position: Position) -> Claim:
    """The claim that a case writes; `position` = where it does not say `at`."""
    (kind_name,) = set(written) & set(KINDS)
    source, kind, row = written[kind_name], Kind[kind_name.upper()], written.get("row", 1)
    at: Position = tuple(written["at"]) if "at" in written else position
    items = {*written.get("says", {}), *written.get("withheld", []), *written.get("unchanged", [])}
    assert items <= set(CATALOGUE["items"]), f"unknown item among {items}"
    scope = source.startswith("scope/")
    return Claim(
        source,
        str(row) if scope else f"[{row}]",
        "scope" if scope else "self",
        int(kind),
        at,
        written.get("says", {}),
        written.get("moved_to"),
        tuple(sorted(written.get("withheld", []))),
        {item: (*at, int(kind)) for item in written.get("unchanged", [])},
        path=path,
    )
