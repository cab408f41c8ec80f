"""Which lag is an alert: one per source and tier, firing while the tier is over its objective, resolved by itself.

Pure. A source that is not known yet (the engine has just started) raises nothing until `GRACE_MS` have passed.
"""

from collections.abc import Sequence

from sync_engine.model.alert import FIRING, RESOLVED, TIER_LAG, Alert
from sync_engine.model.declaration import Node
from sync_engine.observe.lag import CAUGHT_UP, Lag

GRACE_MS = 30_000


class LagWatch:
    """The lag alerts of one node."""

    def __init__(self, node: Node, started_ms: int) -> None:
        self._node = node
        self._standing: dict[str, Alert] = {}
        self._started_ms = started_ms

    def recall(self, alert: Alert) -> None:
        """An alert of the node's log, also of the time before a restart: what has healed meanwhile must still be resolved."""
        if alert.kind != TIER_LAG or alert.since_ms >= self._started_ms:
            return  # our own, read back
        if alert.status == FIRING:
            self._standing.setdefault(alert.id, alert)
        else:
            self._standing.pop(alert.id, None)

    def judge(self, lags: Sequence[tuple[Lag, str | None]], now_ms: int) -> list[Alert]:
        """Alerts that begin or end now. Each pair: the lag of a source at this tier's golden records, and the first blocked place."""
        alerts: list[Alert] = []
        for lag, blocked in lags:
            alert_id = f"{TIER_LAG}/{self._node.name}/{lag.source}"
            standing = self._standing.get(alert_id)
            if lag.state == CAUGHT_UP:
                if standing is not None:
                    alerts.append(_resolved(standing, now_ms))
                    del self._standing[alert_id]
            elif standing is None and not self._too_early(lag, now_ms):
                self._standing[alert_id] = alert = self._firing(alert_id, lag, blocked, now_ms)
                alerts.append(alert)
        return alerts

    def _too_early(self, lag: Lag, now_ms: int) -> bool:
        return lag.watermark_ms is None and now_ms - self._started_ms < GRACE_MS

    def _firing(self, alert_id: str, lag: Lag, blocked: str | None, now_ms: int) -> Alert:
        labels = {"source": lag.source, "tier": self._node.tier, "node": self._node.name, "state": lag.state, "hop": blocked or lag.place}
        return Alert(
            alert_id,
            TIER_LAG,
            FIRING,
            "warning",
            self._node.name,
            labels,
            f"更新滞后: {self._node.title.zh} 落后于 {lag.source}, 受阻环节 {labels['hop']}",
            f"{self._node.title.en} lags behind {lag.source}, blocked at {labels['hop']}",
            now_ms,
        )


def _resolved(alert: Alert, now_ms: int) -> Alert:
    return Alert(
        alert.id,
        alert.kind,
        RESOLVED,
        alert.severity,
        alert.node,
        alert.labels,
        alert.summary_zh,
        alert.summary_en,
        alert.since_ms,
        now_ms,
    )
