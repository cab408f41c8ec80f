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
from sync_engine.model.outcome import DeadLetter, Emit
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
