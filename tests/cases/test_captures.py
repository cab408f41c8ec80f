"""When a failed capture is started again: at once, then ever more seldom, and as before after it has run well for a minute."""

from sync_engine.observe.captures import CaptureWatch

A, B = "jinan.cdc.a", "jinan.cdc.b"


def starts(failed_seconds: range, looks: range) -> list[int]:
    """At which of the looks (in seconds) A, failed in `failed_seconds`, is started again."""
    watch = CaptureWatch()
    return [at for at in looks if A in watch.judge([A] if at in failed_seconds else [], at * 1000)]


def test_one_that_stays_failed_is_tried_ever_more_seldom() -> None:
    assert starts(range(1, 1000), range(200)) == [1, 6, 16, 36, 66, 96, 126, 156, 186]


def test_one_that_runs_is_left_alone() -> None:
    assert starts(range(0), range(100)) == []


def test_one_that_fails_again_at_once_has_not_run_well() -> None:
    watch = CaptureWatch()
    assert watch.judge([A], 0) == [A]
    assert watch.judge([], 3_000) == []
    assert watch.judge([A], 4_000) == []
    assert watch.judge([A], 5_000) == [A]
    assert watch.tries(A) == 2


def test_one_that_ran_for_a_minute_begins_anew() -> None:
    watch = CaptureWatch()
    watch.judge([A], 0)
    watch.judge([], 60_000)
    assert watch.tries(A) == 0
    assert watch.judge([A], 61_000) == [A]


def test_each_has_its_own_turn() -> None:
    watch = CaptureWatch()
    assert watch.judge([A], 0) == [A]
    assert watch.judge([A, B], 1_000) == [B]
