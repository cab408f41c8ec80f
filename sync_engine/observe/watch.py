"""What is an alert: a tier or a subscriber that lags, a source that is dark, not captured, held, with losses or dead letters. One each.

Pure. A source that is not known yet (the engine has just started) raises nothing until `GRACE_MS` have passed.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from sync_engine.model.alert import (
    BRAKE,
    CAPTURE_FAILED,
    CAPTURE_LOST,
    DEAD_LETTERS,
    FIRING,
    RESOLVED,
    SOURCE_DARK,
    SUBSCRIBER_LAG,
    TIER_LAG,
    Alert,
)
from sync_engine.model.declaration import Node
from sync_engine.observe.lag import Lag

GRACE_MS = 30_000
READ_AGAIN_MS = 10_000
"""After a start what happened before is read again from its beginning: until then what was put aside long ago may look as if it stood."""


About = Mapping[str, Mapping[str, str]]
"""Further labels of the alerts about a source or a subscriber."""


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
        elif alert.id in self._alerts and self._alerts[alert.id].since_ms == alert.since_ms:
            # Only what it resolves: one that we have raised meanwhile must still be resolved by us.
            del self._alerts[alert.id]

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

    def __init__(self, node: Node, started_ms: int, about: About) -> None:
        self._node = node
        self._about = about
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
        labels |= self._about[lag.source]
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


class SubjectWatch:
    """The alerts of one kind about the sources or subscribers of one node; a source "" is whatever is no department's of this node."""

    def __init__(
        self, node: Node, kind: str, severity: str, zh: str, en: str, started_ms: int, about: About, subject: str = "source"
    ) -> None:
        """`zh` and `en` are the summaries, with {node} and {source}; `subject` = the label that says whom it is about."""
        self._node = node
        self._about, self._subject = about, subject
        self._kind, self._severity, self._zh, self._en = kind, severity, zh, en
        self._started_ms = started_ms
        self._standing = Standing(kind, started_ms)
        self.recall = self._standing.recall

    def judge(self, wrong: Mapping[str, bool], now_ms: int) -> list[Alert]:
        """Alerts that begin or end now; `wrong` = whether something is wrong, by source or subscriber."""
        alerts: list[Alert] = []
        if now_ms - self._started_ms < READ_AGAIN_MS:
            return alerts
        for source, is_wrong in wrong.items():
            alert_id = f"{self._kind}/{self._node.name}/{source}"
            alerts += self._standing.judge(alert_id, is_wrong, lambda: self._firing(alert_id, source, now_ms), now_ms)  # noqa: B023  # called at once
        return alerts

    def _firing(self, alert_id: str, source: str, now_ms: int) -> Alert:
        return Alert(
            alert_id,
            self._kind,
            FIRING,
            self._severity,
            self._node.name,
            {self._subject: source, "tier": self._node.tier, "node": self._node.name, **self._about.get(source, {})},
            self._zh.format(node=self._node.title.zh, source=source or "非本节点来源"),
            self._en.format(node=self._node.title.en, source=source or "no source of its own"),
            now_ms,
        )


def letters_watch(node: Node, started_ms: int, about: About) -> SubjectWatch:
    """Records were put aside, and neither put back nor given up."""
    zh, en = "死信: {node} 搁置了 {source} 的记录", "{node} has put aside records of {source}"
    return SubjectWatch(node, DEAD_LETTERS, "warning", zh, en, started_ms, about)


def captures_watch(node: Node, started_ms: int, about: About) -> SubjectWatch:
    """A connector or a task of it is FAILED, though the node has it started again and again."""
    zh, en = "采集失败: {node} 的 {source}", "{node} captures {source} no more: a task has failed"
    return SubjectWatch(node, CAPTURE_FAILED, "critical", zh, en, started_ms, about)


def lost_watch(node: Node, started_ms: int, about: About) -> SubjectWatch:
    """A comparison with its slots found that the capture of a source has lost changes, and they are not healed yet."""
    zh, en = "采集丢失: {node} 的 {source} 有变更未到达", "{node} lacks changes of {source}: its capture has lost them"
    return SubjectWatch(node, CAPTURE_LOST, "critical", zh, en, started_ms, about)


def dark_watch(node: Node, started_ms: int, about: About) -> SubjectWatch:
    """No beat of a source of this node for so long that it is dark."""
    zh, en = "来源失联: {node} 收不到 {source} 的心跳", "{node} gets no beat of {source}"
    return SubjectWatch(node, SOURCE_DARK, "critical", zh, en, started_ms, about)


def brake_watch(node: Node, started_ms: int, about: About) -> SubjectWatch:
    """Too much of what a source says had to be put aside: nothing of it is read until a person has released it."""
    zh, en = "制动: {node} 暂挂了 {source}，其过多记录无法使用", "{node} holds {source}: too many of its records are unusable"
    return SubjectWatch(node, BRAKE, "critical", zh, en, started_ms, about)


def subscribers_watch(node: Node, started_ms: int, about: About) -> SubjectWatch:
    """What a subscriber of this node is owed is here, and has not been acknowledged within the objective."""
    zh, en = "推送滞后: {node} 的订阅方 {source}", "subscriber {source} of {node} lags"
    return SubjectWatch(node, SUBSCRIBER_LAG, "warning", zh, en, started_ms, about, "subscriber")


class Deliveries:
    """Since when something has been parked for each subscriber without a break."""

    def __init__(self, objective_seconds: float) -> None:
        self._objective_seconds = objective_seconds
        self._since_ms: dict[str, int] = {}

    def is_late(self, subscriber: str, parked: int, lags: Sequence[tuple[Lag, Lag]], now_ms: int) -> bool:
        """Whether the subscriber itself lags. `lags` = of every source: at golden, and at the subscriber.

        It lags if something has been parked for longer than the objective, or if it keeps no objective that the golden records keep.
        """
        if parked == 0:
            self._since_ms.pop(subscriber, None)
        since_ms = self._since_ms.setdefault(subscriber, now_ms) if parked else now_ms
        behind = any(golden.on_time and not here.on_time and here.watermark_ms is not None for golden, here in lags)
        return behind or now_ms - since_ms > self._objective_seconds * 1000
