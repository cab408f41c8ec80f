"""The bench's network for the stages alone: a city with four tables of its own, a county below it, and three subscribers."""

from dataclasses import replace

from sync_engine.model import names
from sync_engine.model.declaration import (
    TABLE,
    WEBHOOK,
    CodeTable,
    Declarations,
    Department,
    ItemMapping,
    Node,
    RowMapping,
    Source,
    Subscriber,
    TableTarget,
    Title,
)
from tests.bench.catalogue import ENTITY, Entry, class_of, declarations

SUBSCRIBERS = ("webhook", "postgresql", "mariadb")
ITEMS = ("name", "sex", "birth_date", "life_status", "residence_region", "residence_address", "mobile", "education_level", "school")
"""What a subscriber is told."""
KEY_COLUMN, PRIMARY_KEY = "uscc", "id"
CODES = {
    "sex": ("1", "2"),
    "life_status": ("1", "2", "3"),
    "ethnicity": tuple(f"{code:02}" for code in range(1, 57)),
    "insurance_status": ("1", "2", "3", "4"),
    "education_level": ("10", "21", "31", "61", "71"),
}
COLUMNS = {item: item for item in ITEMS}


def county_of(node: str) -> str:
    return f"{node}-county"


def network(entry: Entry, node: str, partitions: int) -> Declarations:
    """The departments are the county's in the lane `link`, the city's in all others: so both nodes have the same ones under two names."""
    plain = declarations(entry, node, partitions)
    county = county_of(node)
    entity = plain.entities[ENTITY]
    items = {name: replace(item, codes=name) if item.type == "code" else item for name, item in entity.items.items()}
    departments = [*_departments(entry, node), *_departments(entry, county)]
    return replace(
        plain,
        nodes={**plain.nodes, county: Node(county, "county", "340102", Title("测试县", "Bench county"), node)},
        entities={ENTITY: replace(entity, items=items)},
        codes={name: CodeTable(name, dict.fromkeys(values, "")) for name, values in CODES.items()},
        departments={each.id: each for each in departments},
        subscribers={each.id: each for each in (_subscriber(node, name) for name in SUBSCRIBERS)},
    )


def tables(entry: Entry, node: str) -> list[tuple[str, str]]:
    """(source, topic of its changes) of a node."""
    return [(source.id, names.cdc(department, source.table)) for department in _departments(entry, node) for source in department.sources]


def table_of(name: str, node: str) -> str:
    """A table of its own for each side, in one schema: MariaDB and PostgreSQL have it both."""
    return f"bench.{node.replace('-', '_')}_{name}"


def _departments(entry: Entry, node: str) -> list[Department]:
    found = []
    for declared, about in entry["sources"].items():
        _, name, table = declared.split("/")
        items = tuple(ItemMapping(item, item) for item in about["items"])
        mapping = RowMapping("resident", ENTITY, KEY_COLUMN, items)
        source = Source(
            f"{node}/{name}/{table}", node, name, class_of(entry, declared), f"bench.{table}", (PRIMARY_KEY,), frozenset(), (mapping,)
        )
        found.append(Department(name, node, Title(name, name), source.department_class, "postgresql", "", 1, "bench.beat", (source,)))
    return found


def _subscriber(node: str, name: str) -> Subscriber:
    kind = WEBHOOK if name == "webhook" else TABLE
    table = None if kind == WEBHOOK else TableTarget(table_of(name, node), KEY_COLUMN, "sync_version", "sync_state", COLUMNS)
    return Subscriber(name, node, Title(name, name), kind, name, ENTITY, "340000", ITEMS, table=table)
