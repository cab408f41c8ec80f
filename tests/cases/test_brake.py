"""When the brake trips: at the 51st dead letter among a topic's last 1,000 records, and after a release not before a whole window."""

from itertools import chain, repeat

import pytest

from sync_engine.ingest.brake import MOST_DEAD, WINDOW_RECORDS, Brake, Window

GOOD, DEAD = False, True


def times(verdict: bool, count: int) -> list[bool]:
    return [verdict] * count


def test_the_limit_is_the_greater_of_fifty_and_five_percent() -> None:
    assert (WINDOW_RECORDS, MOST_DEAD) == (1_000, 50)


@pytest.mark.parametrize(
    ("verdicts", "tripped"),
    [
        (times(DEAD, 50), False),
        (times(DEAD, 51), True),
        (times(GOOD, 5_000) + times(DEAD, 50), False),
        (times(GOOD, 5_000) + times(DEAD, 51), True),
        (times(DEAD, 50) + times(GOOD, 949) + times(DEAD, 1), True),
        (times(DEAD, 50) + times(GOOD, 950) + times(DEAD, 1), False),
        (list(chain.from_iterable(repeat([DEAD, *times(GOOD, 19)], 500))), False),
        (list(chain.from_iterable(repeat([DEAD, *times(GOOD, 18)], 500))), True),
        (times(DEAD, 51) + times(GOOD, 5_000), True),
        (times(GOOD, 5_000), False),
    ],
)
@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_the_last_thousand_records_decide_however_they_come(verdicts: list[bool], tripped: bool, batch: int) -> None:
    window = Window()
    for start in range(0, len(verdicts), batch):
        window = window.after(verdicts[start : start + batch])

    assert bool(window.tripped) is tripped
    assert window.seen == len(verdicts)


def test_after_a_release_it_trips_again_behind_a_whole_window() -> None:
    brake = Brake({"a": "one", "b": "one"})
    brake.begin_anew("one")

    assert brake.weigh([("a", DEAD)] * (WINDOW_RECORDS + 50)) == {}
    brake.keep()
    assert brake.weigh([("a", DEAD)]) == {"one": ("a", 51)}


def test_what_was_let_through_after_a_release_does_not_count_later() -> None:
    brake = Brake({"a": "one"})
    brake.begin_anew("one")

    assert brake.weigh([("a", DEAD)] * 500 + [("a", GOOD)] * 5_000 + [("a", DEAD)] * 50) == {}


def test_another_source_is_not_released_with_it() -> None:
    brake = Brake({"a": "one", "b": "two"})
    brake.begin_anew("one")

    assert brake.weigh([("b", DEAD)] * 51) == {"two": ("b", 51)}


def test_a_batch_that_was_not_committed_was_not_weighed() -> None:
    brake = Brake({"a": "one"})
    for _ in range(10):
        assert brake.weigh([("a", DEAD)] * 30) == {}
        brake.drop()
    brake.weigh([("a", DEAD)] * 30)
    brake.keep()

    assert brake.weigh([("a", DEAD)] * 21) == {"one": ("a", 51)}


def test_each_topic_has_its_window_and_what_is_captured_of_no_source_has_none() -> None:
    brake = Brake({"a": "one", "b": "one", "c": "two"})

    assert brake.weigh([(topic, DEAD) for topic in ("a", "b", "c", "retry") for _ in range(50)]) == {}
    assert brake.weigh([("retry", DEAD)] * 500 + [("c", DEAD)] * 51 + [("a", GOOD)] * 51) == {"two": ("c", 51)}
