"""The bench's report: medians, ratios under their fixed names, aims, and what makes a run void."""

import pytest

from tests.bench.check import Outcome
from tests.bench.job import Measured
from tests.bench.report import AIMS, SIDES, Side, resolve_of, round_of, same_records, side_of

OUTCOME = Outcome(keys=10, wrong_keys=0, golden_records=20, state_records=30, findings=4, golden_bytes_mean=900.0)


def side(*rates: float, outcome: Outcome = OUTCOME) -> Side:
    return side_of([round_of(Measured(1_000, 1_000 / rate, 0.5)) for rate in rates], outcome)


def test_a_side_is_the_median_of_its_rounds_and_their_spread() -> None:
    found = side(100.0, 400.0, 200.0)

    assert (found.changes_per_second, found.spread) == (200.0, 1.5)
    assert (found.cpu_us_per_change, found.cpu_spread) == (500.0, 0.0)


def test_ratios_are_of_the_engine_over_each_other_side_under_their_names() -> None:
    sides = {name: side(100.0, 100.0, 100.0) for name in AIMS} | {"engine": side(150.0, 200.0, 250.0)}
    found = resolve_of(sides)

    assert list(found.sides) == list(SIDES)
    assert found.ratios == dict.fromkeys(("kafka_streams_eos", "kafka_streams_alos", "faust_idiomatic", "quix", "plain_loop"), 2.0)
    assert found.ratios_per_round["quix"] == [1.5, 2.0, 2.5]


def test_an_aim_is_reached_by_what_is_as_great() -> None:
    found = resolve_of({"engine": side(180.0), "kafka_streams_eos": side(90.0), "plain_loop": side(201.0)})

    assert found.reached == {"kafka_streams_eos": True, "plain_loop": False}
    assert found.aims == {"kafka_streams_eos": 2.0, "plain_loop": 0.9}


def test_without_the_engine_there_are_no_ratios() -> None:
    found = resolve_of({"quix": side(100.0)})

    assert (found.ratios, list(found.sides)) == ({}, ["quix"])


def test_one_wrong_key_makes_contents_differ() -> None:
    wrong = Outcome(keys=10, wrong_keys=1, golden_records=20, state_records=30, findings=4, golden_bytes_mean=900.0)

    assert side(1.0).digests_equal
    assert not side(1.0, outcome=wrong).digests_equal


@pytest.mark.parametrize("field", ["golden_records", "state_records", "findings"])
def test_sides_with_the_same_changes_must_have_written_as_many_records(field: str) -> None:
    other = side(1.0, outcome=Outcome(**{**_said(OUTCOME), field: 99}))

    assert same_records({"engine": side(1.0), "quix": side(1.0)})
    assert not same_records({"engine": side(1.0), "quix": other})
    assert same_records({"engine": side(1.0), "faust_idiomatic": other}), "it has changes of its own"


def _said(outcome: Outcome) -> dict[str, float]:
    return {name: getattr(outcome, name) for name in outcome.__struct_fields__}
