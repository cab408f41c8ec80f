"""The overlay that remembers states says what one would that reads the store every time, whatever is committed, dropped, forgotten."""

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sync_engine.runtime.loop import Overlay
from sync_engine.runtime.store import MemoryStore

KEYS = [b"a", b"b", b"c", b"d", b"e"]


class Held(msgspec.Struct, array_like=True):
    number: int


Step = tuple[str, bytes, int | None]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(KEYS), st.one_of(st.none(), st.integers(0, 9))),
        st.tuples(st.sampled_from(["get", "load", "scan", "commit", "note", "drop"]), st.sampled_from(KEYS), st.none()),
    ),
    max_size=40,
)


class CountingStore(MemoryStore):
    reads = 0

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.reads += len(keys)
        return super().get_many(keys)


@given(STEPS, st.integers(0, 12))
def test_the_overlay_says_what_the_store_and_the_batch_say(steps: list[Step], remembered: int) -> None:
    store = MemoryStore()
    overlay = Overlay(store, Held)
    committed: dict[bytes, int | None] = {}
    batch: dict[bytes, int | None] = {}
    for what, key, number in steps:
        if what == "put":
            overlay.put(key, None if number is None else Held(number))
            batch[key] = number
        elif what == "load":
            overlay.load(KEYS)
        elif what == "commit":
            overlay.apply(remembered)
            committed |= batch
            batch.clear()
        elif what == "note":
            overlay.write({})
        elif what == "drop":
            overlay.drop()
            batch.clear()
        now = {**committed, **batch}
        assert _said(overlay.get(key)) == now.get(key)
        assert _said(overlay.committed(key)) == committed.get(key)
        if what == "scan":
            assert {key: state.number for key, state in overlay.scan(b"", 100)} == {key: at for key, at in now.items() if at is not None}
    overlay.write({})
    fresh = Overlay(store, Held)
    assert {key: _said(fresh.get(key)) for key in KEYS} == {key: committed.get(key) for key in KEYS}


def _said(state: Held | None) -> int | None:
    return None if state is None else state.number


@given(STEPS, st.integers(0, 12))
def test_the_store_never_notes_more_than_it_holds(steps: list[Step], remembered: int) -> None:
    """A kill leaves what is in the store, and the changelog is read again from what it noted: so nothing before that may be lacking."""
    store = MemoryStore()
    overlay = Overlay(store, Held)
    log: list[bytes] = []  # the changelog: the number of a state is its place there
    batch: list[bytes] = []
    for what, key, _ in steps:
        if what == "put":
            overlay.put(key, Held(len(log) + len(batch)))
            batch.append(key)
        elif what == "commit":
            overlay.apply(remembered)
            log += batch
            batch = []
        elif what == "note":
            overlay.write({"log": len(log)})
        elif what == "drop":
            overlay.drop()
            batch = []
        kept, noted = Overlay(store, Held), log[: store.offsets().get("log", 0)]
        for place, changed in enumerate(noted):
            state = kept.get(changed)
            assert state is not None and state.number >= place


def test_a_key_that_comes_again_is_not_read_again_until_a_batch_is_dropped() -> None:
    store = CountingStore()
    overlay = Overlay(store, Held)
    overlay.load([b"a", b"b"])
    overlay.put(b"a", Held(1))
    overlay.apply(10)
    overlay.load([b"a", b"b"])
    assert overlay.get(b"a") == Held(1)
    assert store.reads == 2

    overlay.put(b"a", Held(2))
    overlay.drop()
    assert overlay.get(b"a") == Held(1)
    assert store.reads == 3


def test_a_state_that_changes_often_is_written_once() -> None:
    store = MemoryStore()
    overlay = Overlay(store, Held)
    for number in range(5):
        overlay.put(b"a", Held(number))
        overlay.apply(10)
        assert store.get_many([b"a"]) == [None]
        assert overlay.committed(b"a") == Held(number)
    overlay.write({"log": 5})
    assert Overlay(store, Held).get(b"a") == Held(4)


def test_what_is_remembered_is_bounded() -> None:
    store = CountingStore()
    overlay = Overlay(store, Held)
    for number in range(100):
        overlay.put(b"%d" % number, Held(number))
        overlay.apply(10)
    overlay.load(b"%d" % number for number in range(100))
    assert 90 <= store.reads < 100
