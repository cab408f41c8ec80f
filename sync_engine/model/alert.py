"""An alert: that something is wrong now, or is right again. Its labels and summaries never hold a record's key or value."""

from typing import Any

import msgspec

FIRING, RESOLVED = "firing", "resolved"
CONFLICT, TIER_LAG, DEAD_LETTERS, CAPTURE_FAILED = "conflict", "tier_lag", "dead_letters", "capture_failed"
SOURCE_DARK, SUBSCRIBER_LAG = "source_dark", "subscriber_lag"


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
