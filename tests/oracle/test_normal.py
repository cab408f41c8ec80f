"""A column's value by hand: every type of item, and identifiers that exist."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.oracle.normal import Refused, normal_cell, normal_key


@pytest.mark.parametrize(
    ("item_type", "raw", "value"),
    [
        ("string", " a b ", "a b"),
        ("string", 12, "12"),
        ("date", date(2020, 2, 29), "2020-02-29"),
        ("date", datetime(2020, 2, 29, 23, 59), "2020-02-29"),
        ("date", "20200229", "2020-02-29"),
        ("region", "341502", "341502"),
        ("integer", " 7", 7),
        ("integer", "-07", -7),
        ("boolean", True, True),
        ("boolean", 0, False),
        ("boolean", "true", True),
        ("decimal", Decimal("1.50"), "1.5"),
        ("decimal", "100", "100"),
        ("decimal", "2.00", "2"),
        ("decimal", "1E+2", "100"),
    ],
)
def test_a_value_of_every_type(item_type: str, raw: object, value: object) -> None:
    assert normal_cell({"type": item_type}, None, {}, raw) == {"value": value}


@pytest.mark.parametrize(
    ("item_type", "raw"),
    [
        ("date", "2019-02-29"),
        ("region", "3415021"),
        ("integer", "x"),
        ("integer", "1_000"),
        ("integer", "１"),
        ("integer", "+-1"),
        ("integer", "1.0"),
        ("boolean", "yes"),
        ("decimal", "NaN"),
        ("decimal", "1,5"),
    ],
)
def test_what_is_not_of_its_type_is_refused(item_type: str, raw: object) -> None:
    with pytest.raises(Refused):
        normal_cell({"type": item_type}, None, {}, raw)


@pytest.mark.parametrize("raw", [None, "", " \u3000"])
def test_nothing_is_null_in_every_type(raw: object) -> None:
    for item in ({"type": "string"}, {"type": "date"}, {"type": "code", "codes": "c"}):
        assert normal_cell(item, None, {"c": {"values": {}}}, raw) == "null"


@pytest.mark.parametrize(
    ("key_type", "raw", "key"),
    [
        ("resident_id", "11010519491231002x", "11010519491231002X"),
        ("uscc", "91110000802100433B", "91110000802100433B"),
        ("uscc", "9144030071526726xg ", "9144030071526726XG"),
        ("string", " k1", "K1"),
    ],
)
def test_keys_are_trimmed_upper_case_and_valid(key_type: str, raw: str, key: str) -> None:
    assert normal_key(key_type, raw) == key


@pytest.mark.parametrize(
    ("key_type", "raw"),
    [
        ("resident_id", "110105194912310021"),
        ("resident_id", "110105491231997"),
        ("uscc", "91110000802100433C"),
        ("uscc", "9111000080210043"),
        ("uscc", "91110000802100433I"),
        ("string", " "),
    ],
)
def test_other_keys_are_refused(key_type: str, raw: Any) -> None:
    with pytest.raises(Refused):
        normal_key(key_type, raw)
