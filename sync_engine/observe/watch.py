"""What is an alert: a tier that lags behind a source; a source that is dark, not captured or has dead letters; a subscriber that lags.

Pure; one each, resolved by itself. A source that is not known yet (the engine has just started) raises nothing for `GRACE_MS`.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from sync_engine.model.alert import CAPTURE_FAILED, DEAD_LETTERS, FIRING, RESOLVED, SOURCE_DARK, SUBSCRIBER_LAG, TIER_LAG, Alert
from sync_engine.model.declaration import Node
from sync_engine.observe.lag import Lag

GRACE_MS = 30_000
READ_AGAIN_MS = 10_000
"""After a start what happened before is read again from its beginning: until then what was put aside long ago may look as if it stood."""


def too_early(lag: Lag, running_ms: int) -> bool:
    """Whether a node that has run for so long cannot know yet that a source is silent."""
    return lag.watermark_ms is None and running_ms < GRACE_MS


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

    def __init__(self, node: Node, started_ms: int, entities: Mapping[str, Sequence[str]]) -> None:
        """`entities` = what each source feeds."""
        self._node = node
        self._entities = entities
        self._started_ms = started_ms
        self._standing = Standing(TIER_LAG, started_ms)
        self.recall = self._standing.recall

    def judge(self, lags: Sequence[tuple[Lag, str | None]], now_ms: int) -> list[Alert]:
        """Alerts that begin or end now. Each pair: the lag of a source at this tier's golden records, and the first blocked place."""
        alerts: list[Alert] = []
        for lag, blocked in lags:
            if too_early(lag, now_ms - self._started_ms):
                continue
            alert_id = f"{TIER_LAG}/{self._node.name}/{lag.source}"
            alerts += self._standing.judge(alert_id, not lag.on_time, lambda: self._firing(alert_id, lag, blocked, now_ms), now_ms)  # noqa: B023  # called at once
        return alerts

    def _firing(self, alert_id: str, lag: Lag, blocked: str | None, now_ms: int) -> Alert:
        labels = {
            "source": lag.source,
            "entities": ",".join(self._entities[lag.source]),
            "tier": self._node.tier,
            "node": self._node.name,
            "state": lag.state,
            "hop": blocked or lag.place,
        }
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
    """The alerts of one kind about the sources or the subscribers of one node; a source "" is whatever is no department's of this node."""

    def __init__(
        self, node: Node, kind: str, severity: str, zh: str, en: str, started_ms: int, *, about: str = "source", after_ms: int = 0
    ) -> None:
        """`zh` and `en` are the summaries, with {node} and {subject}; `about` is the label that names the subject.

        What is wrong for `after_ms` fires.
        """
        self._node = node
        self._kind, self._severity, self._zh, self._en = kind, severity, zh, en
        self._started_ms = started_ms
        self._about, self._after_ms = about, after_ms
        self._wrong_ms: dict[str, int] = {}
        self._standing = Standing(kind, started_ms)
        self.recall = self._standing.recall

    def judge(self, wrong: Mapping[str, bool], now_ms: int) -> list[Alert]:
        """Alerts that begin or end now; `wrong` = whether something is wrong, by subject."""
        alerts: list[Alert] = []
        if now_ms - self._started_ms < READ_AGAIN_MS:
            return alerts
        for subject, is_wrong in wrong.items():
            alert_id = f"{self._kind}/{self._node.name}/{subject}"
            lasts = self._lasts(subject, is_wrong, now_ms)
            if is_wrong and not lasts:
                continue
            alerts += self._standing.judge(alert_id, lasts, lambda: self._firing(alert_id, subject, now_ms), now_ms)  # noqa: B023  # called at once
        return alerts

    def _lasts(self, subject: str, is_wrong: bool, now_ms: int) -> bool:
        if not is_wrong:
            self._wrong_ms.pop(subject, None)
            return False
        return now_ms - self._wrong_ms.setdefault(subject, now_ms) >= self._after_ms

    def _firing(self, alert_id: str, subject: str, now_ms: int) -> Alert:
        return Alert(
            alert_id,
            self._kind,
            FIRING,
            self._severity,
            self._node.name,
            {self._about: subject, "tier": self._node.tier, "node": self._node.name},
            self._zh.format(node=self._node.title.zh, subject=subject or "非本节点来源"),
            self._en.format(node=self._node.title.en, subject=subject or "no source of its own"),
            now_ms,
        )


def letters_watch(node: Node, started_ms: int) -> SubjectWatch:
    """Records were put aside, and neither put back nor given up."""
    zh, en = "死信: {node} 搁置了 {subject} 的记录", "{node} has put aside records of {subject}"
    return SubjectWatch(node, DEAD_LETTERS, "warning", zh, en, started_ms)


def captures_watch(node: Node, started_ms: int) -> SubjectWatch:
    """A connector or a task of it is FAILED, though the node has it started again and again."""
    zh, en = "采集失败: {node} 的 {subject}", "{node} captures {subject} no more: a task has failed"
    return SubjectWatch(node, CAPTURE_FAILED, "critical", zh, en, started_ms)


def dark_watch(node: Node, started_ms: int) -> SubjectWatch:
    """A source of this node has given no beat for ten seconds: its database, its connector or Connect is away."""
    zh, en = "来源失联: {node} 收不到 {subject} 的心跳", "{node} gets no beats of {subject}: its database or its capture is away"
    return SubjectWatch(node, SOURCE_DARK, "critical", zh, en, started_ms)


SUBSCRIBER_AFTER_MS = 10_000
"""One attempt that fails, or a burst that takes its time, is nobody's night."""


def subscribers_watch(node: Node, started_ms: int) -> SubjectWatch:
    """A subscriber has not acknowledged what it is owed, or its deliveries are behind while the tier itself is not."""
    zh, en = "推送滞后: {node} 未能送达订阅方 {subject}", "{node} does not get through to the subscriber {subject}"
    return SubjectWatch(node, SUBSCRIBER_LAG, "warning", zh, en, started_ms, about="subscriber", after_ms=SUBSCRIBER_AFTER_MS)
