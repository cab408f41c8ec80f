"""What is an alert: a tier that lags behind a source, a source of which records were put aside. One each, resolved by itself.

Pure. A source that is not known yet (the engine has just started) raises nothing until `GRACE_MS` have passed.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from sync_engine.model.alert import DEAD_LETTERS, FIRING, RESOLVED, TIER_LAG, Alert
from sync_engine.model.declaration import Node
from sync_engine.observe.lag import Lag

GRACE_MS = 30_000


class Standing:
    """The alerts of one kind that fire."""

    def __init__(self, kind: str, started_ms: int) -> None:
        self._kind = kind
        self._started_ms = started_ms
        self._alerts: dict[str, Alert] = {}

    def recall(self, alert: Alert) -> None:
        """An alert of the node's log, also of the time before a restart: what has healed meanwhile must still be resolved."""
        if alert.kind != self._kind or alert.since_ms >= self._started_ms:
            return  # our own, read back
        if alert.status == FIRING:
            self._alerts.setdefault(alert.id, alert)
        else:
            self._alerts.pop(alert.id, None)

    def judge(self, alert_id: str, is_wrong: bool, firing: Callable[[], Alert], now_ms: int) -> list[Alert]:
        """The alert, if it begins or ends now."""
        standing = self._alerts.get(alert_id)
        if is_wrong and standing is None:
            alert = self._alerts[alert_id] = firing()
            return [alert]
        if not is_wrong and standing is not None:
            del self._alerts[alert_id]
            return [msgspec.structs.replace(standing, status=RESOLVED, resolved_ms=now_ms)]
        return []


class LagWatch:
    """The lag alerts of one node."""

    def __init__(self, node: Node, started_ms: int) -> None:
        self._node = node
        self._started_ms = started_ms
        self._standing = Standing(TIER_LAG, started_ms)
        self.recall = self._standing.recall

    def judge(self, lags: Sequence[tuple[Lag, str | None]], now_ms: int) -> list[Alert]:
        """Alerts that begin or end now. Each pair: the lag of a source at this tier's golden records, and the first blocked place."""
        alerts: list[Alert] = []
        for lag, blocked in lags:
            if self._too_early(lag, now_ms):
                continue
            alert_id = f"{TIER_LAG}/{self._node.name}/{lag.source}"
            alerts += self._standing.judge(alert_id, not lag.on_time, lambda: self._firing(alert_id, lag, blocked, now_ms), now_ms)  # noqa: B023  # called at once
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


class LettersWatch:
    """The alerts of one node about records that were put aside: one a department, and one for what is nobody's (source "")."""

    def __init__(self, node: Node, started_ms: int) -> None:
        self._node = node
        self._standing = Standing(DEAD_LETTERS, started_ms)
        self.recall = self._standing.recall

    def judge(self, counts: Mapping[str, int], now_ms: int) -> list[Alert]:
        """Alerts that begin or end now; `counts` = standing letters by source."""
        alerts: list[Alert] = []
        for source, count in counts.items():
            alert_id = f"{DEAD_LETTERS}/{self._node.name}/{source}"
            alerts += self._standing.judge(alert_id, count > 0, lambda: self._firing(alert_id, source, now_ms), now_ms)  # noqa: B023  # called at once
        return alerts

    def _firing(self, alert_id: str, source: str, now_ms: int) -> Alert:
        return Alert(
            alert_id,
            DEAD_LETTERS,
            FIRING,
            "warning",
            self._node.name,
            {"source": source, "tier": self._node.tier, "node": self._node.name},
            f"死信: {self._node.title.zh} 搁置了 {source or '非本节点来源'} 的记录",
            f"{self._node.title.en} has put aside records of {source or 'no source of its own'}",
            now_ms,
        )
