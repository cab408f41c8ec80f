"""An alert: that something is wrong now, or is right again. Its labels and summaries never hold a record's key or value."""

from typing import Any

import msgspec

FIRING, RESOLVED = "firing", "resolved"
CONFLICT, TIER_LAG, SUBSCRIBER_LAG, SOURCE_DARK = "conflict", "tier_lag", "subscriber_lag", "source_dark"
DEAD_LETTERS, CAPTURE_FAILED, BRAKE = "dead_letters", "capture_failed", "brake"


class Alert(msgspec.Struct, frozen=True):
    """The value of an alert record; its key is `id`, so that firing and resolved of one alert stand in one place of a compacted topic."""

    id: str
    kind: str
    status: str
    severity: str
    node: str
    labels: dict[str, str]
    summary_zh: str
    summary_en: str
    since_ms: int
    resolved_ms: int | None = None

    def datum(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)
