"""A captured column's value as the item's value, by the engine and by the oracle: what both take, and what both refuse."""

import pytest

from sync_engine.ingest.values import Refused, reader
from sync_engine.model.declaration import Item, Title
from tests.oracle import normal

REFUSED = object()


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (7, 7),
        (" 7", 7),
        ("-07", -7),
        ("+3", 3),
        (9_223_372_036_854_775_807, 9_223_372_036_854_775_807),
        ("-9223372036854775808", -9_223_372_036_854_775_808),
        (9_223_372_036_854_775_808, REFUSED),
        ("-9223372036854775809", REFUSED),
        ("1_000", REFUSED),
        ("１", REFUSED),
        ("+-1", REFUSED),
        ("1.0", REFUSED),
        ("1e3", REFUSED),
        ("", None),
        (None, None),
    ],
)
def test_an_integer(raw: object, value: object) -> None:
    read = reader(Item("it", "integer", Title("", "")), None, {})
    try:
        assert read(raw) == value
    except Refused:
        assert value is REFUSED
    try:
        assert normal.normal_cell({"type": "integer"}, None, {}, raw) == ("null" if value is None else {"value": value})
    except normal.Refused:
        assert value is REFUSED
