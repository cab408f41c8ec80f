"""The bench's changes: the same from the same seed, and in the shares that TOPOLOGY.md names."""

from collections import Counter

from tests.bench.catalogue import read_entry
from tests.bench.workload import Workload, datum

ENTRY = read_entry()


def test_the_same_seed_says_the_same() -> None:
    one, other = Workload(ENTRY, 50, 7), Workload(ENTRY, 50, 7)

    assert list(one.load(range(50))) == [*other.load(range(20)), *other.load(range(20, 50))]
    assert [one.next() for _ in range(300)] == [other.next() for _ in range(300)]


def test_what_the_stream_touches_begins_with_its_rows_of_the_load() -> None:
    workload = Workload(ENTRY, 50, 7)
    loaded = {rows[0].key: rows for rows in workload.load(range(50))}
    stream = [workload.next() for _ in range(300)]

    for key, said in workload.said.items():
        rows = loaded.get(key, [])
        assert said[: len(rows)] == rows
        assert said[len(rows) :] == [change for change in stream if change.key == key]


def test_a_fifth_are_new_rows_and_a_record_has_one_row_of_a_source_at_most() -> None:
    workload = Workload(ENTRY, 2_000, 7)
    known = {(rows[0].key, row.source): row.row for rows in workload.load(range(2_000)) for row in rows}
    kinds, new = Counter[str](), 0
    for _ in range(10_000):
        change = workload.next()
        kinds[change.kind] += 1
        slot = (change.key, change.source)
        new += slot not in known
        assert known.setdefault(slot, change.row) == change.row
    assert 0.18 < new / 10_000 < 0.22
    assert 0 < kinds["withdraw"] < 100


def test_changes_of_a_source_rise_in_position() -> None:
    workload = Workload(ENTRY, 100, 7)
    last: dict[tuple[str, str], tuple[int, ...]] = {}
    for change in (change for _ in range(2_000) for change in [workload.next()]):
        slot = (change.source, change.row)
        assert change.position >= last.get(slot, ())
        last[slot] = change.position


def test_nulls_are_named() -> None:
    workload = Workload(ENTRY, 500, 7)
    said = [datum(row) for rows in workload.load(range(500)) for row in rows]

    assert any(one["nulls"] == ["mobile"] for one in said)
