"""What the connectors of Oracle, SQL Server and Db2 write becomes claims; how it was recorded: envelopes/README.md."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from sync_engine import declared
from sync_engine.ingest.capture import CompiledSource, Sweep, compile_source, read_change, read_position
from sync_engine.ingest.values import Refused
from sync_engine.model.claim import Claim, Kind, Position
from sync_engine.model.declaration import Source
from sync_engine.model.outcome import DeadLetter, Reason
from tests.cases.casefile import HERE
from tests.cases.test_ingest_cases import ROWS

DECLARATIONS = declared.read()
RECORDED_WITHOUT = "marital_status"
"""The table had no such column when the envelopes were recorded."""
KEY = "341502199003071235"
KINDS = ("oracle", "sqlserver", "db2")
IN_ORDER = (
    "last READ of the snapshot",
    "INSERT",
    "UPDATE in the same transaction",
    "DELETE in a transaction that began before it and was committed after it",
    "READ of an incremental snapshot",
)


def as_recorded(source: Source) -> Source:
    mappings = tuple(
        replace(mapping, items=tuple(item for item in mapping.items if item.item != RECORDED_WITHOUT)) for mapping in source.mappings
    )
    return replace(source, mappings=mappings)


SOURCE = as_recorded(DECLARATIONS.sources["jinan/public_security/resident"])
SAYS = {item: value for item, value in ROWS[SOURCE.id]["says"].items() if item != RECORDED_WITHOUT}


@cache
def recorded(kind: str, precision: str = "isostring") -> dict[str, dict[str, Any]]:
    vectors = json.loads((HERE / "envelopes" / f"{kind}.json").read_text(encoding="utf-8"))
    return {each["what"]: each["envelope"] for each in vectors if each["time.precision.mode"] == precision}


def compiled(kind: str) -> CompiledSource:
    """Oracle and Db2 know the columns in upper case."""
    return compile_source(DECLARATIONS, SOURCE if kind == "sqlserver" else in_upper_case(SOURCE))


def in_upper_case(source: Source) -> Source:
    mappings = tuple(
        replace(
            mapping,
            key_column=mapping.key_column.upper(),
            items=tuple(replace(item, column=item.column.upper()) for item in mapping.items),
        )
        for mapping in source.mappings
    )
    ignored = frozenset(column.upper() for column in source.ignored)
    return replace(source, mappings=mappings, ignored=ignored, primary_key=tuple(column.upper() for column in source.primary_key))


def place(kind: str, what: str, **changed: Any) -> Position:
    return read_position({**recorded(kind)[what]["source"], **changed}, 1, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_every_envelope_is_read(kind: str) -> None:
    source = compiled(kind)
    told = {what: read_change(source, recorded(kind)[what], 1, 7) for what in IN_ORDER}

    ((_, key, claim), sweep) = told["last READ of the snapshot"]  # type: ignore[misc]
    assert key == KEY, "CHAR's padding is no part of the key"
    assert isinstance(claim, Claim)
    assert claim.values == SAYS
    assert isinstance(sweep, Sweep)
    assert sweep.position == claim.position
    for what, address in (
        ("INSERT", "皖西路1号"),
        ("UPDATE in the same transaction", "皖西路2号"),
        ("READ of an incremental snapshot", "皖西路2号"),
    ):
        ((_, key, claim),) = told[what]  # type: ignore[misc]
        assert (key, claim.kind, claim.values) == (KEY, Kind.ASSERT, {**SAYS, "residence_address": address})
    ((_, key, claim),) = told[IN_ORDER[3]]  # type: ignore[misc]
    assert (key, claim.kind) == (KEY, Kind.WITHDRAW)
    assert len({each[0][2].row for each in told.values()}) == 1, "one row, however it came"  # type: ignore[union-attr,index]


@pytest.mark.parametrize("kind", KINDS)
def test_positions_rise_in_commit_order_and_fit_their_longs(kind: str) -> None:
    positions = [place(kind, what) for what in IN_ORDER]

    assert positions == sorted(positions)
    assert len(set(positions[:4])) == 4
    assert [position[1] for position in positions] == [0, 1, 1, 1, 1]
    assert all(0 <= part < 2**63 for position in positions for part in position)


def test_oracle_stands_where_it_was_committed() -> None:
    assert place("oracle", "last READ of the snapshot") == (1, 0, 2868546, 2868546, 0)
    assert place("oracle", "UPDATE in the same transaction") == (1, 1, 2868600, 2868550, 3)
    assert place("oracle", IN_ORDER[3]) == (1, 1, 2868700, 2868540, 1), "the SCN of the change alone would go back"
    assert place("oracle", IN_ORDER[4], commit_scn=None, txSeq=None) == (1, 1, 2868700, 2868700, 0), "nothing was streamed yet"


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (
            "sqlserver",
            {"commit_lsn": "00000027:00000b10:0003"},
            {"commit_lsn": "00000027:00000b10:0004", "change_lsn": "00000001:00000001:0001"},
        ),
        ("sqlserver", {"commit_lsn": "7fffffff:ffffffff:ffff"}, {"commit_lsn": "80000000:00000000:0000"}),
        (
            "sqlserver",
            {"change_lsn": "00000027:00000b10:0002", "event_serial_no": 9},
            {"change_lsn": "00000027:00000b10:0003", "event_serial_no": 1},
        ),
        ("sqlserver", {"event_serial_no": 1}, {"event_serial_no": 2}),
        ("sqlserver", {"commit_lsn": "ffffffff:ffffffff:fffe"}, {"commit_lsn": "ffffffff:ffffffff:ffff"}),
        ("db2", {"change_lsn": "00000000:00000000:0000ffffffffffff"}, {"change_lsn": "00000000:00000000:0001000000000000"}),
        ("db2", {"commit_lsn": "00000000:00000000:ffffffffffffffff"}, {"commit_lsn": "00000000:00000001:0000000000000000"}),
    ],
)
def test_an_lsn_is_compared_whole(kind: str, low: dict[str, Any], high: dict[str, Any]) -> None:
    assert place(kind, "INSERT", **low) < place(kind, "INSERT", **high)


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("oracle", {"commit_scn": None}),
        ("oracle", {"txSeq": None}),
        ("oracle", {"scn": "0x1f"}),
        ("sqlserver", {"commit_lsn": None}),
        ("sqlserver", {"change_lsn": None}),
        ("sqlserver", {"commit_lsn": "of words"}),
        ("sqlserver", {"event_serial_no": 2**29}),
        ("db2", {"change_lsn": "7fffffff:00000000:0000000000000001"}),
        ("db2", {"connector": "informix"}),
    ],
)
def test_a_place_that_is_none_is_refused(kind: str, changed: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        place(kind, "INSERT", **changed)

    assert refused.value.reason is Reason.INVALID_POSITION


@pytest.mark.parametrize("kind", KINDS)
def test_a_moment_that_came_as_a_number_is_refused_and_never_another_day(kind: str) -> None:
    """What the connectors write by default (`time.precision.mode = adaptive`): milliseconds, microseconds or nanoseconds."""
    read = read_change(compiled(kind), recorded(kind, "adaptive")["INSERT"], 1, 7)

    assert isinstance(read[0], DeadLetter)
    assert read[0].reason is Reason.INVALID_VALUE
    assert read[0].detail.endswith("not a date")
