"""What two places of the declarations say of each other: the rules that no single field can keep. Pure.

The declarations given may be faulty in parts that were reported already. The surprise: hence a blank or unknown name is passed over in
silence here, or one fault would be reported many times.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from sync_engine.fault import Fault, Message
from sync_engine.ingest.validation import ORDERED
from sync_engine.ingest.values import Refused, reader
from sync_engine.model import names
from sync_engine.model.claim import Value
from sync_engine.model.declaration import (
    MAX_DIGITS,
    AuthorityRule,
    CodeTable,
    Conditional,
    Declarations,
    Department,
    EntityType,
    Item,
    ItemMapping,
    Source,
    Subscriber,
    TableTarget,
    TopicFamily,
    ValidationRule,
)
from sync_engine.model.key_kind import Condition, Kind

NETWORK = "connectors/network.yaml"
SAME_PARTITIONS = (("claim", "state", "golden", "edge", "parked"), ("finding", "case"))
"""Families of which one is the changelog of the stage that reads the other: its state would be in another worker's partition."""


def faults(declarations: Declarations) -> Iterator[Fault]:
    for rule in RULES:
        yield from rule(declarations)


# --- network --------------------------------------------------------------------------------------------------------------------


def _tree(declarations: Declarations) -> Iterator[Fault]:
    """One root and no cycle: the owner of a case is the lowest common ancestor of its sources' nodes."""
    nodes = declarations.nodes
    for name in nodes:
        line = [name]
        while (parent := nodes[line[-1]].parent) in nodes and parent not in line:
            line.append(str(parent))
        if parent == name:
            yield Fault(NETWORK, f"nodes.{name}.parent", Message("its parents form a cycle: {line}", line=" > ".join([*line, name])))
    roots = [name for name, node in nodes.items() if node.parent is None]
    for name in roots[1:]:
        yield Fault(NETWORK, f"nodes.{name}", Message('has no parent, as "{other}" has none: a network has one root', other=roots[0]))


def _areas(declarations: Declarations) -> Iterator[Fault]:
    for name, node in declarations.nodes.items():
        parent = declarations.nodes.get(node.parent or "")
        if parent and parent.region and node.region and not parent.holds(node.region):
            message = Message(
                "{area} is not within {around} of its parent {node}", area=node.region, around=parent.region, node=parent.name
            )
            yield Fault(NETWORK, f"nodes.{name}.region", message)


def _demands(declarations: Declarations) -> Iterator[Fault]:
    seen: set[tuple[str, str]] = set()
    for index, demand in enumerate(declarations.demands):
        path, pair = f"demands[{index}]", (demand.node, demand.entity)
        node = declarations.nodes.get(demand.node)
        if node and node.parent is None:
            yield Fault(NETWORK, f"{path}.node", Message("{node} is the root: nobody is above it to send down", node=node.name))
        if all(pair) and pair in seen:
            yield Fault(NETWORK, path, Message("a second demand of {node} for {entity}", node=demand.node, entity=demand.entity))
        seen.add(pair)


# --- catalogue ------------------------------------------------------------------------------------------------------------------


def _entities(declarations: Declarations) -> Iterator[Fault]:
    for entity in declarations.entities.values():
        file = f"schemas/entities/{entity.entity}.yaml"
        for path, message, allowed in (
            *_items(entity, declarations.codes),
            *_conditions(entity),
            *_authority(entity),
            *_rule_names(entity),
            *_validation(entity, declarations.codes),
            *_jurisdiction(entity),
        ):
            yield Fault(file, path, message, allowed)


Finding = tuple[str, Message, tuple[str, ...]]
"""(path, message, allowed) within an entity's file."""


def _items(entity: EntityType, codes: Mapping[str, CodeTable]) -> Iterator[Finding]:
    bases = tuple(sorted(name for name, table in codes.items() if table.values))
    for name, item in entity.items.items():
        path = f"items.{name}"
        if item.type == "code" and item.codes is None:
            yield f"{path}.codes", Message("a code item needs a code table"), bases
        elif item.type == "code" and item.codes in codes and item.codes not in bases:
            yield f"{path}.codes", Message('"{table}" has no values of its own: it maps to another table', table=item.codes), bases
        if item.type not in ("code", "") and item.codes is not None:
            yield f"{path}.codes", Message("only a code item has a code table, not a {type}", type=item.type), ()
        if item.type not in ("decimal", "") and (item.precision, item.scale) != (None, None):
            yield f"{path}.precision", Message("precision and scale are for a decimal, not a {type}", type=item.type), ()
        if item.scale is not None and item.scale > (item.precision or MAX_DIGITS):
            yield f"{path}.scale", Message("{scale} digits behind the point are more than precision allows", scale=item.scale), ()
        if item.type not in ("string", "") and item.max_length is not None:
            yield f"{path}.max_length", Message("only a string has one, not a {type}", type=item.type), ()
        if name == entity.key_name:
            yield path, Message("is the name of the key, too"), ()


def _conditions(entity: EntityType) -> Iterator[Finding]:
    """Conditions name attributes that such keys have, and stand for kinds of key that `existence` names."""
    named = [kind for kind in entity.key.kinds if entity.existence_of(kind) is not None]
    parts: tuple[tuple[str, tuple[Conditional, ...]], ...] = (
        ("existence", entity.existence),
        ("authority", entity.authority),
        ("compare", entity.compare),
    )
    for part, rules in parts:
        for index, rule in enumerate(rules):
            path = f"{part}[{index}].when"
            wrong = list(_attributes(entity, path, rule.when))
            yield from wrong
            if wrong or not entity.key_type or not entity.existence:
                continue
            before = () if part != "existence" else entity.existence[:index]
            left = [kind for kind in named if not any(other.when.holds(kind) for other in before)]
            if not any(rule.when.holds(kind) for kind in left):
                overtaken = Message("never holds: an earlier one holds for all its keys")
                unnamed = Message("never holds: existence names no key for which it holds")
                yield path if rule.when.values else f"{part}[{index}]", overtaken if before else unnamed, ()


def _attributes(entity: EntityType, path: str, when: Condition) -> Iterator[Finding]:
    for attribute, values in when.values:
        if attribute not in entity.key.places:
            known = tuple(entity.key.places)
            yield f"{path}.{attribute}", Message("a key of type {type} has no such attribute", type=entity.key_type), known
            continue
        for value in values:
            if value not in entity.key.values(attribute):
                yield f"{path}.{attribute}", Message('unknown value "{value}"', value=value), entity.key.values(attribute)


def _authority(entity: EntityType) -> Iterator[Finding]:
    ruled: dict[str, list[AuthorityRule]] = {}
    for index, rule in enumerate(entity.authority):
        for item in rule.items:
            for other in ruled.setdefault(item, []):
                both = [kind for kind in entity.key.kinds if rule.when.holds(kind) and other.when.holds(kind)]
                if both:
                    yield f"authority[{index}].items", _ruled_twice(item, rule, other, both[0]), ()
                    break
            ruled[item].append(rule)
        if rule.authority_class and rule.authority_class in rule.fallback:
            message = Message('"{department_class}" is the authority itself', department_class=rule.authority_class)
            yield f"authority[{index}].fallback", message, ()
    for item in entity.items:
        if item not in ruled:
            yield f"items.{item}", Message("no authority rule names it: every item has one authoritative source"), ()


def _ruled_twice(item: str, rule: AuthorityRule, other: AuthorityRule, kind: Kind) -> Message:
    if not rule.when.values and not other.when.values:
        return Message('"{item}" has its authority in {rule} already', item=item, rule=other.rule)
    return Message('"{item}" has its authority in {rule} already for keys with {kind}', item=item, rule=other.rule, kind=_words(kind))


def _words(kind: Kind) -> str:
    return ", ".join(f"{attribute} {value}" for attribute, value in kind.items())


def _rule_names(entity: EntityType) -> Iterator[Finding]:
    rules = [(f"authority[{index}].rule", rule.rule) for index, rule in enumerate(entity.authority)]
    rules += [(f"compare[{index}].rule", compare.rule) for index, compare in enumerate(entity.compare)]
    rules += [(f"validation[{index}].rule", validation.rule) for index, validation in enumerate(entity.validation)]
    for position, (path, rule) in enumerate(rules):
        if rule and rule in (name for _, name in rules[:position]):
            yield path, Message('"{rule}" is the name of another rule', rule=rule), ()


DEMANDS = ("matches", "at_least and at_most", "not_before")


def _validation(entity: EntityType, codes: Mapping[str, CodeTable]) -> Iterator[Finding]:
    for index, rule in enumerate(entity.validation):
        limits = {name: limit for name, limit in (("at_least", rule.at_least), ("at_most", rule.at_most)) if limit is not None}
        said = [rule.matches is not None, bool(limits), rule.not_before is not None]
        if sum(said) != 1:
            yield f"validation[{index}]", Message("must say one of these, and not several"), DEMANDS
            continue
        types = (("string",), tuple(ORDERED), ("date",))[said.index(True)]
        for field, message, allowed in (*_of_types(entity, rule, types), *_pattern(rule), *_limits(entity, rule, limits, codes)):
            yield f"validation[{index}].{field}", message, allowed


def _of_types(entity: EntityType, rule: ValidationRule, types: tuple[str, ...]) -> Iterator[Finding]:
    for field, names_of in (("items", rule.items), ("not_before", (rule.not_before,))):
        for name in names_of:
            item = entity.items.get(name or "")
            if item and item.type and item.type not in types:
                yield field, Message('"{item}" is a {type}: this cannot be asked of it', item=item.name, type=item.type), types


def _pattern(rule: ValidationRule) -> Iterator[Finding]:
    try:
        re.compile(rule.matches or "")
    except re.error as error:
        yield "matches", Message("is no regular expression: {why}", why=error), ()


def _limits(entity: EntityType, rule: ValidationRule, limits: Mapping[str, Value], codes: Mapping[str, CodeTable]) -> Iterator[Finding]:
    for item in (entity.items[name] for name in rule.items if name in entity.items and entity.items[name].type in ORDERED):
        wrong = [(name, *found) for name, limit in limits.items() for found in _own_value(item, limit, codes)]
        yield from wrong
        if not wrong and len(limits) == 2 and ORDERED[item.type](limits["at_least"]) > ORDERED[item.type](limits["at_most"]):
            yield "at_least", Message("is greater than at_most: no value keeps it"), ()


def _jurisdiction(entity: EntityType) -> Iterator[Finding]:
    item = entity.items.get(entity.jurisdiction or "")
    if item and item.type not in ("region", ""):
        regions = tuple(name for name, other in entity.items.items() if other.type == "region")
        yield "jurisdiction", Message('"{item}" is a {type}, not a region', item=item.name, type=item.type), regions
    rules = [rule for rule in entity.authority if item and item.name in rule.items]
    for kind in entity.key.kinds if rules else ():
        if entity.existence_of(kind) is not None and not any(rule.when.holds(kind) for rule in rules):
            message = Message("no authority rule names it for keys with {kind}: such records would belong nowhere", kind=_words(kind))
            yield "jurisdiction", message, ()
            break


def _codes(declarations: Declarations) -> Iterator[Fault]:
    for name, table in declarations.codes.items():
        file = f"schemas/codes/{name}.yaml"
        if table.values and (table.maps_to is not None or table.map):
            yield Fault(file, "", Message("has values of its own and maps to another table: it must be one of the two"))
        elif not table.values and (table.maps_to is None or not table.map):
            yield Fault(file, "", Message("has neither values nor both maps_to and map"))
        target = declarations.codes.get(table.maps_to or "")
        if target is None:
            continue
        if target.maps_to is not None:
            message = Message('"{table}" maps to another table itself; map to that one', table=target.name)
            yield Fault(file, "maps_to", message, (target.maps_to,))
        elif target.values:
            for code, value in table.map.items():
                if value not in target.values:
                    yield Fault(
                        file, f"map.{code}", Message('"{code}" is not in {table}', code=value, table=target.name), tuple(target.values)
                    )


# --- sources and subscribers ----------------------------------------------------------------------------------------------------


def source_file(department: Department) -> str:
    return f"connectors/sources/{department.node}/{department.name}.yaml"


def subscriber_file(subscriber: Subscriber) -> str:
    return f"connectors/subscribers/{subscriber.node}/{subscriber.name}.yaml"


def _mappings(declarations: Declarations) -> Iterator[Fault]:
    for department in declarations.departments.values():
        for source in department.sources:
            path = f"tables.{source.id.rpartition('/')[2]}"
            for message in _double_use(source):
                yield Fault(source_file(department), f"{path}.ignore", message)
            for mapping in source.mappings:
                entity = declarations.entities.get(mapping.entity)
                for mapped in mapping.items if entity else ():
                    at = f"{path}.mappings.{mapping.name}.items.{mapped.item}"
                    for field, message, allowed in _mapped(entity, mapped, declarations.codes):
                        yield Fault(source_file(department), f"{at}{field}", message, allowed)


def _mapped(entity: EntityType | None, mapped: ItemMapping, codes: Mapping[str, CodeTable]) -> Iterator[Finding]:
    if (mapped.column is None) == (mapped.constant is None):
        yield "", Message("must have a column or a constant, and not both"), ()
    elif mapped.constant is None:
        for message, allowed in _item_codes(entity, mapped, codes):
            yield ".codes", message, allowed
    elif mapped.codes is not None:
        yield ".codes", Message("a constant is of the item's own code table"), ()
    elif entity and (item := entity.items.get(mapped.item)) and item.type:
        for message, allowed in _own_value(item, mapped.constant, codes):
            yield ".constant", message, allowed


def _own_value(item: Item, value: Value, codes: Mapping[str, CodeTable]) -> Iterator[tuple[Message, tuple[str, ...]]]:
    """What is wrong with a declared value that stands for one of the item."""
    table = codes.get(item.codes or "")
    if value == "" or (item.type == "code" and not (table and table.values)):
        return
    try:
        written = reader(item, None, codes)(value)
    except Refused as refused:
        yield Message("is no value of the item: {why}", why=refused.detail), tuple(table.values) if table else ()
        return
    if written != value or isinstance(written, bool) is not isinstance(value, bool):
        yield Message("is not as the engine writes it: {value}", value=repr(written)), ()


def _double_use(source: Source) -> Iterator[Message]:
    used = {*source.primary_key}.union(*(mapping.columns for mapping in source.mappings))
    for column in sorted(source.ignored & used):
        yield Message('"{column}" is mapped or a key, so it cannot be ignored', column=column)


def _item_codes(
    entity: EntityType | None, mapped: ItemMapping, codes: Mapping[str, CodeTable]
) -> Iterator[tuple[Message, tuple[str, ...]]]:
    item = entity.items.get(mapped.item) if entity else None
    if item is None or not item.type or (item.type == "code" and not item.codes):
        return
    if item.type != "code":
        if mapped.codes is not None:
            yield Message("{item} is a {type}, not a code", item=item.name, type=item.type), ()
        return
    leading = tuple(sorted(name for name, table in codes.items() if item.codes in (name, table.maps_to)))
    if mapped.codes is None:
        yield Message("{item} is a code: say which table the column's codes are of", item=item.name), leading
        return
    table = codes.get(mapped.codes)
    if table and table.maps_to != "" and mapped.codes not in leading:
        message = Message('"{table}" does not lead to {wanted}, the table of {item}', table=mapped.codes, wanted=item.codes, item=item.name)
        yield message, leading


def _captured_once(declarations: Declarations) -> Iterator[Fault]:
    """No table is captured by two sources, nor a heartbeat table shared: each would take the other's rows for its own."""
    seen: dict[tuple[str, str], str] = {}
    for department in declarations.departments.values():
        tables = [("heartbeat.table", department.heartbeat_table)]
        tables += [(f"tables.{source.id.rpartition('/')[2]}.table", source.table) for source in department.sources]
        for path, table in tables:
            database_table = (department.settings, table)
            if all(database_table) and database_table in seen:
                message = Message(
                    "{table} of database {database} is captured already, by {other}",
                    table=table,
                    database=department.settings,
                    other=seen[database_table],
                )
                yield Fault(source_file(department), path, message)
            seen.setdefault(database_table, f"{source_file(department)}: {path}")


def _subscriber_areas(declarations: Declarations) -> Iterator[Fault]:
    for subscriber in declarations.subscribers.values():
        node = declarations.nodes.get(subscriber.node)
        if node and node.region and subscriber.area and not node.holds(subscriber.area):
            message = Message("{area} is not within {around} of its node {node}", area=subscriber.area, around=node.region, node=node.name)
            yield Fault(subscriber_file(subscriber), "demand.area", message)


def _targets(declarations: Declarations) -> Iterator[Fault]:
    """A subscriber declares what its kind needs, and nothing of another kind; no two write to one place."""
    seen: dict[tuple[str, str], str] = {}
    for subscriber in declarations.subscribers.values():
        file, parts = subscriber_file(subscriber), {"topic": subscriber.topic, "table": subscriber.table}
        for kind, part in parts.items():
            if part is None and subscriber.kind == kind:
                yield Fault(file, kind, Message("missing: a subscriber of kind {kind} says which", kind=kind))
            if part is not None and subscriber.kind not in ("", kind):
                message = Message("only a subscriber of kind {kind} has one, not a {other}", kind=kind, other=subscriber.kind)
                yield Fault(file, kind, message)
            if part is not None and part.name:
                other = seen.setdefault((subscriber.settings, f"{kind} {part.name}"), subscriber.id)
                if other != subscriber.id:
                    yield Fault(file, f"{kind}.name", Message("{name} is {other}'s already", name=part.name, other=other))
        for node in declarations.nodes if subscriber.topic else ():
            if subscriber.topic and subscriber.topic.name.startswith(f"{node}."):
                yield Fault(file, "topic.name", Message('"{node}." begins the names of that node\'s own topics', node=node))
        if subscriber.table:
            for path, message, allowed in _columns(subscriber.table, subscriber.items):
                yield Fault(file, path, message, allowed)


def _columns(table: TableTarget, items: tuple[str, ...]) -> Iterator[Finding]:
    for item in table.columns:
        if items and item not in items:
            yield f"table.columns.{item}", Message("is not in the demand"), items
    if missing := [item for item in items if item not in table.columns]:
        yield "table.columns", Message("no column for {items}", items=", ".join(missing)), ()
    used = {"key": table.key, "version": table.version, "state": table.state, "moved_to": table.moved_to, "statuses": table.statuses}
    used |= {f"columns.{item}": column for item, column in table.columns.items()}
    first: dict[str, str] = {}
    for path, column in used.items():
        # Column names are not told apart by case everywhere.
        if column and first.setdefault(column.lower(), path) != path:
            message = Message('"{column}" is the column of {other} already', column=column, other=first[column.lower()])
            yield f"table.{path}", message, ()


# --- topics ---------------------------------------------------------------------------------------------------------------------


def _families(declarations: Declarations) -> Iterator[Fault]:
    for name in names.FAMILIES:
        if name not in declarations.topics:
            yield Fault(f"topics/{name}.yaml", "", Message("missing or unreadable"))
    for name, family in declarations.topics.items():
        if name not in names.FAMILIES:
            yield Fault(f"topics/{name}.yaml", "", Message("no stage knows this topic family"), names.FAMILIES)
        for path, message in _retention(family):
            yield Fault(f"topics/{name}.yaml", path, message)


def _retention(family: TopicFamily) -> Iterator[tuple[str, Message]]:
    kept = family.retention_ms < 0
    if family.cleanup == "compact" and family.retention_ms > 0:
        yield "retention", Message("a compacted topic keeps its last words forever: state is restored from them")
    if family.cleanup == "compact" and family.delete_retention_ms is None:
        yield "delete_retention", Message("missing: a compacted topic says how long an erasure stays visible")
    if family.cleanup == "delete" and kept:
        yield "retention", Message("a topic that is not compacted cannot be kept forever")
    if family.cleanup == "delete" and (family.delete_retention_ms, family.max_compaction_lag_ms) != (None, None):
        yield "cleanup", Message("delete_retention and max_compaction_lag are for compacted topics")


def _partitions(declarations: Declarations) -> Iterator[Fault]:
    for together in SAME_PARTITIONS:
        known = [declarations.topics[name] for name in together if name in declarations.topics]
        for family in known[1:]:
            if 0 < known[0].partitions != family.partitions > 0:
                message = Message(
                    "{partitions}, but {other} has {wanted}: they must be the same",
                    partitions=family.partitions,
                    other=known[0].name,
                    wanted=known[0].partitions,
                )
                yield Fault(f"topics/{family.name}.yaml", "partitions", message)


RULES: Iterable[Callable[[Declarations], Iterator[Fault]]] = (
    _tree,
    _areas,
    _demands,
    _entities,
    _codes,
    _mappings,
    _captured_once,
    _subscriber_areas,
    _targets,
    _families,
    _partitions,
)
