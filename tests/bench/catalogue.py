"""The bench entity as the engine declares it, out of entity.yaml, which the oracle reads as it stands."""

from pathlib import Path
from typing import Any

import yaml

from sync_engine.model.declaration import (
    AuthorityRule,
    CompareRule,
    Declarations,
    Department,
    EntityType,
    ExistenceRule,
    Item,
    Node,
    Source,
    Title,
    TopicFamily,
)
from sync_engine.model.key_kind import Condition

Entry = dict[str, Any]
ENTITY = "operator"


def read_entry() -> Entry:
    entry: Entry = yaml.safe_load((Path(__file__).parent / "entity.yaml").read_text(encoding="utf-8"))
    return entry


def class_of(entry: Entry, source: str) -> str:
    return str(entry["sources"][source]["class"])


def entity_type(entry: Entry) -> EntityType:
    return EntityType(
        entity=entry["entity"],
        title=Title(**entry["title"]),
        version=entry["version"],
        update_cycle=entry["update_cycle"],
        key_name=entry["key"]["name"],
        key_type=entry["key"]["type"],
        existence=(ExistenceRule(entry["existence"]),),
        jurisdiction=entry["jurisdiction"],
        items={name: Item(name, item["type"], Title(**item["title"])) for name, item in entry["items"].items()},
        authority=tuple(_authority(rule) for rule in entry["authority"]),
        compare=tuple(_compare(rule) for rule in entry["compare"]),
    )


def _authority(rule: Entry) -> AuthorityRule:
    fallback, together = tuple(rule.get("fallback", ())), rule.get("together", False)
    when = Condition(tuple((attribute, tuple(values)) for attribute, values in rule.get("when", {}).items()))
    return AuthorityRule(rule["rule"], tuple(rule["items"]), rule["class"], fallback, rule.get("order_by"), together, when)


def _compare(rule: Entry) -> CompareRule:
    return CompareRule(rule["rule"], tuple(rule["items"]), tuple(rule["classes"]), rule["settle_seconds"])


def declarations(entry: Entry, node: str, partitions: int) -> Declarations:
    """A network of one node without neighbours; its name is a part of every topic, so that each run has topics of its own."""
    return Declarations(
        nodes={node: Node(node, "city", "340100", Title("测试", "Bench"))},
        department_classes={},
        entities={ENTITY: entity_type(entry)},
        codes={},
        departments={department.id: department for department in _departments(entry, node)},
        subscribers={},
        demands=(),
        lag_objectives={"city": 60.0},
        topics={"claim": TopicFamily("claim", "", "", "", partitions, "delete", -1, (), ())},
    )


def _departments(entry: Entry, node: str) -> list[Department]:
    found = []
    for source, declared in entry["sources"].items():
        _, name, table = source.split("/")
        only = Source(source, node, name, declared["class"], table, ("id",), frozenset(), ())
        found.append(Department(name, node, Title(name, name), declared["class"], "postgresql", "", 1, "beat", (only,)))
    return found
