"""Every case of ingest/: a captured change of a sample source, as the connector writes it, becomes claims, sweeps and dead letters.

What a case may say stands in ingest/README.md. The surprise: the sample of connectors/ is what is tested, so a mapping that is changed
there without thought is seen here.
"""

from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from sync_engine import declared
from sync_engine.ingest.stage import IngestStage
from sync_engine.model import names
from sync_engine.model.avro import claim_of_datum
from sync_engine.model.claim import Claim, Kind, Position
from sync_engine.model.declaration import Source
from sync_engine.model.outcome import DeadLetter, Emit
from sync_engine.model.record import Record
from sync_engine.model.stage import Output
from tests.cases.casefile import ANY, HERE, Either, Named, load, parameters
from tests.fakes.codec import FakeCodec
from tests.fakes.view import NoView

DECLARATIONS = declared.read()
ROWS: dict[str, Any] = yaml.safe_load((HERE / "rows.yaml").read_text(encoding="utf-8"))
PARTITIONS = 2
COMMITTED_MS = 1_700_000_000_000
AT: Position = (1, 1, 90, 100, 0)
"""Of a change whose case does not say where it stood in the database's log."""

GIVEN = {
    **dict.fromkeys(("change", "op", "sequence", "snapshot", "epoch", "tombstone", "bytes", "of"), ANY),
    **{key: [ANY] for key in ("lsn", "binlog", "without", "envelope_without")},
    **dict.fromkeys(("before", "after"), Either((Named(ANY), None))),
}
CLAIM = {**dict.fromkeys(("row", "moved_to", "mapping"), ANY), **{key: [ANY] for key in ("at", "unchanged")}, "says": Named(ANY)}
EXPECTED = Either(
    (
        *({kind: ANY, **CLAIM} for kind in ("assert", "in_error", "withdraw")),
        {"sweep": ANY, "at": [ANY]},
        {"dead": ANY, "detail": ANY},
    )
)
SHAPE = {"given": GIVEN, "expect": [EXPECTED]}


@pytest.mark.parametrize("file", parameters("ingest"))
def test_the_case_holds(file: Path) -> None:
    case = load(file, SHAPE)
    given = case["given"]
    source = DECLARATIONS.sources[given.get("change") or given.get("tombstone") or given["of"]]
    stage = IngestStage(DECLARATIONS, source.node, dict.fromkeys(DECLARATIONS.entities, PARTITIONS), codec())
    department = DECLARATIONS.departments[f"{source.node}/{source.department}"]
    record = record_of(names.cdc(department, source.table), source, given)

    outputs = list(stage.decide(record, NoView(), 0))

    told = [expected(one, source) for one in case["expect"]]
    assert told == only_what_is_told(seen(outputs, source), told), case["title"]
    for letter in (output for output in outputs if isinstance(output, DeadLetter)):
        values = [str(value) for row in (given.get("before"), given.get("after")) for value in (row or {}).values()]
        assert not [value for value in values if len(value) > 3 and value in letter.detail], "a dead letter's detail holds no value"


@cache
def codec() -> FakeCodec:
    return FakeCodec(DECLARATIONS)


# --- what is given ---


def record_of(topic: str, source: Source, given: dict[str, Any]) -> Record:
    """The record that the connector wrote."""
    if "tombstone" in given:
        value = None
    elif "bytes" in given:
        value = bytes.fromhex(given["bytes"])
    else:
        value = codec().encode_foreign("Envelope", envelope_of(source, given))
    epoch = given.get("epoch", 1)
    headers = () if epoch is None else (("x-epoch", str(epoch).encode()),)
    offset = given["binlog"][2] if "binlog" in given else 0
    return Record(topic, 0, offset, b"key", value, headers, 0)


def envelope_of(source: Source, given: dict[str, Any]) -> dict[str, Any]:
    previous, event = given.get("lsn", AT[2:4])
    sequence = given.get("sequence", msgspec.json.encode([previous and str(previous), str(event)]).decode())
    origin = {"snapshot": given.get("snapshot", "false"), "ts_ms": COMMITTED_MS}
    if "binlog" in given:
        # As MariaDB's connector writes it: the sequence is there and empty.
        origin |= {"connector": "mariadb", "sequence": None, **dict(zip(("file", "pos", "row"), (*given["binlog"][:2], 0), strict=True))}
    else:
        origin["sequence"] = sequence
    envelope = {
        "before": row_of(source, given, "before"),
        "after": row_of(source, given, "after"),
        "source": origin,
        "op": given["op"],
    }
    missing = given.get("envelope_without", [])
    assert set(missing) <= set(envelope)
    return {field: value for field, value in envelope.items() if field not in missing}


def row_of(source: Source, given: dict[str, Any], which: str) -> dict[str, Any] | None:
    if given.get(which) is None:
        return None
    row = {**ROWS[source.id]["row"], **given[which]}
    return {column: value for column, value in row.items() if column not in given.get("without", [])}


# --- what is expected ---


def seen(outputs: list[Output], source: Source) -> list[dict[str, Any]]:
    """The outputs in the words of `expect`; a sweep that stands in every partition is one."""
    found: list[dict[str, Any]] = []
    for output in outputs:
        if isinstance(output, DeadLetter):
            found.append({"dead": output.reason.value, "detail": output.detail})
            continue
        assert isinstance(output, Emit) and output.value is not None and output.headers == ()
        name, datum = codec().decode(output.value)
        entity = output.topic.removeprefix(f"{source.node}.claim.")
        if name == "sync.wire.Sweep":
            assert datum["source"] == source.id and output.key is None
            position = [datum[part] for part in ("epoch", "phase", "major", "minor", "sub")]
            found.append({"sweep": entity, "at": position, "partition": output.partition})
        else:
            assert output.key is not None and output.partition == names.partition_of(output.key, PARTITIONS)
            claim = claim_of_datum(datum)
            assert (name, claim.source, claim.effective_ms) == (f"sync.{entity}.Claim", source.id, COMMITTED_MS)
            found.append(_word_of(output.key.decode(), claim))
    return _sweeps_together(found)


def _word_of(key: str, claim: Claim) -> dict[str, Any]:
    assert all(stamp == claim.stamp for stamp in claim.unchanged.values()) and not claim.withheld
    word = {Kind(claim.kind).name.lower(): key, "row": claim.row, "mapping": claim.mapping, "at": list(claim.position)}
    return {**word, "says": claim.values, "unchanged": sorted(claim.unchanged), "moved_to": claim.moved_to}


def _sweeps_together(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sweeps = [one for one in found if "sweep" in one]
    partitions = [one.pop("partition") for one in sweeps]
    assert partitions in ([], list(range(PARTITIONS))), "a sweep stands in every partition, once"
    return [one for one in found if "sweep" not in one] + sweeps[:1]


def only_what_is_told(found: list[dict[str, Any]], told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A dead letter's detail is looked at where the case says one."""
    without = [{"dead": one["dead"]} if "dead" in one else one for one in found]
    return [one if "detail" in wanted else other for one, other, wanted in zip_longest(found, without, told, fillvalue={})]


def expected(written: dict[str, Any], source: Source) -> dict[str, Any]:
    if "dead" in written:
        return written
    if "sweep" in written:
        return {"at": list(AT), **written}
    nothing: dict[str, Any] = {"row": "[1]", "mapping": "self", "at": list(AT), "says": {}, "unchanged": [], "moved_to": None}
    told = {**nothing, **written}
    row: dict[str, Any] = ROWS[source.id]["says"]
    if "assert" in told:
        assert set(told["says"]) <= set(row), "an item that the source does not map"
        told["says"] = {item: value for item, value in {**row, **told["says"]}.items() if item not in told["unchanged"]}
    elif "in_error" in told:
        told["unchanged"] = list(row)
    return {**told, "unchanged": sorted(told["unchanged"])}
