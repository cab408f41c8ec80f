"""What a subscriber is sent of a golden record, by its kind: the bytes that are parked and handed to its target.

webhook: a CloudEvents 1.0.2 structured event that is a Standard Webhooks 1.0.0 payload too. topic: framed Avro, `sync.<entity>.Delivery`.
table: a row as JSON, of which the columns are the declared ones.
Only the items of its demand, only records of its area, and that a record has left the area: golden says so in every later version, the
stage sends it once. The id depends on subscriber, key and version alone, so every retry carries the same one.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from sync_engine.model.claim import Value
from sync_engine.model.declaration import TOPIC, Subscriber, TableTarget, area_of
from sync_engine.model.golden import LEFT, LIVE, MOVED, UNCONFIRMED, WITHDRAWN, Golden
from sync_engine.model.stage import Codec

EVENTS = {LIVE: "updated", UNCONFIRMED: "updated", WITHDRAWN: "withdrawn", MOVED: "moved"}


Labels = Mapping[str, Mapping[str, str]]
"""Source -> its labels: level, region, system, department, business. They follow from the source alone and are no part of the content."""


class Row(msgspec.Struct, frozen=True):
    """One row of a subscriber's table: what is parked of it, and what its writer reads."""

    key: str
    version: int
    columns: dict[str, Value]
    """Every declared column but those of key and version. What the record does not say is null."""


def event_of(subscriber: Subscriber, golden: Golden) -> str | None:
    """The event's last word, or None if this record is none of the subscriber's. A record that has left says so in every version."""
    if _is_in_area(subscriber, golden):
        return EVENTS[golden.content.life_cycle]
    if not left_at(subscriber, golden):
        return None
    return EVENTS[golden.content.life_cycle] if golden.content.life_cycle in (WITHDRAWN, MOVED) else LEFT


def left_at(subscriber: Subscriber, golden: Golden) -> int:
    """The version that left the subscriber's area, the last one if several did; 0 if none did or the record is in the area."""
    if _is_in_area(subscriber, golden):
        return 0
    area = area_of(subscriber.area)
    return max((version for region, version in golden.left.items() if region.startswith(area)), default=0)


def _is_in_area(subscriber: Subscriber, golden: Golden) -> bool:
    region = golden.content.jurisdiction
    return region is not None and region.startswith(area_of(subscriber.area))


def webhook_id(subscriber: Subscriber, golden: Golden) -> str:
    """H(subscriber, entity, key, version): the idempotency id of a delivery."""
    text = f"{subscriber.id}\x1f{golden.content.entity}\x1f{golden.content.key}\x1f{golden.version}"
    return f"msg_{blake2b(text.encode(), digest_size=16).hexdigest()}"


def body_of(subscriber: Subscriber, golden: Golden, event: str, codec: Codec, labels: Labels) -> bytes:
    """The bytes that are parked and sent. A record that has left carries no items. `codec` = for Avro only."""
    if subscriber.kind == TOPIC:
        return codec.encode(f"sync.{subscriber.entity}.Delivery", _delivery(subscriber, golden, event, labels))
    if subscriber.table is not None:
        return msgspec.json.encode(_row(subscriber.table, subscriber, golden, event))
    return _cloud_event(subscriber, golden, event, labels)


def _said(subscriber: Subscriber, golden: Golden, event: str) -> list[tuple[str, str, Value]]:
    """(item, status, value) of what the subscriber may know."""
    return [each for each in golden.content.items if event != LEFT and each[0] in subscriber.items]


def _labels(sources: Mapping[str, str], labels: Labels) -> dict[str, Mapping[str, str]]:
    """Of each source that an item comes from."""
    return {source: labels[source] for source in sorted(set(sources.values())) if source in labels}


def _state(golden: Golden, event: str) -> str:
    return LEFT if event == LEFT else golden.content.life_cycle


def _delivery(subscriber: Subscriber, golden: Golden, event: str, labels: Labels) -> dict[str, Any]:
    said = _said(subscriber, golden, event)
    sources = {item: golden.sources[item] for item, _, _ in said if item in golden.sources}
    return {
        "webhook_id": webhook_id(subscriber, golden),
        "version": golden.version,
        "state": _state(golden, event),
        "moved_to": golden.content.moved_to,
        "items": {item: value for item, _, value in said},
        "statuses": {item: status for item, status, _ in said},
        "sources": sources,
        "labels": _labels(sources, labels),
        "effective_ms": golden.effective_ms,
    }


def _row(table: TableTarget, subscriber: Subscriber, golden: Golden, event: str) -> Row:
    """A record that ended or left keeps its row, without values: a deleted row would forget the version that guards it."""
    said = _said(subscriber, golden, event)
    columns: dict[str, Value] = dict.fromkeys(table.columns.values())
    columns |= {table.columns[item]: value for item, _, value in said if item in table.columns}
    columns[table.state] = _state(golden, event)
    if table.moved_to is not None:
        columns[table.moved_to] = golden.content.moved_to
    if table.statuses is not None:
        columns[table.statuses] = msgspec.json.encode({item: status for item, status, _ in said}).decode()
    return Row(golden.content.key, golden.version, columns)


def _cloud_event(subscriber: Subscriber, golden: Golden, event: str, labels: Labels) -> bytes:
    content = golden.content
    items = {
        item: {"value": value, "status": status} for item, status, value in content.items if event != LEFT and item in subscriber.items
    }
    time = datetime.fromtimestamp(golden.effective_ms / 1000, UTC).isoformat(timespec="milliseconds")
    kind = f"{content.entity}.{event}"
    sources = {item: source for item, source in golden.sources.items() if item in items}
    data: dict[str, Any] = {
        "entity": content.entity,
        "key": content.key,
        "version": golden.version,
        "life_cycle": content.life_cycle,
        "moved_to": content.moved_to,
        "items": items,
        "sources": sources,
        "labels": _labels(sources, labels),
    }
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": webhook_id(subscriber, golden),
            "source": f"/nodes/{subscriber.node}",
            "type": kind,
            "time": time,
            "timestamp": time,
            "sequence": str(golden.version),
            "datacontenttype": "application/json",
            "data": data,
        }
    )
