"""Alerts over a restart: what stood, what ended, and what was raised anew while the old ones were still being read."""

from sync_engine.model.alert import FIRING, RESOLVED, TIER_LAG, Alert
from sync_engine.observe.watch import Standing

STARTED = 1_000


def alert(since_ms: int, status: str = FIRING) -> Alert:
    return Alert("id", TIER_LAG, status, "warning", "n", {}, "", "", since_ms, None if status == FIRING else since_ms + 1)


def test_the_end_of_an_old_alert_does_not_take_away_the_one_that_we_raised() -> None:
    standing = Standing(TIER_LAG, STARTED)
    assert standing.judge("id", True, lambda: alert(1_001), 1_001) == [alert(1_001)]
    standing.recall(alert(10))
    standing.recall(alert(10, RESOLVED))

    (ended,) = standing.judge("id", False, lambda: alert(0), 2_000)

    assert (ended.status, ended.since_ms, ended.resolved_ms) == (RESOLVED, 1_001, 2_000)


def test_an_old_one_that_ended_is_not_ended_again() -> None:
    standing = Standing(TIER_LAG, STARTED)
    standing.recall(alert(10))
    standing.recall(alert(10, RESOLVED))

    assert standing.judge("id", False, lambda: alert(0), 2_000) == []


def test_an_old_one_that_stands_is_ended_once() -> None:
    standing = Standing(TIER_LAG, STARTED)
    standing.recall(alert(10))

    assert [each.status for each in standing.judge("id", False, lambda: alert(0), 2_000)] == [RESOLVED]
    assert standing.judge("id", False, lambda: alert(0), 3_000) == []
