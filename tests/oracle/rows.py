"""From the rows that departments' tables hold at the end to the records that every node is owed.

Reads the declarations itself. Knows no history: a row that is gone makes no claim here, so a record that only ended rows speak of is not
owed at all; and whoever knows that a record once lay in a node's area must say so (`once_within`), for then it is owed there as *moved*.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.oracle.claims import Claim, Content, content_of, entity_for
from tests.oracle.normal import Refused, breaks_a_rule, normal_cell, normal_key

Row = dict[str, Any]
Records = dict[str, dict[str, dict[str, Content]]]
"""node -> entity -> key -> content"""
Where = tuple[str, str, str]
"""(node, entity, key)"""


@dataclass(frozen=True)
class Network:
    """The declarations that decide who is owed what, as the YAML files say them."""

    nodes: dict[str, Any]
    demands: list[dict[str, Any]]
    entities: dict[str, Any]
    codes: dict[str, Any]
    departments: dict[str, Any]
    """node/department -> its file"""

    def class_of(self, source: str) -> str:
        node, department, alias = source.split("/")
        declared = self.departments[f"{node}/{department}"]
        return str(declared.get("tables", {}).get(alias, {}).get("class", declared["class"]))


@dataclass(frozen=True)
class LeftOut:
    """A row that makes no claim of this mapping, and why."""

    source: str
    row: str
    mapping: str
    reason: str


@dataclass(frozen=True)
class Held:
    """A claim as a node holds it."""

    entity: str
    key: str
    path: tuple[str, ...]
    """The nodes that it has passed, this one last."""
    claim: Claim


def records_of(declarations: Path, rows: dict[str, list[Row]], once_within: frozenset[Where] = frozenset()) -> Records:
    """What every node's records must be. `rows` = {source id: rows}, a row being {column: Python value}."""
    network = read_network(declarations)
    own = {node: [held for held, _ in claims_of(network, rows) if held and held.path == (node,)] for node in network.nodes}
    holdings = fixed_point(network, own, once_within)
    return {node: grouped_records(network, holdings[node]) for node in network.nodes}


def left_out_of(declarations: Path, rows: dict[str, list[Row]]) -> list[LeftOut]:
    """The rows that make no claim because an identifier, a code or a value is not valid."""
    return [left_out for _, left_out in claims_of(read_network(declarations), rows) if left_out]


def read_network(declarations: Path) -> Network:
    connectors, schemas = declarations / "connectors", declarations / "schemas"
    network = read_yaml(connectors / "network.yaml")
    departments = {f"{file.parent.name}/{file.stem}": read_yaml(file) for file in sorted((connectors / "sources").glob("*/*.yaml"))}
    return Network(
        network["nodes"],
        network.get("demands", []),
        {file.stem: read_yaml(file) for file in sorted((schemas / "entities").glob("*.yaml"))},
        {file.stem: read_yaml(file) for file in sorted((schemas / "codes").glob("*.yaml"))},
        departments,
    )


def read_yaml(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


# --- rows to claims ---


def claims_of(network: Network, rows: dict[str, list[Row]]) -> Iterator[tuple[Held | None, LeftOut | None]]:
    """One claim, or the reason why there is none, for every row and mapping."""
    for source, rows_of_source in rows.items():
        node, department, alias = source.split("/")
        table = network.departments[f"{node}/{department}"]["tables"][alias]
        for row in rows_of_source:
            identity = row_identity(table["primary_key"], row)
            for mapping, declared in table["mappings"].items():
                if declared.get("optional") and not str(row[declared["key"]] or "").strip():
                    continue
                try:
                    yield held_of(network, node, source, identity, mapping, declared, row), None
                except Refused as refused:
                    yield None, LeftOut(source, identity, mapping, str(refused))


def row_identity(primary_key: list[str], row: Row) -> str:
    """Canonical JSON array of the primary key's values."""
    return json.dumps([row[column] for column in primary_key], ensure_ascii=False, separators=(",", ":"), default=str)


def held_of(network: Network, node: str, source: str, identity: str, mapping: str, declared: Any, row: Row) -> Held:
    entity = network.entities[declared["entity"]]
    key = normal_key(entity["key"]["type"], row[declared["key"]])
    if entity_for(entity, key)["existence"] is None:
        raise Refused("no_authority")
    cells = {
        item: {"value": mapped["constant"]}
        if "constant" in mapped
        else normal_cell(entity["items"][item], mapped.get("codes"), network.codes, row[mapped["column"]])
        for item, mapped in declared["items"].items()
    }
    if breaks_a_rule(entity, cells):
        raise Refused("broken_rule")
    claim = {
        "source": source,
        "row": identity,
        "mapping": mapping,
        "kind": "assert",
        "position": (1, 1, 0, 0, 0),
        "cells": cells,
        "moved_to": None,
    }
    return Held(declared["entity"], key, (node,), claim)


# --- who is owed what ---


def fixed_point(network: Network, own: dict[str, list[Held]], once_within: frozenset[Where]) -> dict[str, list[Held]]:
    """Everybody sends from what everybody holds, until nothing new comes. A tree of nodes needs at most twice its depth."""
    holdings = own
    for _ in range(2 * len(network.nodes) + 1):
        sent = {node: list(own[node]) for node in network.nodes}
        for sender in network.nodes:
            for receiver, held in sent_by(network, sender, holdings[sender], once_within):
                sent[receiver].append(Held(held.entity, held.key, (*held.path, receiver), held.claim))
        if sent == holdings:
            return holdings
        holdings = sent
    raise AssertionError("the nodes never agree: the tree of nodes has a cycle, or the oracle is wrong")


def sent_by(network: Network, sender: str, holdings: list[Held], once_within: frozenset[Where]) -> Iterator[tuple[str, Held]]:
    """(receiver, what it gets) of everything that `sender` sends."""
    records = grouped_records(network, holdings)
    parent = network.nodes[sender].get("parent")
    for held in holdings:
        if parent and parent not in held.path and is_named(network, held):
            yield parent, held
    for child, entity, demand in demands_under(network, sender):
        within = {key for key, content in records.get(entity, {}).items() if lies_in(content[4], network.nodes[child]["region"])}
        for held in holdings:
            if held.entity == entity and held.key in within and child not in held.path:
                yield child, withhold(held, demand)
        for key in sorted(records.get(entity, {}).keys() - within):
            if (child, entity, key) in once_within and goes_on(holdings, records[entity][key]):
                yield child, left_the_area(sender, records[entity][key])


def goes_on(holdings: list[Held], content: Content) -> bool:
    """Whether it is somewhere else: what has ended says so by its own claims, what has left the sender too by one of scope."""
    entity, key, life_cycle = content[:3]
    has_left = any((held.entity, held.key, held.claim["kind"]) == (entity, key, "out_of_scope") for held in holdings)
    return has_left or life_cycle not in ("withdrawn", "moved")


def demands_under(network: Network, node: str) -> Iterator[tuple[str, str, str | list[str]]]:
    """(child, entity, items) of everything that the children of `node` ask for."""
    for demand in network.demands:
        if network.nodes[demand["node"]].get("parent") == node:
            yield demand["node"], demand["entity"], demand["items"]


def left_the_area(sender: str, content: Content) -> Held:
    """The sender's word that it no longer sends this record."""
    entity, key, _, moved_to, jurisdiction = content[:5]
    claim = {
        "source": f"scope/{sender}",
        "row": key,
        "mapping": "scope",
        "kind": "out_of_scope",
        "position": (1, 1, 0, 0, 0),
        "cells": {},
        "moved_to": jurisdiction or moved_to,
    }
    return Held(entity, key, (sender,), claim)


def grouped_records(network: Network, holdings: list[Held]) -> dict[str, dict[str, Content]]:
    """entity -> key -> content of the records that these claims make."""
    records: dict[str, dict[str, Content]] = {}
    groups: dict[tuple[str, str], list[Claim]] = {}
    for held in holdings:
        groups.setdefault((held.entity, held.key), []).append(held.claim)
    for (entity, key), claims in groups.items():
        content = content_of(network.entities[entity], network.class_of, key, claims, [])
        assert content is not None
        records.setdefault(entity, {})[key] = content
    return records


def is_named(network: Network, held: Held) -> bool:
    """Whether the entity's catalogue entry names the class of the claim's source."""
    entity = network.entities[held.entity]
    existence = entity["existence"]
    named = {existence} if isinstance(existence, str) else {rule["class"] for rule in existence}
    for rule in entity["authority"]:
        named |= {rule["class"], *rule.get("fallback", [])}
    for rule in entity.get("compare", []):
        named |= set(rule["classes"])
    return not held.claim["source"].startswith("scope/") and network.class_of(held.claim["source"]) in named


def lies_in(jurisdiction: str | None, region: str) -> bool:
    """340000 is the area of every code that begins with 34; 341500 of every code that begins with 3415."""
    area = region
    while area.endswith("00"):
        area = area.removesuffix("00")
    return jurisdiction is not None and jurisdiction.startswith(area)


def withhold(held: Held, demanded: str | list[str]) -> Held:
    """The claim with every item outside the demand withheld."""
    if demanded == "all":
        return held
    cells = {item: cell if item in demanded else "withheld" for item, cell in held.claim["cells"].items()}
    return Held(held.entity, held.key, held.path, {**held.claim, "cells": cells})
