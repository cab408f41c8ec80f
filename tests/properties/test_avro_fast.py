"""What is read and written without fastavro is what fastavro reads and writes; bad bytes are a ValueError and nothing else.

All of it over the pure functions, and over the compiled core where there is one.
"""

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sync_engine.model.avro import (
    AVRO_TYPES,
    claim_of_datum,
    claim_schema,
    claim_to_datum,
    decoder,
    encoder,
    golden_schema,
    golden_to_datum,
)
from sync_engine.model.avro_fast import OtherLayout, ReadClaim, claim_reader, claim_writer, golden_writer, standing_reader
from sync_engine.model.claim import Claim, Kind
from sync_engine.model.core import CORE
from sync_engine.model.declaration import AuthorityRule, EntityType, ExistenceRule, Item, Title
from sync_engine.model.golden import LIFE_CYCLES, STATUSES, Content, Golden
from sync_engine.runtime.schemas import wire_schemas

TITLE = Title("试", "Trial")
TYPES = {
    "alias": "string",
    "born_on": "date",
    "count": "integer",
    "dead": "boolean",
    "note": "string",
    "region": "region",
    "sum": "decimal",
}
ENTITY = EntityType(
    "trial",
    TITLE,
    1,
    "realtime",
    "id",
    "string",
    (ExistenceRule("police"),),
    "region",
    {name: Item(name, kind, TITLE) for name, kind in TYPES.items()},
    (AuthorityRule("T-A1", tuple(TYPES), "police"),),
)
CLAIM, GOLDEN = claim_schema(ENTITY), golden_schema(ENTITY)

CORES = {"pure": None, **({"compiled": CORE} if CORE else {})}
readers = pytest.mark.parametrize("read", [claim_reader(CLAIM, CLAIM, core=core) for core in CORES.values()], ids=list(CORES))
golden_writers = pytest.mark.parametrize("write_golden", [golden_writer(GOLDEN, core=core) for core in CORES.values()], ids=list(CORES))
slow_decode = decoder(CLAIM)
write_claim, slow_write_claim = claim_writer(CLAIM), encoder(CLAIM)
slow_write_golden = encoder(GOLDEN)

longs = st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200) | st.sampled_from([63, 64, -64, -65, 8191, 8192, 1_790_000_000_000])
ranks = st.integers(0, 4)
# Sizes around those at which the length takes another byte.
texts = st.text(max_size=30) | st.builds(lambda text, times: (text * times)[:9000], st.text(min_size=1, max_size=3), st.integers(1, 9000))
names = st.sampled_from(sorted(TYPES))
positions = st.tuples(longs, longs, longs, longs, longs)
stamps = st.tuples(longs, longs, longs, longs, longs, ranks)
OF_TYPE = {"integer": longs, "boolean": st.booleans()}


def cells(nothing: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Values of some items, each of its item's type or `nothing`."""
    return st.fixed_dictionaries({}, optional={name: OF_TYPE.get(kind, texts) | nothing for name, kind in TYPES.items()})


kinds = st.sampled_from([int(kind) for kind in Kind])
common = st.builds(
    Claim,
    source=texts,
    row=texts,
    mapping=texts,
    kind=kinds,
    position=positions,
    values=cells(st.none()),
    moved_to=st.none() | texts,
    withheld=st.lists(names, max_size=3).map(tuple),
    effective_ms=longs,
    via=st.none() | texts,
)
claims = common | st.builds(
    Claim,
    texts,
    texts,
    texts,
    kinds,
    positions,
    cells(st.none()),
    st.none() | texts,
    st.lists(names, max_size=3).map(tuple),
    st.dictionaries(names, stamps, max_size=3),
    st.dictionaries(names, positions, max_size=3),
    st.none() | stamps,
    longs,
    st.just(""),
    st.none() | texts,
    st.none() | stamps,
)


@st.composite
def goldens(draw: st.DrawFn) -> Golden:
    values = draw(cells(st.none()))
    items = [(name, draw(st.sampled_from(STATUSES)), values[name]) for name in sorted(values)]
    optional = st.none() | texts
    flags = draw(st.lists(texts, max_size=2).map(tuple))
    life_cycle = draw(st.sampled_from(LIFE_CYCLES))
    content = Content("trial", "key", life_cycle, draw(optional), draw(optional), draw(optional), items, flags)
    sources, left = st.dictionaries(names, texts, max_size=4), st.dictionaries(texts, longs, max_size=3)
    return Golden(
        content, draw(longs), draw(st.binary(max_size=20)), draw(st.integers(0, 2**31 - 1)), draw(longs), draw(sources), draw(left)
    )


def slow_read(payload: bytes, path: str) -> Claim:
    return claim_of_datum(slow_decode(payload), path)


@readers
@given(claims, texts)
def test_a_claim_is_read_as_fastavro_reads_it(read: ReadClaim, claim: Claim, path: str) -> None:
    payload = slow_write_claim(claim_to_datum(claim))
    assert repr(read(payload, path)) == repr(slow_read(payload, path))


@given(common, st.binary(max_size=9))
def test_what_stands_before_a_payload_is_passed_over_and_written(claim: Claim, before: bytes) -> None:
    for core in CORES.values():
        read = claim_reader(CLAIM, CLAIM, len(before), core)
        assert read(claim_writer(CLAIM, before)(claim), "") == claim


@given(claims)
def test_a_claim_is_written_as_fastavro_writes_it(claim: Claim) -> None:
    assert write_claim(claim) == slow_write_claim(claim_to_datum(claim))


@golden_writers
@given(goldens())
def test_a_golden_record_is_written_as_fastavro_writes_it(write_golden: Callable[[Golden], bytes], golden: Golden) -> None:
    expected = slow_write_golden(golden_to_datum(golden))
    assert write_golden(golden) == expected
    assert write_golden(golden) == expected, "the second time from what was kept"


@given(goldens(), st.binary(max_size=9))
def test_of_a_golden_record_a_state_keeps_what_fastavro_reads(golden: Golden, before: bytes) -> None:
    assume(all(golden.left.values()))  # versions, which begin at 1
    read = standing_reader(GOLDEN, GOLDEN, len(before))(before + slow_write_golden(golden_to_datum(golden)))

    content = golden.content
    wanted = (golden.version, golden.digest, content.life_cycle, content.jurisdiction, golden.left)
    assert read == (None if golden.left else wanted)


@given(goldens(), st.binary(max_size=9))
def test_a_golden_record_is_written_behind_its_prefix(golden: Golden, prefix: bytes) -> None:
    expected = prefix + slow_write_golden(golden_to_datum(golden))
    assert [golden_writer(GOLDEN, prefix, core)(golden) for core in CORES.values()] == [expected] * len(CORES)


@given(common, goldens())
def test_the_compiled_core_does_the_common_records_itself(claim: Claim, golden: Golden) -> None:
    def otherwise(*asked: Any) -> Any:
        raise AssertionError(f"left to the pure function: {asked}")

    items = tuple((name, AVRO_TYPES[TYPES[name]]) for name in sorted(TYPES))
    small = msgspec.structs.replace(
        claim, position=(1, 1, 2**61, -5, 0), effective_ms=1_790_000_000_000, values={**claim.values, "count": 7}
    )
    nulls_last = {**{item: value for item, value in sorted(small.values.items()) if value is not None}, **small.values}
    small = msgspec.structs.replace(small, values=nulls_last)
    for core in [CORE] if CORE else []:
        assert repr(core.claim_reader(Claim, items, 0, otherwise)(write_claim(small), "")) == repr(small)
        assert core.golden_writer(b"", items, LIFE_CYCLES, STATUSES, otherwise)(golden) == slow_write_golden(golden_to_datum(golden))


@readers
@given(claims, st.data())
def test_a_claim_that_was_cut_short_is_refused(read: ReadClaim, claim: Claim, data: st.DataObject) -> None:
    payload = write_claim(claim)
    size = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(ValueError, match=r"while decoding|too early|no such|negative|64 bits"):
        read(payload[:size], "")


@readers
@given(claims, st.binary(min_size=1, max_size=8))
def test_bytes_after_a_claim_are_refused(read: ReadClaim, claim: Claim, more: bytes) -> None:
    with pytest.raises(ValueError, match="left over"):
        read(write_claim(claim) + more, "")


@readers
@given(claims, st.data())
def test_a_claim_with_a_wrong_byte_is_refused_or_read_as_fastavro_reads_it(read: ReadClaim, claim: Claim, data: st.DataObject) -> None:
    payload = bytearray(write_claim(claim))
    for place in data.draw(st.lists(st.integers(0, len(payload) - 1), min_size=1, max_size=3)):
        payload[place] = data.draw(st.integers(0, 255))
    same_or_refused(read, bytes(payload))


@readers
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read_as_fastavro_reads_them(read: ReadClaim, payload: bytes) -> None:
    same_or_refused(read, payload)


def same_or_refused(read: ReadClaim, payload: bytes) -> None:
    try:
        claim = read(payload, "")
    except ValueError:
        return
    assert claim == slow_read(payload, "")


@readers
def test_blocks_that_say_their_size_and_several_blocks_are_read(read: ReadClaim) -> None:
    claim = Claim("s", "[1]", "self", int(Kind.ASSERT), (1, 1, 2, 3, 0), {"alias": None, "note": None})
    payload = write_claim(claim)
    plain = b"\x04\x0aalias\x08note\x00"
    assert plain in payload
    sized = b"\x03\x16\x0aalias\x08note\x00"  # count -2, then 11 bytes
    twice = b"\x02\x0aalias\x01\x0a\x08note\x00"  # one, then -1 with 5 bytes
    for other in (sized, twice):
        assert read(payload.replace(plain, other), "") == claim == slow_read(payload.replace(plain, other), "")


@readers
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (b"\xff" * 11, "number"),  # more than ten bytes
        (b"\xff" * 9 + b"\x7f", "number"),  # ten bytes, 70 bits
    ],
)
def test_numbers_of_more_than_64_bits_are_refused(read: ReadClaim, wrong: bytes, why: str) -> None:
    payload = write_claim(Claim("s", "[1]", "self", int(Kind.ASSERT), (77, 1, 2, 3, 0)))
    epoch = b"\x9a\x01"
    assert payload.count(epoch) == 1
    with pytest.raises(ValueError, match=why):
        read(payload.replace(epoch, wrong), "")


@readers
def test_the_text_of_a_refusal_holds_nothing_of_the_record(read: ReadClaim) -> None:
    payload = write_claim(Claim("s", "[1]", "self", int(Kind.ASSERT), (1, 1, 2, 3, 0), {"note": "张三"}))
    with pytest.raises(ValueError, match=r"^UnicodeDecodeError while decoding$"):
        read(payload.replace("张".encode(), b"\xe5\xbc\xff"), "")


def test_other_layouts_are_not_taken() -> None:
    for schema in wire_schemas().values():
        with pytest.raises(OtherLayout):
            claim_reader(schema, schema)
    with pytest.raises(OtherLayout):
        golden_writer(CLAIM)
    for change in (_without_a_field, _with_another_item_type, _with_another_kind):
        changed = change(copy.deepcopy(CLAIM))
        with pytest.raises(OtherLayout):
            claim_reader(changed, changed)


def test_a_claim_whose_writer_knows_other_items_is_left_to_the_resolution_of_schemas() -> None:
    fewer = copy.deepcopy(CLAIM)
    next(field for field in fewer["fields"] if field["name"] == "items")["type"]["fields"].pop()
    claim_reader(fewer, fewer)
    for written, wanted in ((fewer, CLAIM), (CLAIM, fewer)):
        with pytest.raises(OtherLayout):
            claim_reader(written, wanted)


def _without_a_field(schema: Any) -> Any:
    schema["fields"].pop()
    return schema


def _with_another_item_type(schema: Any) -> Any:
    items = next(field for field in schema["fields"] if field["name"] == "items")
    items["type"]["fields"][0]["type"] = ["null", "double"]
    return schema


def _with_another_kind(schema: Any) -> Any:
    schema["fields"][0]["type"]["symbols"].append("rumour")
    return schema
