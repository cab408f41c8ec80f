"""What the lanes and the scale bench put in is what it says: every row reaches its claim, every pattern its key."""

import json
import random
from typing import Any

from sync_engine.ingest.stage import IngestStage
from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.runtime.schemas import AvroCodec, all_schemas
from tests.bench.catalogue import ENTITY, declarations, read_entry
from tests.bench.lanes.inputs import Goldens, captured, from_the_county, key_of, said
from tests.bench.lanes.network import network, tables
from tests.bench.scale.fill import Patterns, changes
from tests.bench.stages import Ids
from tests.fakes.view import NoView

ENTRY = read_entry()
NETWORK = network(ENTRY, "bench", 4)


def lane() -> tuple[AvroCodec, IngestStage, Ids]:
    ids = Ids()
    codec = AvroCodec(ids, all_schemas(NETWORK))
    return codec, IngestStage(NETWORK, "bench", {ENTITY: 4}, codec), ids


def claims_of(stage: IngestStage, codec: AvroCodec, puts: Any) -> list[tuple[bytes | None, Any]]:
    found = []
    for put in puts:
        outputs = stage.decide(Record(put.topic, 0, 0, put.key, put.value, tuple(put.headers), 0), NoView(), 0)
        assert all(isinstance(output, Emit) for output in outputs)
        found += [(output.key, codec.claim(output.value or b"", "")) for output in outputs if isinstance(output, Emit)]
    return found


def test_every_captured_row_is_one_claim_of_what_the_row_says() -> None:
    codec, stage, ids = lane()
    sources = [source for source, _ in tables(ENTRY, "bench")]
    items = [about["items"] for about in ENTRY["sources"].values()]
    for turn in (0, 1):
        found = claims_of(
            stage, codec, captured(ENTRY, "bench", lambda name, schema: ids.register(name, json.dumps(schema)), turn, range(8))
        )
        for number, (key, claim) in enumerate(found):
            change = said(ENTRY, sources[number % 4], items[number % 4], number, turn)
            assert (key, claim.values, claim.source) == (change.key.encode(), change.values, change.source)
            assert claim.position == change.position
        assert len(found) == 8


def test_every_claim_of_the_county_passes_as_it_came() -> None:
    codec, stage, _ = lane()
    puts = list(from_the_county(ENTRY, "bench", codec, 0, range(8)))

    assert [key for key, _ in claims_of(stage, codec, puts)] == [key_of(number).encode() for number in range(8)]


def test_a_golden_record_of_the_next_turn_is_the_next_version() -> None:
    codec, _, _ = lane()
    goldens = Goldens(ENTRY, "bench", codec)

    assert [codec.standing(put.value)[0] for turn in (0, 1) for put in goldens.put(turn, range(3))] == [1, 1, 1, 2, 2, 2]


def test_a_pattern_becomes_the_claim_of_its_key_and_row() -> None:
    codec = AvroCodec(Ids(), all_schemas(declarations(ENTRY, "bench", 1)))
    found = list(changes(Patterns(ENTRY, codec), 50_000, 20, random.Random(1)))

    assert len({key for key, _ in found}) == 20
    for key, value in found:
        claim = codec.claim(value, "")
        assert claim is not None and key_of(int(claim.row.strip("[]"))).encode() == key
