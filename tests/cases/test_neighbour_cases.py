"""Every case of neighbour/: what a neighbour sent becomes a claim with a longer path, or a dead letter.

What a case may say stands in neighbour/README.md. The surprise: the bytes of a claim are never touched, only its path header grows.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sync_engine.ingest.stage import IngestStage
from sync_engine.model import names
from sync_engine.model.avro import claim_to_datum
from sync_engine.model.outcome import DeadLetter, Emit, Reason
from sync_engine.model.record import Record
from sync_engine.resolve.stage import slot_key
from tests.cases.casefile import ANY, Either, load, parameters
from tests.cases.network import CLAIM, ENTITY, KEY, claim_of, declarations, way
from tests.fakes.codec import FakeCodec
from tests.fakes.view import NoView

PARTITIONS = 2
GIVEN = {**dict.fromkeys(("at", "from", "bytes", "erased", "path", "key"), ANY), "claim": CLAIM}
SHAPE = {"given": GIVEN, "expect": [Either(({"claim": ANY, "path": ANY}, {"dead": ANY, "detail": ANY}))]}


@pytest.mark.parametrize("file", parameters("neighbour"))
def test_the_case_holds(file: Path) -> None:
    case = load(file, SHAPE)
    given = case["given"]
    stage = IngestStage(declarations(), given["at"], {ENTITY: PARTITIONS}, codec())
    record = record_of(given)

    outputs = stage.decide(record, NoView(), 0)

    for output in outputs:
        if isinstance(output, Emit):
            assert output.value == record.value, "what a neighbour sent is passed on as it came"
            assert output.key is not None and output.partition == names.partition_of(output.key, PARTITIONS)
    assert [seen(output, given["at"]) for output in outputs] == case["expect"], case["title"]


@pytest.mark.parametrize("file", parameters("neighbour"))
def test_a_dead_letter_that_is_put_back_is_decided_as_it_came(file: Path) -> None:
    case = load(file, SHAPE)
    at = case["given"]["at"]
    record = record_of(case["given"])
    stage = IngestStage(declarations(), at, {ENTITY: PARTITIONS}, codec())
    once = stage.decide(record, NoView(), 0)

    again = stage.decide(put_back(record, at), NoView(), 0)

    assert [seen(output, at) for output in again] == [seen(output, at) for output in once]
    assert all(output.of == record for output in again if isinstance(output, DeadLetter)), "put aside again, it is the same letter"


@pytest.mark.parametrize("topic", [names.golden("city", ENTITY), names.retry("city"), "no such topic"])
def test_what_ingest_does_not_read_is_not_decided_again(topic: str) -> None:
    stage = IngestStage(declarations(), "city", {ENTITY: PARTITIONS}, codec())
    record = Record(topic, 0, 3, b"key", b"value", (), 0)

    [letter] = stage.decide(put_back(record, "city"), NoView(), 0)

    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.of) == (Reason.UNKNOWN_TABLE, record)


def test_a_claim_that_resolve_put_aside_goes_back_to_where_it_stood() -> None:
    stage = IngestStage(declarations(), "city", {ENTITY: PARTITIONS}, codec())
    record = Record(names.claim("city", ENTITY), 1, 3, b"key", b"value", (("path", b"east,city"),), 0)

    assert stage.decide(put_back(record, "city"), NoView(), 0) == [Emit(record.topic, b"key", b"value", 1, (("path", b"east,city"),))]


def put_back(record: Record, node: str) -> Record:
    """As `dead retry` writes it."""
    headers = [{"name": name, "value": value} for name, value in record.headers]
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    told = {"reason": "bug", "detail": "", "stage": "ingest", **place, "key": record.key, "value": record.value}
    letter = codec().encode("sync.wire.Dead", {**told, "headers": headers, "at_ms": 0})
    return Record(names.retry(node), 0, 0, b"place", letter, (), record.timestamp_ms)


@cache
def codec() -> FakeCodec:
    return FakeCodec(declarations())


def record_of(given: dict[str, Any]) -> Record:
    """A record of the neighbour's edge to `at`."""
    key, value = b"", b""
    path = given.get("path")
    if "claim" in given:
        origin = next(source for kind, source in given["claim"].items() if kind in ("assert", "in_error", "withdraw", "out_of_scope"))
        path = given["path"] if "path" in given else ",".join(way(origin.split("/")[0], given["from"]))
        claim = claim_of(given["claim"], "", (1, 1, 90, 100, 0))
        key, value = slot_key(KEY, claim), codec().encode(f"sync.{ENTITY}.Claim", claim_to_datum(claim))
    if "key" in given:
        written = given["key"]
        key = bytes.fromhex(written[4:]) if written.startswith("hex ") else written.replace("|", "\x1f").encode()
    if "bytes" in given:
        value = bytes.fromhex(given["bytes"])
    headers = () if path is None else (("path", path.encode()),)
    topic = names.edge(given["from"], given["at"], ENTITY)
    return Record(topic, 0, 0, key, None if given.get("erased") else value, headers, 0)


def seen(output: object, node: str) -> dict[str, Any]:
    """An output in the words of `expect`."""
    if isinstance(output, DeadLetter):
        return {"dead": output.reason.value}
    assert isinstance(output, Emit) and output.key is not None and output.topic == names.claim(node, ENTITY)
    ((header, path),) = output.headers
    assert header == "path"
    return {"claim": output.key.decode(), "path": path.decode()}
