"""The physical topics of a node, from the topic families and what is declared at the node.

Replication is not declared: it belongs to the brokers of an installation. The surprise: all edges to all neighbours exist, also where
nothing flows yet, since a reader of a topic that is missing cannot tell that from a silent neighbour.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sync_engine.model import names
from sync_engine.model.declaration import Declarations, TopicFamily

LARGEST_BATCH_BYTES = 16 * 1024 * 1024
"""What a topic that we write takes in one piece. Connectors keep to the broker's default of 1 MiB: so there is always room for a dead
letter around what they wrote, or for the golden record of many rows. A record that does not fit would hold back its partition for ever."""


@dataclass(frozen=True)
class Topic:
    name: str
    partitions: int
    config: Mapping[str, str]
    """Topic settings of Kafka; what is not named is the broker's default."""


NamesOf = Callable[[Declarations, str], Iterator[str]]


def _one(name_of: Callable[[str], str]) -> NamesOf:
    def names_of(_: Declarations, node: str) -> Iterator[str]:
        yield name_of(node)

    return names_of


def _per_entity(name_of: Callable[[str, str], str]) -> NamesOf:
    def names_of(declarations: Declarations, node: str) -> Iterator[str]:
        for entity in declarations.entities:
            yield name_of(node, entity)

    return names_of


def _edges(declarations: Declarations, node: str) -> Iterator[str]:
    for neighbour in declarations.neighbours(node):
        for entity in declarations.entities:
            yield names.edge(node, neighbour.name, entity)


def _parked(declarations: Declarations, node: str) -> Iterator[str]:
    for subscriber in declarations.subscribers_of(node):
        yield names.parked(node, subscriber.name)


def _cdc(declarations: Declarations, node: str) -> Iterator[str]:
    for department in declarations.departments_of(node):
        for source in department.sources:
            yield names.cdc(department, source.table)


def _beats(declarations: Declarations, node: str) -> Iterator[str]:
    for department in declarations.departments_of(node):
        yield names.cdc(department, department.heartbeat_table)


def _heartbeats(declarations: Declarations, node: str) -> Iterator[str]:
    for department in declarations.departments_of(node):
        yield names.heartbeat(department)


def _signals(declarations: Declarations, node: str) -> Iterator[str]:
    yield from {names.signal(department): None for department in declarations.departments_of(node)}


NAMES_OF: Mapping[str, NamesOf] = {
    "claim": _per_entity(names.claim),
    "state": _per_entity(names.state),
    "golden": _per_entity(names.golden),
    "edge": _edges,
    "finding": _one(names.finding),
    "case": _one(names.case),
    "alert": _one(names.alert),
    "cut": _one(names.cut),
    "dead": _one(names.dead),
    "retry": _one(names.retry),
    "hold": _one(names.hold),
    "reconciled": _one(names.reconciled),
    "parked": _parked,
    "receipt": _one(names.receipt),
    "control": _one(names.control),
    "cdc": _cdc,
    "beat": _beats,
    "heartbeat": _heartbeats,
    "signal": _signals,
}


def topics_of(declarations: Declarations, node: str) -> tuple[Topic, ...]:
    """Every topic that the node, its connectors included, writes."""
    return tuple(
        Topic(name, family.partitions, config_of(family))
        for family in declarations.topics.values()
        for name in NAMES_OF[family.name](declarations, node)
    )


def config_of(family: TopicFamily) -> dict[str, str]:
    """Kafka's settings of the family's topics."""
    config = {
        "cleanup.policy": family.cleanup,
        # No effect on a compacted topic; said all the same, so that a policy changed by hand does not begin to delete.
        "retention.ms": str(family.retention_ms),
    }
    if "capture" not in family.writes:
        config["max.message.bytes"] = str(LARGEST_BATCH_BYTES)
    if family.delete_retention_ms is not None:
        config["delete.retention.ms"] = str(family.delete_retention_ms)
    if family.max_compaction_lag_ms is not None:
        config["max.compaction.lag.ms"] = str(family.max_compaction_lag_ms)
    return config
