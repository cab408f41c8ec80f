"""What `runtime.store.Store` promises, in memory and on disk; and what only a disk can show: reopening, a process killed in the middle."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sync_engine.runtime.log import WorldFailure
from sync_engine.runtime.store import RESERVED, Memory, MemoryStore, RocksStore, Store
from tests.contract.log_worlds import until

CHILD = """
import sys
from pathlib import Path
from sync_engine.runtime.store import Memory, RocksStore

# Little memory, so that batches reach the disk while others are written: the case in which a half one could.
store = RocksStore(Path(sys.argv[1]), Memory(cache_mib=1, unwritten_mib=1))
for batch in range(1_000_000):
    number = b"%d" % batch
    store.write({b"slot %d" % at: number + b" " * 1_000 for at in range(50)}, {"state": batch, "golden": 2 * batch})
    if batch % 100 == 0:
        print(batch, flush=True)
"""


@pytest.fixture(params=["memory", "rocks"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def reopened(tmp_path: Path) -> Callable[[], RocksStore]:
    return lambda: RocksStore(tmp_path / "store")


def test_values_come_in_the_order_of_the_keys(store: Store) -> None:
    store.write({b"a": b"1", b"b": b"", b"c": b"\x00\xff"}, {})

    assert store.get_many([b"c", b"nothing", b"a", b"b", b"a"]) == [b"\x00\xff", None, b"1", b"", b"1"]
    assert store.get_many([]) == []


def test_a_later_write_replaces_and_removes(store: Store) -> None:
    store.write({b"a": b"1", b"b": b"2"}, {"state": 1})
    store.write({b"a": None, b"b": b"3", b"never there": None}, {"state": 2})

    assert store.get_many([b"a", b"b"]) == [None, b"3"]
    assert store.scan(b"", 10) == [(b"b", b"3")]


def test_offsets_are_kept_for_every_changelog(store: Store) -> None:
    assert store.offsets() == {}
    store.write({}, {"hefei.state.person": 5, "hefei.golden.person": 0})
    store.write({b"a": b"1"}, {"hefei.state.person": 7})
    store.write({b"a": b"2"}, {})
    store.write({}, {})

    assert store.offsets() == {"hefei.state.person": 7, "hefei.golden.person": 0}


def test_a_scan_goes_on_behind_a_key_and_ends_at_the_limit(store: Store) -> None:
    entries = [(b"a", b"1"), (b"a\x00", b"2"), (b"ab", b"3"), (b"b", b"4"), (b"\xff\xff", b"5")]
    store.write(dict(reversed(entries)), {"state": 1})

    assert store.scan(b"", 100) == entries
    assert store.scan(b"a", 2) == entries[1:3]
    assert store.scan(b"aa", 100) == entries[2:]
    assert store.scan(b"\xff\xff", 100) == []
    assert store.scan(b"", 0) == []


def test_a_scan_shows_no_offsets(store: Store) -> None:
    store.write({b"\x00early": b"1", b"\x00p": b"2"}, {f"topic {number}": number for number in range(10)})

    assert store.scan(b"", 100) == [(b"\x00early", b"1"), (b"\x00p", b"2")]
    assert store.scan(b"", 2) == store.scan(b"", 100)


def test_a_key_like_an_offset_is_refused(store: Store) -> None:
    with pytest.raises(AssertionError, match="like the store's own"):
        store.write({RESERVED + b"state": b"666"}, {})
    assert store.offsets() == {}


def test_a_wipe_forgets_everything(store: Store) -> None:
    store.write({b"a": b"1"}, {"state": 5})
    store.wipe()

    assert (store.scan(b"", 10), store.offsets(), store.get_many([b"a"])) == ([], {}, [None])
    store.write({b"b": b"2"}, {"state": 1})
    assert (store.scan(b"", 10), store.offsets()) == ([(b"b", b"2")], {"state": 1})


def test_closing_twice_does_no_harm(store: Store) -> None:
    store.close()
    store.close()


# --- on disk ---


def test_what_was_written_is_there_after_reopening(reopened: Callable[[], RocksStore]) -> None:
    store = reopened()
    store.write({b"%d" % number: b"v" for number in range(1_000)} | {b"gone": None}, {"state": 5})
    store.close()

    store = reopened()
    assert len(store.scan(b"", 10_000)) == 1_000
    assert store.offsets() == {"state": 5}
    store.close()


def test_a_reopened_store_still_filters(reopened: Callable[[], RocksStore], tmp_path: Path) -> None:
    """A store that exists is opened with default options, and looks for every missing key on disk, unless they are said twice."""
    reopened().close()
    store = reopened()
    store.close()

    assert "filter_policy: bloomfilter" in (tmp_path / "store" / "LOG").read_text()


def test_a_store_that_is_open_elsewhere_is_bad_weather(reopened: Callable[[], RocksStore]) -> None:
    store = reopened()
    store.write({b"a": b"1"}, {})
    with pytest.raises(WorldFailure, match="open elsewhere"):
        reopened()
    assert store.get_many([b"a"]) == [b"1"]
    store.close()
    reopened().close()


def test_a_store_that_is_broken_is_made_anew(reopened: Callable[[], RocksStore], tmp_path: Path) -> None:
    store = reopened()
    store.write({b"a": b"1"}, {"state": 5})
    store.close()
    (tmp_path / "store" / "CURRENT").write_text("MANIFEST-999999\n")

    store = reopened()
    assert (store.offsets(), store.scan(b"", 10)) == ({}, [])
    store.close()


def on_disk(path: Path) -> list[Path]:
    return list(path.glob("*.sst"))


def test_stores_share_the_memory_of_their_process(tmp_path: Path) -> None:
    memory = Memory(cache_mib=1, unwritten_mib=4)
    stores = {tmp_path / name: RocksStore(tmp_path / name, memory) for name in ("one", "other")}
    for store in stores.values():
        for batch in range(100):
            store.write({b"%d.%d" % (batch, number): bytes(10_000) for number in range(20)}, {})

    for path, store in stores.items():
        # 20 MB were written to each: less than a store of its own would keep, more than all may keep together.
        until(partial(on_disk, path), "something on disk")
        store.close()


def has_flushed(path: Path) -> bool:
    """A file that is there may still be on its way into the manifest: only RocksDB's own log says when it counts."""
    return "flush_finished" in (path / "LOG").read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("batches", [300, 400, 500, 600])
def test_a_killed_process_leaves_a_prefix_of_its_batches(tmp_path: Path, batches: int) -> None:
    """The write-ahead log is off. Every batch overwrites the same keys, so that two batches mixed would show."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while int(child.stdout.readline()) < batches or not has_flushed(tmp_path):
            pass
        child.kill()

    store = RocksStore(tmp_path)
    offsets, entries = store.offsets(), store.scan(b"", 100)
    store.close()
    assert offsets["state"] > 0, "enough was written for some of it to have reached the disk"
    assert offsets["golden"] == 2 * offsets["state"]
    assert {int(value) for _, value in entries} == {offsets["state"]}
    assert len(entries) == 50
