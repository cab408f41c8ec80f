"""What connectors/, topics/ and schemas/ declare, as frozen values. Read by `declared.py`; made once, so dataclasses will do."""

from collections.abc import Mapping as Map
from dataclasses import dataclass, field, replace
from functools import cached_property

from sync_engine.model.key_kind import ALWAYS, KEY_TYPES, PLAIN, Condition, KeyType, Kind

ITEM_TYPES = ("string", "code", "date", "region", "integer", "boolean", "decimal")
DATABASE_KINDS = ("postgresql", "mariadb", "mysql", "oracle", "sqlserver", "db2")
"""What a department's database may be: its changes are read."""
CONNECTOR_KINDS = ("postgresql", "mariadb", "mysql")
"""Whose connector is ours to make. Of the others it is their owner's."""
MAX_DIGITS = 38
"""Of a decimal that declares no precision, and the most that may be declared."""
WEBHOOK, TOPIC, TABLE = "webhook", "topic", "table"
SUBSCRIBER_KINDS = (WEBHOOK, TOPIC, TABLE)
"""What a subscriber is reached by."""
TIERS = ("county", "city", "province")


@dataclass(frozen=True)
class Title:
    zh: str
    en: str

    def __str__(self) -> str:
        """Within an English sentence."""
        return self.en


@dataclass(frozen=True)
class Item:
    name: str
    type: str
    title: Title
    codes: str | None = None
    max_length: int | None = None
    sensitive: bool = False
    precision: int | None = None
    """Of a decimal: digits at most, as in SQL's numeric(precision, scale)."""
    scale: int | None = None
    """Of a decimal: digits behind the point at most."""


@dataclass(frozen=True)
class AuthorityRule:
    """Which department class is the one authoritative source (唯一源头) of some items."""

    rule: str
    items: tuple[str, ...]
    authority_class: str
    fallback: tuple[str, ...] = ()
    order_by: str | None = None
    together: bool = False
    when: Condition = ALWAYS

    @property
    def classes(self) -> tuple[str, ...]:
        return (self.authority_class, *self.fallback)


@dataclass(frozen=True)
class CompareRule:
    rule: str
    items: tuple[str, ...]
    classes: tuple[str, ...]
    settle_seconds: float
    when: Condition = ALWAYS


@dataclass(frozen=True)
class ValidationRule:
    """What a value of some items must keep (校验规则); a row that breaks it is put aside. It says exactly one thing: a pattern, limits, or
    the date that it may not lie before."""

    rule: str
    title: Title
    items: tuple[str, ...]
    matches: str | None = None
    """A regular expression that the whole text keeps."""
    at_least: str | int | None = None
    at_most: str | int | None = None
    not_before: str | None = None
    """Another date of the same row."""


@dataclass(frozen=True)
class ExistenceRule:
    """The class whose rows say that a record exists; of several, the first whose condition holds for the key."""

    authority_class: str
    when: Condition = ALWAYS


Conditional = ExistenceRule | AuthorityRule | CompareRule


@dataclass(frozen=True)
class EntityType:
    """A catalogue entry (目录条目): items, authority, comparison."""

    entity: str
    title: Title
    version: int
    update_cycle: str
    key_name: str
    key_type: str
    existence: tuple[ExistenceRule, ...]
    jurisdiction: str | None
    items: Map[str, Item]
    authority: tuple[AuthorityRule, ...]
    compare: tuple[CompareRule, ...] = ()
    validation: tuple[ValidationRule, ...] = ()

    @cached_property
    def classes(self) -> frozenset[str]:
        """Every department class the entry names, for whichever kind of key: a slot of another class is never sent up."""
        named = {rule.authority_class for rule in self.existence}
        for rule in self.authority:
            named.update(rule.classes)
        for compare in self.compare:
            named.update(compare.classes)
        return frozenset(named)

    @cached_property
    def key(self) -> KeyType:
        return KEY_TYPES.get(self.key_type, PLAIN)

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """The attributes of the key that conditions ask for, sorted; none = the rules are the same for every key."""
        rules: tuple[Conditional, ...] = (*self.existence, *self.authority, *self.compare)
        return tuple(sorted({attribute for rule in rules for attribute, _ in rule.when.values}))

    def existence_of(self, kind: Kind) -> str | None:
        """The class that says whether a record with such a key exists; None if the entry names no such kind."""
        return next((rule.authority_class for rule in self.existence if rule.when.holds(kind)), None)

    def names_kind_of(self, key: str) -> bool:
        """Whether the entry has an authority for the existence of records with such a key."""
        return not self.attributes or self.existence_of(self.key.kind_of(key)) is not None

    def variant(self, kind: Kind) -> "EntityType":
        """The entry as it stands for one kind of key: no conditions are left, and items without a rule are not compared."""
        existence = self.existence_of(kind)
        authority = tuple(replace(rule, when=ALWAYS) for rule in self.authority if rule.when.holds(kind))
        ruled = {item for rule in authority for item in rule.items}
        compare = (
            replace(rule, when=ALWAYS, items=tuple(item for item in rule.items if item in ruled))
            for rule in self.compare
            if rule.when.holds(kind)
        )
        return replace(
            self,
            existence=() if existence is None else (ExistenceRule(existence),),
            authority=authority,
            compare=tuple(rule for rule in compare if rule.items),
        )


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
    """An item from a column of the row, or the same value for every row."""

    item: str
    column: str | None = None
    codes: str | None = None
    constant: str | int | bool | None = None


@dataclass(frozen=True)
class RowMapping:
    """How one row of a table becomes one claim: its name is the slot's third part."""

    name: str
    entity: str
    key_column: str
    items: tuple[ItemMapping, ...]
    optional: bool = False
    """Whether a row without a key says nothing by this mapping; else it is a dead letter."""

    @cached_property
    def columns(self) -> frozenset[str]:
        return frozenset({self.key_column, *(mapped.column for mapped in self.items if mapped.column)})


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
    first_responsible: Map[str, str] = field(default_factory=dict)
    """第一责任人 {title, phone}: the last step of an escalation."""
    unit: str = ""
    """专职机构: the unit that answers for the data day by day."""

    @property
    def id(self) -> str:
        return f"{self.node}/{self.name}"

    @property
    def entities(self) -> tuple[str, ...]:
        """What its tables feed."""
        return tuple(sorted({mapping.entity for source in self.sources for mapping in source.mappings}))

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

    @cached_property
    def labels(self) -> Map[str, Map[str, str]]:
        """By source: level, region, system, department and business, as its department declares them. The same at every node."""
        return {
            source.id: {**department.labels, "department": department.title.zh}
            for department in self.departments.values()
            for source in department.sources
        }

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
