"""The format of the declarations: one table of fields per kind of file. What a table does not name is refused.

Read by `declared`, interpreted by `shape`. A field's kind says what it may hold and what it may refer to; what needs two places at once
to be judged is in `crosscheck`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from sync_engine.fault import Message
from sync_engine.model.declaration import (
    DATABASE_KINDS,
    ITEM_TYPES,
    MAX_DIGITS,
    SUBSCRIBER_KINDS,
    TIERS,
    AuthorityRule,
    CodeTable,
    CompareRule,
    Demand,
    EntityType,
    ExistenceRule,
    Item,
    ItemMapping,
    Node,
    RowMapping,
    TableTarget,
    Title,
    TopicFamily,
    TopicTarget,
    ValidationRule,
)
from sync_engine.model.key_kind import ALWAYS, KEY_TYPES, Condition
from sync_engine.shape import (
    NAME_PATTERN,
    AllOr,
    Field,
    FileName,
    Flag,
    Kind,
    ListOf,
    MapOf,
    Number,
    OneOf,
    Place,
    Record,
    Ref,
    Scalar,
    Text,
    Whole,
    WordOr,
    one_of,
)

_NAME_MEANS = Message("a name of a-z, 0-9 and single _")
NAME = Text(NAME_PATTERN, _NAME_MEANS)
# Sources `scope/<node>` and `steward/<node>`, and the class of the former, are the engine's own.
OWN_NAME = Text(NAME_PATTERN, _NAME_MEANS, reserved=("scope", "steward"))
# An Avro field name: Debezium would rename any other column, differently from version to version.
_COLUMN = r"[A-Za-z_][A-Za-z0-9_]*"
COLUMN = Text(_COLUMN, Message("a column of A-Z, a-z, 0-9 and _"))
TABLE = Text(rf"{_COLUMN}\.{_COLUMN}", Message("a table as schema.table of A-Z, a-z, 0-9 and _"))
TOPIC_NAME = Text(r"[A-Za-z0-9._-]{1,249}", Message("a topic's name of A-Z, a-z, 0-9, full stop, _ and -"))
REGION = Text(r"[0-9]{6}", Message("a region code of six digits (GB/T 2260)"))
RULE = Text(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", Message("a rule's name of letters, digits and -"))
TEXT = Text()
ITEM_REF = Ref("item", of="entity")
CLASS_REF = Ref("department class")
DAY_MS = 86_400_000
RETENTIONS = {"1d": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS, "180d": 180 * DAY_MS}
FOREVER_MS = -1
STAGES = ("capture", "ingest", "resolve", "deliver", "case", "observe", "projection", "command", "worker")
GENERATED = ("generated:claim", "generated:golden")
SHARING = ("unconditional", "conditional", "none")

TITLE = Record(Title, Field("zh", TEXT), Field("en", TEXT))

NETWORK = Record(
    dict,
    Field(
        "nodes",
        MapOf(
            OWN_NAME,
            Record(
                Node,
                Field("tier", one_of(*TIERS)),
                Field("region", REGION),
                Field("title", TITLE),
                Field("parent", Ref("node"), None),
                named="name",
            ),
        ),
    ),
    Field("department_classes", MapOf(OWN_NAME, Record(lambda title: title, Field("title", TITLE)))),
    Field(
        "demands",
        ListOf(
            Record(
                lambda node, entity, items: Demand(node, entity, None if items is None else frozenset(items)),
                Field("node", Ref("node")),
                Field("entity", Ref("entity")),
                Field("items", AllOr(ListOf(ITEM_REF))),
            ),
            least=0,
        ),
    ),
    Field("lag_objectives", MapOf(NAME, Record(lambda seconds: seconds, Field("seconds", Number(0.1, 366 * 86_400))))),
)

ROW_MAPPING = Record(
    lambda name, entity, key, items, optional: RowMapping(name, entity, key, tuple(items.values()), optional),
    Field("entity", Ref("entity")),
    Field("key", COLUMN),
    Field("optional", Flag(), False),
    Field(
        "items",
        MapOf(
            ITEM_REF,
            Record(
                ItemMapping,
                Field("column", COLUMN, None),
                Field("codes", Ref("code table"), None),
                Field("constant", Scalar(), None),
                named="item",
            ),
        ),
    ),
    named="name",
)

SOURCE = Record(
    dict,
    Field("department", TITLE),
    Field("class", CLASS_REF),
    Field(
        "labels",
        Record(dict, Field("level", one_of(*TIERS)), Field("region", REGION), Field("system", TEXT), Field("business", TEXT)),
    ),
    Field("data_officer", Record(dict, Field("name", TEXT), Field("phone", TEXT))),
    Field("first_responsible", Record(dict, Field("title", TEXT), Field("phone", TEXT))),
    Field("unit", TEXT),
    Field("database", Record(dict, Field("kind", one_of(*DATABASE_KINDS)), Field("settings", NAME))),
    Field("epoch", Whole(1, 1_000_000)),
    Field("heartbeat", Record(lambda table: table, Field("table", TABLE))),
    Field(
        "tables",
        MapOf(
            NAME,
            Record(
                dict,
                Field("table", TABLE),
                Field("primary_key", ListOf(COLUMN)),
                Field("ignore", ListOf(COLUMN, least=0)),
                Field("class", CLASS_REF, None),
                Field("mappings", MapOf(NAME, ROW_MAPPING)),
            ),
        ),
    ),
)

SUBSCRIBER = Record(
    dict,
    Field("title", TITLE),
    Field("kind", one_of(*SUBSCRIBER_KINDS)),
    Field("settings", NAME),
    Field("topic", Record(TopicTarget, Field("name", TOPIC_NAME), Field("partitions", Whole(1, 1_000))), None),
    Field(
        "table",
        Record(
            TableTarget,
            Field("name", TABLE),
            Field("key", COLUMN),
            Field("version", COLUMN),
            Field("state", COLUMN),
            Field("moved_to", COLUMN, None),
            Field("statuses", COLUMN, None),
            Field("columns", MapOf(NAME, COLUMN)),
        ),
        None,
    ),
    Field("demand", Record(dict, Field("entity", Ref("entity")), Field("area", REGION), Field("items", ListOf(ITEM_REF)))),
)

TOPIC = Record(
    TopicFamily,
    Field("description", TITLE),
    Field("key", TEXT),
    Field("value", Ref("value schema")),
    Field("also", ListOf(Ref("value schema")), ()),
    Field("partitions", Whole(1, 1_000)),
    Field("cleanup", one_of("compact", "delete")),
    Field("retention", OneOf({**RETENTIONS, "forever": FOREVER_MS}, blank=0), to="retention_ms"),
    Field("delete_retention", OneOf(RETENTIONS, blank=0), None, to="delete_retention_ms"),
    Field("max_compaction_lag", OneOf(RETENTIONS, blank=0), None, to="max_compaction_lag_ms"),
    Field("writes", ListOf(one_of(*STAGES))),
    Field("reads", ListOf(one_of(*STAGES), least=0)),
    named="name",
)

# Which attributes a key has, and which values, depends on its type: cross-checked.
CONDITION = MapOf(NAME, ListOf(TEXT))


def _condition(when: Mapping[str, Any] | None) -> Condition:
    return ALWAYS if when is None else Condition(tuple(when.items()))


def _with_condition(make: Callable[..., Any]) -> Callable[..., Any]:
    return lambda when, **fields: make(when=_condition(when), **fields)


EXISTENCE = ListOf(
    Record(_with_condition(ExistenceRule), Field("when", CONDITION, None), Field("class", CLASS_REF, to="authority_class")),
)

ENTITY = Record(
    lambda key, catalogue, **fields: EntityType(update_cycle=catalogue["update_cycle"], **key, **fields),
    Field("entity", FileName()),
    Field("title", TITLE),
    Field(
        "catalogue",
        Record(
            dict,
            Field("code", TEXT),
            Field("provider", CLASS_REF),
            Field("classification", TEXT),
            Field("abstract", TITLE),
            Field("update_cycle", Ref("update cycle")),
            Field("sharing", one_of(*SHARING)),
        ),
    ),
    Field("version", Whole(1, 1_000_000)),
    Field(
        "key",
        Record(
            lambda name, type, title: {"key_name": name, "key_type": type},
            Field("name", NAME),
            Field("type", one_of(*KEY_TYPES)),
            Field("title", TITLE),
        ),
    ),
    Field("existence", WordOr(CLASS_REF, lambda name: (ExistenceRule(name),), EXISTENCE)),
    Field("jurisdiction", ITEM_REF, None),
    Field(
        "items",
        MapOf(
            NAME,
            Record(
                Item,
                Field("type", one_of(*ITEM_TYPES)),
                Field("title", TITLE),
                Field("codes", Ref("code table"), None),
                Field("max_length", Whole(1, 10_000), None),
                Field("sensitive", Flag(), False),
                Field("precision", Whole(1, MAX_DIGITS), None),
                Field("scale", Whole(0, MAX_DIGITS), None),
                named="name",
            ),
        ),
    ),
    Field(
        "authority",
        ListOf(
            Record(
                _with_condition(AuthorityRule),
                Field("rule", RULE),
                Field("when", CONDITION, None),
                Field("items", ListOf(ITEM_REF)),
                Field("class", CLASS_REF, to="authority_class"),
                Field("fallback", ListOf(CLASS_REF), ()),
                Field("order_by", ITEM_REF, None),
                Field("together", Flag(), False),
            )
        ),
    ),
    Field(
        "compare",
        ListOf(
            Record(
                _with_condition(CompareRule),
                Field("rule", RULE),
                Field("when", CONDITION, None),
                Field("items", ListOf(ITEM_REF)),
                Field("classes", ListOf(CLASS_REF, least=2)),
                Field("settle_seconds", Number(0, 86_400)),
            )
        ),
        (),
    ),
    Field(
        "validation",
        ListOf(
            Record(
                ValidationRule,
                Field("rule", RULE),
                Field("title", TITLE),
                Field("items", ListOf(ITEM_REF)),
                Field("matches", TEXT, None),
                Field("at_least", Scalar(), None),
                Field("at_most", Scalar(), None),
                Field("not_before", ITEM_REF, None),
            )
        ),
        (),
    ),
)

CODES = Record(
    CodeTable,
    Field("values", MapOf(TEXT, TEXT), {}),
    Field("maps_to", Ref("code table"), None),
    Field("map", MapOf(TEXT, TEXT), {}),
    named="name",
)


class AvroSchema:
    """An Avro schema as JSON; only whether it is one is looked at here."""

    blank = ""

    def read(self, raw: Any, place: Place) -> Any:
        try:
            fastavro.parse_schema(raw)
        except (SchemaParseException, UnknownType, KeyError, TypeError, ValueError) as error:
            return place.refuse(Message("is not an Avro schema: {why}", why=f"{type(error).__name__}: {error}"))
        return raw


class Example:
    """An example record; that it is of its schema is tested, not asked at every start."""

    blank = ""

    def read(self, raw: Any, place: Place) -> Any:
        return raw


# What may stand in the folders, and how it is read.
FILES: Mapping[str, Kind] = {
    "connectors/network.yaml": NETWORK,
    "connectors/sources/*/*.yaml": SOURCE,
    "connectors/subscribers/*/*.yaml": SUBSCRIBER,
    "topics/*.yaml": TOPIC,
    "schemas/entities/*.yaml": ENTITY,
    "schemas/codes/*.yaml": CODES,
    "schemas/wire/*.avsc": AvroSchema(),
    "schemas/examples/*.json": Example(),
}
