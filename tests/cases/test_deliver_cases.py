"""Every case of deliver/: golden records, what the receiver answers, and the time; then what was tried, what is parked, which receipts.

What a case may say stands in deliver/README.md. It runs in the engine's own loop, since a first try and its answer belong to one batch.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sync_engine.deliver.payload import webhook_id
from sync_engine.deliver.stage import TRIES_PER_SLICE, DeliverStage, Parked
from sync_engine.model import names
from sync_engine.model.avro import golden_to_datum
from sync_engine.model.declaration import WEBHOOK
from sync_engine.model.golden import Content, Golden
from sync_engine.model.stage import Answer, Request
from sync_engine.runtime.loop import Overlay
from sync_engine.runtime.store import MemoryStore
from tests.cases.casefile import ANY, Either, Named, load, parameters
from tests.cases.network import ENTITY, declarations
from tests.fakes.codec import FakeCodec
from tests.fakes.lane import FakeLane
from tests.fakes.view import NoView

GOLDEN = {**dict.fromkeys(("key", "version", "region", "life_cycle", "moved_to"), ANY), "says": Named(ANY), "left": Named(ANY)}
ANSWER = Either((ANY, {"status": ANY, "retry_after": ANY}))
STEP = {
    "at": ANY,
    "restart": True,
    "golden": [GOLDEN],
    "answers": Named(ANSWER),
    "tries": [ANY],
    "events": Named({"type": ANY, "items": Named(ANY), "sources": Named(ANY), "moved_to": ANY, "life_cycle": ANY}),
    "parked": Named({"version": ANY, "due": ANY, "attempts": ANY, "why": ANY}),
    "letters": [ANY],
}
SHAPE = {"partitions": ANY, "steps": [STEP]}
AREA = "341502"
BEGAN_MS = 1_700_000_000_000
"""When `at` is 0."""
(SUBSCRIBER,) = declarations().subscribers.values()
PARKED, RECEIPTS = names.parked(SUBSCRIBER.node, SUBSCRIBER.name), names.receipt(SUBSCRIBER.node)


@pytest.mark.parametrize("file", parameters("deliver"))
def test_the_case_holds(file: Path) -> None:
    case = load(file, SHAPE)
    receiver = Receiver()
    lane = FakeLane(
        SUBSCRIBER.node, lambda: DeliverStage(SUBSCRIBER, codec()), codec(), [RECEIPTS], case.get("partitions", 1), receiver.answer
    )
    for number, step in enumerate(case["steps"], start=1):
        receipts, letters = len(lane.broker.records(RECEIPTS)), len(lane.letters.found)
        receiver.begin(step.get("answers", {}))
        if "restart" in step:
            lane.restart()
        for written in step.get("golden", []):
            put(lane, written)
        lane.turn(BEGAN_MS + int(step["at"] * 1000))

        where = f"{case['title']}: step {number}"
        assert receiver.tries == step.get("tries", []), where
        assert parked(lane, step.get("parked", {})) == step.get("parked", {}), where
        assert [letter.reason.value for letter in lane.letters.found[letters:]] == step.get("letters", []), where
        for key, event in step.get("events", {}).items():
            assert {word: receiver.bodies[key][word] for word in event} == event, where
        assert [receipt_of(record.value) for record in lane.broker.records(RECEIPTS)[receipts:]] == receiver.receipts(lane.clock.ms), where
    assert receiver.every_version_has_one_id()


@cache
def codec() -> FakeCodec:
    return FakeCodec(declarations())


class Receiver:
    """The subscriber's system: answers as the step says, 204 if it says nothing."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, int], set[str]] = {}

    def begin(self, answers: dict[str, Any]) -> None:
        self._answers = answers
        self.tries: list[str] = []
        self.bodies: dict[str, dict[str, Any]] = {}
        self._outcomes: list[tuple[str, str]] = []

    def answer(self, requests: Sequence[Request]) -> Sequence[Answer]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Answer:
        body = msgspec.json.decode(request.body)
        key, version = body["data"]["key"], body["data"]["version"]
        assert (body["id"], request.key.decode(), request.subscriber) == (request.webhook_id, key, SUBSCRIBER.settings)
        assert set(body["data"]["items"]) <= set(SUBSCRIBER.items)
        self.tries.append(f"{key}/{version}")
        self.bodies[key] = {
            "type": body["type"],
            **body["data"],
            "items": {name: one["value"] for name, one in body["data"]["items"].items()},
        }
        self._ids.setdefault((key, version), set()).add(request.webhook_id)
        said = self._answers.get(key, 204)
        status, retry_after = (said["status"], said["retry_after"]) if isinstance(said, dict) else (said, None)
        acknowledged = status is not None and 200 <= status < 300
        self._outcomes.append((request.webhook_id, "acknowledged" if acknowledged else "failed"))
        return Answer(acknowledged, status, f"status {status}", retry_after, gone=status == 410)

    def receipts(self, now_ms: int) -> list[tuple[str, str, int]]:
        """What the receipts of the step must say: one for every try, in order."""
        return [(webhook, outcome, now_ms) for webhook, outcome in self._outcomes]

    def every_version_has_one_id(self) -> bool:
        """The same over all retries, and no other version's."""
        ids = [next(iter(found)) for found in self._ids.values() if len(found) == 1]
        return len(set(ids)) == len(self._ids)


def put(lane: FakeLane, written: dict[str, Any]) -> None:
    golden = golden_of(written)
    key = golden.content.key.encode()
    topic = names.golden(SUBSCRIBER.node, ENTITY)
    partition = names.partition_of(key, len(lane.broker.topics[topic]))
    lane.broker.put(topic, key, codec().encode(f"sync.{ENTITY}.Golden", golden_to_datum(golden)), partition)


def golden_of(written: dict[str, Any]) -> Golden:
    items = [(item, "confirmed", value) for item, value in sorted(written.get("says", {}).items())]
    life_cycle = written.get("life_cycle", "live")
    region = written.get("region", AREA if life_cycle == "live" else None)
    content = Content(ENTITY, written["key"], life_cycle, written.get("moved_to"), region, None, items)
    sources = {item: "east/police" for item, _, _ in items}
    return Golden(content, written["version"], content.digest(), 1, 1_700_000_000_000, sources, written.get("left", {}))


def parked(lane: FakeLane, told: dict[str, Any]) -> dict[str, Any]:
    """What waits in the parked topic: every key, of each what the step speaks of."""
    found = {}
    for key, value in lane.kept(PARKED).items():
        datum = codec().decode(value)[1]
        assert datum["webhook_id"] and datum["entity"] == ENTITY
        if not datum["body"]:
            continue  # the trace of a record that has left: nothing waits
        shown = {
            "version": datum["version"],
            "due": (datum["due_ms"] - BEGAN_MS) / 1000,
            "attempts": datum["attempts"],
            "why": datum["why"],
        }
        found[key.decode()] = {word: shown[word] for word in told.get(key.decode(), shown)}
    return found


def receipt_of(value: bytes | None) -> tuple[str, str, int]:
    assert value is not None
    datum = codec().decode(value)[1]
    assert datum["subscriber"] == SUBSCRIBER.id
    return datum["webhook_id"], datum["outcome"], datum["at_ms"]


def test_ids_differ_between_records_versions_and_subscribers() -> None:
    first, second, other = (
        golden_of({"key": "A", "version": 1}),
        golden_of({"key": "A", "version": 2}),
        golden_of({"key": "B", "version": 1}),
    )
    somebody = replace(SUBSCRIBER, name="somebody")

    ids = {webhook_id(subscriber, golden) for subscriber in (SUBSCRIBER, somebody) for golden in (first, second, other)}

    assert len(ids) == 6


def test_what_is_too_much_for_one_turn_is_in_the_log_and_tried_in_the_next() -> None:
    receiver = Receiver()
    lane = lane_of(receiver)
    for number in range(TRIES_PER_SLICE[WEBHOOK] + 50):
        put(lane, {"key": f"K{number:03}", "version": 1})

    tries, waiting, goes_on = [], [], []
    for turn in range(2):
        receiver.begin({})
        lane.turn(BEGAN_MS + turn)
        tries.append(len(receiver.tries))
        waiting.append(len(parked(lane, {})))
        goes_on.append(lane.stage.has_more(0))

    assert (tries, waiting) == ([TRIES_PER_SLICE[WEBHOOK], 50], [50, 0])
    assert goes_on == [True, False]


def test_a_record_that_is_refused_for_months_is_still_tried_every_hour() -> None:
    receiver = Receiver()
    lane = lane_of(receiver)
    put(lane, {"key": "A", "version": 1})
    for hour in range(1_100):
        receiver.begin({"A": 500})
        lane.turn(BEGAN_MS + hour * 3_600_000)
        assert receiver.tries == ["A/1"], hour


def test_nobody_is_looked_at_while_nothing_is_due() -> None:
    stage, view = DeliverStage(SUBSCRIBER, codec()), Overlay(MemoryStore(), Parked)
    for number in range(1_000):
        view.put(b"%03d" % number, Parked("id", 1, b"{}", 0, due_ms=BEGAN_MS, logged=True))
    view.apply()
    stage.open(0, view)

    (probe,) = stage.work(0, view, BEGAN_MS)
    assert isinstance(probe, Request)
    assert stage.parked() == 1_000
    stage.conclude(probe, Answer(False, 503, "away", 60), view, BEGAN_MS)

    assert list(stage.work(0, NoView(), BEGAN_MS + 59_999)) == []
    assert len(stage.work(0, view, BEGAN_MS + 60_000)) == 1


def lane_of(receiver: Receiver) -> FakeLane:
    return FakeLane(SUBSCRIBER.node, lambda: DeliverStage(SUBSCRIBER, codec()), codec(), [RECEIPTS], perform=receiver.answer)
