"""Every reason of a dead letter has a case, or stands here: the ones that no row and no neighbour can cause."""

from functools import cache

import yaml

from sync_engine.ingest.stage import IngestStage
from sync_engine.model import names
from sync_engine.model.outcome import DeadLetter, Reason
from sync_engine.model.record import Record
from sync_engine.topology import resolve_stage
from tests.cases.casefile import HERE
from tests.cases.network import ENTITY, declarations
from tests.fakes.codec import FakeCodec
from tests.fakes.view import NoView

HERE_TESTED = {Reason.UNKNOWN_TABLE, Reason.UNSUPPORTED_KIND, Reason.NO_AUTHORITY}
"""The last one in test_registers.py: the sample's entity has no conditions."""


@cache
def codec() -> FakeCodec:
    return FakeCodec(declarations())


def test_a_topic_of_no_declared_table_is_an_unknown_table() -> None:
    stage = IngestStage(declarations(), "east", {ENTITY: 1}, codec())

    (letter,) = stage.decide(Record("east.cdc.police.db.other", 0, 0, b"key", b"value", (), 0), NoView(), 0)

    assert isinstance(letter, DeadLetter) and letter.reason is Reason.UNKNOWN_TABLE


def test_a_record_of_a_later_version_is_an_unsupported_kind() -> None:
    stage = resolve_stage(declarations(), "east", ENTITY, 0, codec())
    redirect = codec().encode_foreign("Redirect", {"to": "K2"})

    (letter,) = stage.decide(Record(names.claim("east", ENTITY), 0, 0, b"K1", redirect, (), 0), NoView(), 0)

    assert isinstance(letter, DeadLetter) and letter.reason is Reason.UNSUPPORTED_KIND


def test_every_reason_has_a_case() -> None:
    told = set()
    for file in HERE.glob("*/*.yaml"):
        case = yaml.safe_load(file.read_text("utf-8"))
        if isinstance(case.get("expect"), list):
            told |= {one["dead"] for one in case["expect"] if "dead" in one}
        told |= {reason for step in case.get("steps", []) for reason in step.get("letters", [])}

    assert told | {reason.value for reason in HERE_TESTED} == {reason.value for reason in Reason}
