"""What a subscriber is sent of a golden record: a CloudEvents 1.0.2 structured event that is a Standard Webhooks 1.0.0 payload too.

Only the items of its demand, only records of its area, and that a record has left the area: golden says so in every later version, the
stage sends it once. The id depends on subscriber, key and version alone, so every retry carries the same one.
"""

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from sync_engine.model.declaration import Subscriber, area_of
from sync_engine.model.golden import LIVE, MOVED, UNCONFIRMED, WITHDRAWN, Golden

EVENTS = {LIVE: "updated", UNCONFIRMED: "updated", WITHDRAWN: "withdrawn", MOVED: "moved"}
LEFT = "left"


class _Kind(msgspec.Struct):
    type: str


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


def says_left(body: bytes) -> bool:
    """Whether these bytes, made by `body_of`, say that a record has left."""
    return msgspec.json.decode(body, type=_Kind).type.endswith(f".{LEFT}")


def _is_in_area(subscriber: Subscriber, golden: Golden) -> bool:
    region = golden.content.jurisdiction
    return region is not None and region.startswith(area_of(subscriber.area))


def webhook_id(subscriber: Subscriber, golden: Golden) -> str:
    """H(subscriber, entity, key, version): the idempotency id of a delivery."""
    text = f"{subscriber.id}\x1f{golden.content.entity}\x1f{golden.content.key}\x1f{golden.version}"
    return f"msg_{blake2b(text.encode(), digest_size=16).hexdigest()}"


def body_of(subscriber: Subscriber, golden: Golden, event: str) -> bytes:
    """The bytes that are signed and sent. A record that has left carries no items."""
    content = golden.content
    items = {
        item: {"value": value, "status": status} for item, status, value in content.items if event != LEFT and item in subscriber.items
    }
    time = datetime.fromtimestamp(golden.effective_ms / 1000, UTC).isoformat(timespec="milliseconds")
    kind = f"{content.entity}.{event}"
    data: dict[str, Any] = {
        "entity": content.entity,
        "key": content.key,
        "version": golden.version,
        "life_cycle": content.life_cycle,
        "moved_to": content.moved_to,
        "items": items,
        "sources": {item: source for item, source in golden.sources.items() if item in items},
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
