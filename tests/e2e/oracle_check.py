"""The one question of every test in the end: does every node, and the subscriber, hold exactly what the departments' rows owe them?"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from sync_engine.model.declaration import TABLE, TOPIC, Subscriber
from sync_engine.model.golden import Golden
from sync_engine.runtime.table_target import DRIVERS
from tests.e2e.journal import Key
from tests.e2e.network import PROVINCE, Network
from tests.oracle.claims import Content, digest

REGION_OF_THE_PLATFORM = "34"


def assert_all_hold_what_is_owed(network: Network, within_seconds: float = 60.0) -> None:
    """Wait until all that was committed has passed everywhere; then compare every record of every node with the oracle's, by digest."""
    network.catch_up(within_seconds)
    golden = {node: network.golden(node) for node in network.nodes}
    owed = network.journal.owed()
    for node in network.nodes:
        _assert_holds(node, owed[node], golden[node])
    _assert_the_platform_has_the_newest(network, golden[PROVINCE])
    _assert_targets_have_the_newest(network, golden)


def assert_holds_what_is_owed(network: Network, node: str) -> None:
    _assert_holds(node, network.journal.owed()[node], network.golden(node))


def _assert_holds(node: str, owed: Mapping[Key, Content], golden: Mapping[Key, Golden]) -> None:
    missing, unowed = owed.keys() - golden.keys(), golden.keys() - owed.keys()
    assert not missing, f"{node} lacks {len(missing)} records, such as {sorted(missing)[:3]}"
    assert not unowed, f"{node} holds {len(unowed)} records that nobody owes it, such as {sorted(unowed)[:3]}"
    wrong = [key for key, content in owed.items() if golden[key].digest != digest(content)]
    shown = [f"\n  owed {owed[key]}\n  held {golden[key].content.canonical().decode()}" for key in wrong[:3]]
    assert not wrong, f"{node}: {len(wrong)} of {len(owed)} records differ{''.join(shown)}"


def _assert_the_platform_has_the_newest(network: Network, of_province: Mapping[Key, Golden]) -> None:
    receiver = network.subscriber.receiver
    golden = {key: record for key, record in of_province.items() if key[0] == "natural_person"}
    newest = {key: record.version for key, record in golden.items() if _owed_from(record)}
    unowed = sorted(receiver.versions.keys() - newest.keys())
    assert not unowed, f"the platform was sent {len(unowed)} records that are none of its own, such as {unowed[:3]}"
    other = sorted(key for key in newest if not _owed_from(golden[key]) <= receiver.versions.get(key, 0) <= newest[key])
    assert not other, f"the platform lacks the newest version of {len(other)} of {len(newest)} records, such as {other[:3]}"
    assert (receiver.regressions, receiver.unverified) == (0, 0)
    items = network.declarations.subscribers[f"{PROVINCE}/credit_platform"].items
    for key in newest:
        content, sent = golden[key].content, network.subscriber.last[key]["items"]
        if (content.jurisdiction or "").startswith(REGION_OF_THE_PLATFORM):
            said = {item: {"value": value, "status": status} for item, status, value in content.items if item in items}
            assert sent == said


def _owed_from(golden: Golden, area: str = REGION_OF_THE_PLATFORM) -> int:
    """The oldest version that is news enough: the newest in its area, the one that left it elsewhere; 0: it was never there."""
    if (golden.content.jurisdiction or "").startswith(area):
        return golden.version
    return max((version for region, version in golden.left.items() if region.startswith(area)), default=0)


# --- the targets that are no webhooks ---


def _assert_targets_have_the_newest(network: Network, golden: Mapping[str, Mapping[Key, Golden]]) -> None:
    """A topic's last word and a table's row of every record are those of the golden record, in the values that were asked for."""
    for subscriber in network.declarations.subscribers.values():
        if subscriber.kind in (TABLE, TOPIC):
            held = _rows(network, subscriber) if subscriber.kind == TABLE else _last_words(network, subscriber)
            _assert_target(subscriber, {key[1]: one for key, one in golden[subscriber.node].items() if key[0] == subscriber.entity}, held)


def _assert_target(subscriber: Subscriber, golden: Mapping[str, Golden], held: Mapping[str, tuple[int, dict[str, str | None]]]) -> None:
    area = subscriber.area.rstrip("0")
    newest = {key: record for key, record in golden.items() if _owed_from(record, area)}
    assert held.keys() == newest.keys(), f"{subscriber.id} holds {len(held)} records, is owed {len(newest)}"
    for key, record in newest.items():
        version, items = held[key]
        assert _owed_from(record, area) <= version <= record.version, f"{subscriber.id} has not the newest version of a record"
        if (record.content.jurisdiction or "").startswith(area):
            said = {item: _text(value) for item, _, value in record.content.items if item in subscriber.items and value is not None}
            assert {item: value for item, value in items.items() if value is not None} == said


def _last_words(network: Network, subscriber: Subscriber) -> dict[str, tuple[int, dict[str, str | None]]]:
    assert subscriber.topic is not None
    found: dict[str, tuple[int, dict[str, str | None]]] = {}
    for record in network.reader(subscriber.topic.name).more():
        datum = network.codec.decode(record.value or b"")[1]
        key = (record.key or b"").decode()
        if datum["version"] >= found.get(key, (0, {}))[0]:
            found[key] = (datum["version"], {item: _text(value) for item, value in datum["items"].items()})
    return found


def _rows(network: Network, subscriber: Subscriber) -> dict[str, tuple[int, dict[str, str | None]]]:
    table, url = subscriber.table, network.settings.subscribers[subscriber.settings].database_url
    assert table is not None and url is not None
    given = sa.make_url(url.reveal())
    engine = sa.create_engine(given.set(drivername=DRIVERS[given.drivername]))
    with engine.connect() as connection:
        rows = connection.execute(sa.text(f"SELECT * FROM {table.name}")).mappings().all()
    engine.dispose()
    return {row[table.key]: (row[table.version], {item: _text(row[column]) for item, column in table.columns.items()}) for row in rows}


def _text(value: Any) -> str | None:
    """A value without what a column's own type adds to it."""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, date):
        return value.isoformat()
    return None if value is None else str(value)
