"""What the validation rules of a catalogue entry let pass: the engine and the oracle, value by value."""

from typing import Any

import pytest

from sync_engine.ingest.validation import broken, compile_checks
from sync_engine.model.declaration import EntityType, Item, Title, ValidationRule
from tests.oracle.normal import breaks_a_rule

TITLE = Title("规则", "a rule")
PATTERN, LIMITS, AFTER = {"matches": "1[3-9][0-9]{9}"}, {"at_least": -2, "at_most": 10}, {"not_before": "born"}
AMOUNT, DAYS = {"at_least": "0.5"}, {"at_most": "2020-02-29"}


def entity(item_type: str, **demand: Any) -> EntityType:
    items = {"it": Item("it", item_type, TITLE), "born": Item("born", "date", TITLE)}
    rule = ValidationRule("V1", TITLE, ("it",), **demand)
    return EntityType("thing", TITLE, 1, "daily", "id", "string", (), None, items, (), (), (rule,))


@pytest.mark.parametrize(
    ("item_type", "demand", "values", "kept"),
    [
        ("string", PATTERN, {"it": "13900000001"}, True),
        ("string", PATTERN, {"it": "139000000011"}, False),
        ("string", PATTERN, {"it": " 13900000001"}, False),
        ("string", PATTERN, {"it": "13900000001\n"}, False),
        ("string", PATTERN, {"it": None}, True),
        ("string", PATTERN, {}, True),
        ("string", {"matches": "a|b"}, {"it": "bc"}, False),
        ("integer", LIMITS, {"it": -2}, True),
        ("integer", LIMITS, {"it": 9}, True),
        ("integer", LIMITS, {"it": -3}, False),
        ("integer", LIMITS, {"it": 11}, False),
        ("decimal", AMOUNT, {"it": "0.5"}, True),
        ("decimal", AMOUNT, {"it": "10"}, True),
        ("decimal", AMOUNT, {"it": "0.4999999999999999999999999999999999"}, False),
        ("decimal", AMOUNT, {"it": "-1"}, False),
        ("date", DAYS, {"it": "2020-02-29"}, True),
        ("date", DAYS, {"it": "2020-03-01"}, False),
        ("date", AFTER, {"it": "1990-03-07", "born": "1990-03-07"}, True),
        ("date", AFTER, {"it": "1990-03-06", "born": "1990-03-07"}, False),
        ("date", AFTER, {"it": "1990-03-06", "born": None}, True),
        ("date", AFTER, {"it": "1990-03-06"}, True),
        ("date", AFTER, {"it": None, "born": "1990-03-07"}, True),
    ],
)
def test_a_value_keeps_its_rule_or_breaks_it(item_type: str, demand: dict[str, Any], values: dict[str, Any], kept: bool) -> None:
    cells: dict[str, Any] = {item: "null" if value is None else {"value": value} for item, value in values.items()}
    plain = {"items": {"it": {"type": item_type}}, "validation": [{"rule": "V1", "items": ["it"], **demand}]}

    assert broken(compile_checks(entity(item_type, **demand), ("it", "born")), values) == (None if kept else "V1: it: a rule")
    assert breaks_a_rule(plain, cells) is not kept


def test_a_mapping_that_does_not_say_the_item_has_nothing_to_check() -> None:
    assert compile_checks(entity("date", **AFTER), ("born",)) == ()
