"""What a subscriber is sent of a golden record: a CloudEvents 1.0.2 structured event that is a Standard Webhooks 1.0.0 payload too.

Only the items of its demand, only records of its area, and the one message that a record has left the area. The id depends on
subscriber, key and version alone, so every retry carries the same one.
"""

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from sync_engine.model.declaration import Subscriber, area_of
from sync_engine.model.golden import LIVE, MOVED, UNCONFIRMED, WITHDRAWN, Golden

EVENTS = {LIVE: "updated", UNCONFIRMED: "updated", WITHDRAWN: "withdrawn", MOVED: "moved"}
LEFT = "left"


def event_of(subscriber: Subscriber, golden: Golden) -> str | None:
    """The event's last word, or None if this record is none of the subscriber's."""
    area = area_of(subscriber.area)
    if golden.content.jurisdiction is not None and golden.content.jurisdiction.startswith(area):
        return EVENTS[golden.content.life_cycle]
    if not any(region.startswith(area) for region in golden.left):
        return None
    return EVENTS[golden.content.life_cycle] if golden.content.life_cycle in (WITHDRAWN, MOVED) else LEFT


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
