"""What fires at a node, told to the Alertmanagers that are configured (API v2): again and again while it fires, and once when it is over.

Silences, routes and receivers are theirs. The surprise: an alert ends there by itself if nobody repeats it (`LASTS_SECONDS`): a node
that is dead does not keep it alive, and that the node is dead is told by its missing metrics.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog

from sync_engine.model.alert import (
    BRAKE,
    CAPTURE_FAILED,
    CAPTURE_LOST,
    CONFLICT,
    DEAD_LETTERS,
    SOURCE_DARK,
    SUBSCRIBER_LAG,
    TIER_LAG,
    Alert,
)

NAMES = {
    TIER_LAG: "SyncTierLagging",
    SUBSCRIBER_LAG: "SyncSubscriberLagging",
    SOURCE_DARK: "SyncSourceDark",
    CONFLICT: "SyncConflict",
    DEAD_LETTERS: "SyncDeadLetters",
    CAPTURE_FAILED: "SyncConnectorTaskFailed",
    CAPTURE_LOST: "SyncCaptureLost",
    BRAKE: "SyncSourceHeld",
}
"""Kind of an alert -> `alertname`, by which routes and silences go."""
REPEAT_SECONDS, LASTS_SECONDS = 30.0, 150.0
TIMEOUT_SECONDS = 5.0

logger = structlog.get_logger()


class Alertmanagers:
    """One of a highly available set each; every one is told, as they want it. For one event loop."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._told: dict[str, Alert] = {}
        self._told_ms = 0
        self._away: set[str] = set()
        self._session: aiohttp.ClientSession | None = None

    async def tell(self, firing: Iterable[Alert], now_ms: int) -> None:
        """What fires now; to be called every second or so. Never raises for one that is away: it is told again."""
        alerts = {alert.id: alert for alert in firing}
        if alerts.keys() == self._told.keys() and now_ms - self._told_ms < REPEAT_SECONDS * 1000:
            return
        over = [alert for alert_id, alert in self._told.items() if alert_id not in alerts]
        ends_ms = now_ms + int(LASTS_SECONDS * 1000)
        body = [*(_posted(alert, ends_ms) for alert in alerts.values()), *(_posted(alert, now_ms) for alert in over)]
        if body and not all([await self._post(url, body) for url in self._urls]):
            # All of it is said again the next time, what is over too, until everyone has heard it.
            self._told = {**self._told, **alerts}
            return
        self._told, self._told_ms = alerts, now_ms

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _post(self, url: str, body: list[dict[str, Any]]) -> bool:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS), trust_env=False)
        try:
            async with self._session.post(f"{url}/api/v2/alerts", json=body) as answer:
                why = "" if answer.status < 300 else f"HTTP {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as failure:
            why = type(failure).__name__
        if why and url not in self._away:
            logger.warning("an Alertmanager is not told", why=why)
        self._away = self._away | {url} if why else self._away - {url}
        return not why


def _posted(alert: Alert, ends_ms: int) -> dict[str, Any]:
    """A postable alert of the API. Its labels make it the same alert each time: none of them changes while it fires."""
    labels = {"alertname": NAMES.get(alert.kind, alert.kind), "severity": alert.severity, "node": alert.node, **_steady(alert)}
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": alert.summary_en, "summary_zh": alert.summary_zh, "id": alert.id, **_whom(alert)},
        "startsAt": _time(alert.since_ms),
        "endsAt": _time(ends_ms),
    }


def _whom(alert: Alert) -> dict[str, str]:
    """Whom to ask, and in the end: one line a department."""
    if not alert.responsible:
        return {}
    return {
        "data_officer": "\n".join(
            f"{each.source}: {each.data_officer} {each.data_officer_phone} ({each.unit})" for each in alert.responsible
        ),
        "first_responsible": "\n".join(
            f"{each.source}: {each.first_responsible} {each.first_responsible_phone}" for each in alert.responsible
        ),
    }


def _steady(alert: Alert) -> dict[str, str]:
    # Two disagreements of one rule differ in their id only; the id of the others follows from their labels.
    return {**alert.labels, **({"finding": alert.id.partition("/")[2]} if alert.kind == CONFLICT else {})}


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
