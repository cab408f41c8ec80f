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
        st.tuples(st.sampled_from(["get", "load", "commit", "drop"]), st.sampled_from(KEYS), st.none()),
    ),
    max_size=40,
)


class CountingStore(MemoryStore):
    reads = 0

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.reads += len(keys)
        return super().get_many(keys)


@given(STEPS, st.integers(0, 8))
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
            overlay.apply({}, remembered)
            committed |= batch
            batch.clear()
        elif what == "drop":
            overlay.drop()
            batch.clear()
        now = {**committed, **batch}
        said = overlay.get(key)
        assert (None if said is None else said.number) == now.get(key)
        assert {key: state.number for key, state in overlay.scan(b"", 100)} == {key: at for key, at in now.items() if at is not None}
    fresh = Overlay(store, Held)
    assert {key: state.number for key in KEYS if (state := fresh.get(key)) is not None} == {
        key: number for key, number in committed.items() if number is not None
    }


def test_a_key_that_comes_again_is_not_read_again_until_a_batch_is_dropped() -> None:
    store = CountingStore()
    overlay = Overlay(store, Held)
    overlay.load([b"a", b"b"])
    overlay.put(b"a", Held(1))
    overlay.apply({}, 10)
    overlay.load([b"a", b"b"])
    assert overlay.get(b"a") == Held(1)
    assert store.reads == 2

    overlay.put(b"a", Held(2))
    overlay.drop()
    assert overlay.get(b"a") == Held(1)
    assert store.reads == 3


def test_what_is_remembered_is_bounded() -> None:
    store = CountingStore()
    overlay = Overlay(store, Held)
    for number in range(100):
        overlay.put(b"%d" % number, Held(number))
        overlay.apply({}, 10)
    overlay.load(b"%d" % number for number in range(100))
    assert 90 <= store.reads < 100
