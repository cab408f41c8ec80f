"""What connectors/, topics/ and schemas/ declare, as frozen values. Read by `declared.py`; made once, so dataclasses will do."""

from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from functools import cached_property

ITEM_TYPES = ("string", "code", "date", "region", "integer", "boolean", "decimal")
DATABASE_KINDS = ("postgresql", "mariadb", "mysql", "oracle", "sqlserver", "db2")
"""What a department's database may be: its changes are read."""
CONNECTOR_KINDS = ("postgresql", "mariadb", "mysql")
"""Whose connector is ours to make. Of the others it is their owner's."""
KEY_TYPES = ("resident_id", "uscc", "string")
WEBHOOK, TOPIC, TABLE = "webhook", "topic", "table"
SUBSCRIBER_KINDS = (WEBHOOK, TOPIC, TABLE)
"""What a subscriber is reached by."""
TIERS = ("county", "city", "province")


@dataclass(frozen=True)
class Title:
    zh: str
    en: str


@dataclass(frozen=True)
class Item:
    name: str
    type: str
    title: Title
    codes: str | None = None
    max_length: int | None = None
    sensitive: bool = False


@dataclass(frozen=True)
class AuthorityRule:
    """Which department class is the one authoritative source (唯一源头) of some items."""

    rule: str
    items: tuple[str, ...]
    authority_class: str
    fallback: tuple[str, ...] = ()
    order_by: str | None = None
    together: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        return (self.authority_class, *self.fallback)


@dataclass(frozen=True)
class CompareRule:
    rule: str
    items: tuple[str, ...]
    classes: tuple[str, ...]
    settle_seconds: float


@dataclass(frozen=True)
class EntityType:
    """A catalogue entry (目录条目): items, authority, comparison."""

    entity: str
    title: Title
    version: int
    update_cycle: str
    key_name: str
    key_type: str
    existence: str
    jurisdiction: str | None
    items: Map[str, Item]
    authority: tuple[AuthorityRule, ...]
    compare: tuple[CompareRule, ...] = ()

    @cached_property
    def classes(self) -> frozenset[str]:
        """Every department class the entry names: a slot of another class is never sent up."""
        named = {self.existence}
        for rule in self.authority:
            named.update(rule.classes)
        for compare in self.compare:
            named.update(compare.classes)
        return frozenset(named)


@dataclass(frozen=True)
class CodeTable:
    """A closed set of codes, or (with `maps_to`) a department's codes and what they mean in that set."""

    name: str
    values: Map[str, str] = field(default_factory=dict)
    maps_to: str | None = None
    map: Map[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    name: str
    tier: str
    region: str
    title: Title
    parent: str | None = None

    @cached_property
    def area(self) -> str:
        """The leading digits that every region code (GB/T 2260) of this node's area begins with."""
        return area_of(self.region)

    def holds(self, region: str | None) -> bool:
        return region is not None and region.startswith(self.area)


def area_of(region: str) -> str:
    """The prefix of a six-digit region code (GB/T 2260): 340000 -> 34, 341500 -> 3415, 341502 -> 341502."""
    while region.endswith("00"):
        region = region[:-2]
    return region


@dataclass(frozen=True)
class ItemMapping:
    item: str
    column: str
    codes: str | None = None


@dataclass(frozen=True)
class RowMapping:
    """How one row of a table becomes one claim: its name is the slot's third part."""

    name: str
    entity: str
    key_column: str
    items: tuple[ItemMapping, ...]

    @cached_property
    def columns(self) -> frozenset[str]:
        return frozenset({self.key_column, *(mapped.column for mapped in self.items)})


@dataclass(frozen=True)
class Source:
    """One table of one department's database at one node (源)."""

    id: str
    node: str
    department: str
    department_class: str
    table: str
    primary_key: tuple[str, ...]
    ignored: frozenset[str]
    mappings: tuple[RowMapping, ...]

    @cached_property
    def columns(self) -> frozenset[str]:
        """Every column that is known; any other is refused."""
        mapped = frozenset().union(*(mapping.columns for mapping in self.mappings))
        return mapped | self.ignored | frozenset(self.primary_key)


@dataclass(frozen=True)
class Department:
    """One department's database at one node, captured by one connector."""

    name: str
    node: str
    title: Title
    department_class: str
    kind: str
    settings: str
    epoch: int
    heartbeat_table: str
    sources: tuple[Source, ...]
    labels: Map[str, str] = field(default_factory=dict)
    data_officer: Map[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.node}/{self.name}"

    @property
    def connector(self) -> str:
        """The name of its connector and the prefix of its cdc topics; `cdc` stands second so that a node's topics share their prefix."""
        return f"{self.node}.cdc.{self.name}"


@dataclass(frozen=True)
class Demand:
    """What a node asks its parent to send down; `items` None = all."""

    node: str
    entity: str
    items: frozenset[str] | None


@dataclass(frozen=True)
class TopicTarget:
    """A Kafka topic that a subscriber reads; on our brokers or on its own."""

    name: str
    partitions: int


@dataclass(frozen=True)
class TableTarget:
    """A table in a subscriber's database, one row a record. The receiver makes it, with `key` as its primary key."""

    name: str
    """schema.table"""
    key: str
    version: str
    """The column that guards: a row is overwritten by a greater version only."""
    state: str
    columns: Map[str, str]
    """Item -> column."""
    moved_to: str | None = None
    statuses: str | None = None
    """The column of the items' statuses, as JSON text."""


@dataclass(frozen=True)
class Subscriber:
    name: str
    node: str
    title: Title
    kind: str
    settings: str
    entity: str
    area: str
    items: tuple[str, ...]
    topic: TopicTarget | None = None
    table: TableTarget | None = None

    @property
    def id(self) -> str:
        return f"{self.node}/{self.name}"


@dataclass(frozen=True)
class TopicFamily:
    """One topic family of topics/: its physical names begin with the node's name."""

    name: str
    description: Title
    key: str
    value: str
    partitions: int
    cleanup: str
    retention_ms: int
    """-1 = for good: a compacted topic."""
    writes: tuple[str, ...]
    reads: tuple[str, ...]
    also: tuple[str, ...] = ()
    """Schemas of further kinds of record in the same topic."""
    delete_retention_ms: int | None = None
    """How long a compacted topic still shows that a key was erased: longer than any reader is away."""
    max_compaction_lag_ms: int | None = None
    """After this time at most, what was overwritten or erased is gone from a compacted topic."""


@dataclass(frozen=True)
class Declarations:
    """Everything that is declared, cross-checked."""

    nodes: Map[str, Node]
    department_classes: Map[str, Title]
    entities: Map[str, EntityType]
    codes: Map[str, CodeTable]
    departments: Map[str, Department]
    subscribers: Map[str, Subscriber]
    demands: tuple[Demand, ...]
    lag_objectives: Map[str, float]
    topics: Map[str, TopicFamily]

    @cached_property
    def sources(self) -> Map[str, Source]:
        return {source.id: source for department in self.departments.values() for source in department.sources}

    def children(self, node: str) -> tuple[Node, ...]:
        return tuple(other for other in self.nodes.values() if other.parent == node)

    def neighbours(self, node: str) -> tuple[Node, ...]:
        """The parent, if any, then the children: the only nodes that claims are exchanged with."""
        parent = self.nodes[node].parent
        return ((self.nodes[parent],) if parent else ()) + self.children(node)

    def departments_of(self, node: str) -> tuple[Department, ...]:
        return tuple(department for department in self.departments.values() if department.node == node)

    def subscribers_of(self, node: str) -> tuple[Subscriber, ...]:
        return tuple(subscriber for subscriber in self.subscribers.values() if subscriber.node == node)
