"""What is parked and sent to a topic or a table. The webhook's event is in the cases of deliver/."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sync_engine.deliver.payload import body_of, event_of
from sync_engine.model.declaration import TableTarget, TopicTarget
from tests.cases.test_deliver_cases import SUBSCRIBER, codec, golden_of

ITEM, OTHER = SUBSCRIBER.items[0], "none_of_the_demand"
TO_TABLE = replace(
    SUBSCRIBER, kind="table", table=TableTarget("shared.person", "id", "v", "state", {ITEM: "c"}, moved_to="new_id", statuses="how")
)
TO_TOPIC = replace(SUBSCRIBER, kind="topic", topic=TopicTarget("credit", 1))
LABELS = {"east/police": {"level": "county", "department": "公安局"}, "east/tax": {"level": "county"}}
RECORDS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "live": ({"says": {ITEM: "x", OTHER: "secret"}}, "live", None),
    "withdrawn": ({"life_cycle": "withdrawn", "left": {"341502": 2}}, "withdrawn", None),
    "moved": ({"life_cycle": "moved", "moved_to": "B", "left": {"341502": 2}}, "moved", "B"),
    "left": ({"region": "110000", "says": {ITEM: "x"}, "left": {"341502": 2}}, "left", None),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_row_says_what_the_record_is_and_keeps_its_version(name: str) -> None:
    written, state, moved_to = RECORDS[name]
    golden = golden_of({"key": "A", "version": 2, **written})
    event = event_of(TO_TABLE, golden)
    assert event is not None
    assert msgspec.json.decode(body_of(TO_TABLE, golden, event, codec(), LABELS)) == {
        "key": "A",
        "version": 2,
        "columns": {
            "c": "x" if state == "live" else None,
            "state": state,
            "new_id": moved_to,
            "how": f'{{"{ITEM}":"confirmed"}}' if state == "live" else "{}",
        },
    }


@pytest.mark.parametrize("name", RECORDS)
def test_a_topic_gets_avro_of_the_demand_alone(name: str) -> None:
    written, state, moved_to = RECORDS[name]
    golden = golden_of({"key": "A", "version": 2, **written})
    event = event_of(TO_TOPIC, golden)
    assert event is not None
    kind, datum = codec().decode(body_of(TO_TOPIC, golden, event, codec(), LABELS))
    told = {ITEM: "x"} if state == "live" else {}
    assert kind == f"sync.{SUBSCRIBER.entity}.Delivery"
    assert (datum["version"], datum["state"], datum["moved_to"]) == (2, state, moved_to)
    assert {item: value for item, value in datum["items"].items() if value is not None} == told
    assert datum["statuses"] == dict.fromkeys(told, "confirmed")
    assert set(datum["sources"]) == set(told)
    assert datum["labels"] == ({"east/police": LABELS["east/police"]} if told else {})


def test_the_webhook_names_the_labels_of_the_sources_that_it_tells_of() -> None:
    for name, labels in (("live", {"east/police": LABELS["east/police"]}), ("left", {})):
        golden = golden_of({"key": "A", "version": 2, **RECORDS[name][0]})
        event = event_of(SUBSCRIBER, golden)
        assert event is not None
        assert msgspec.json.decode(body_of(SUBSCRIBER, golden, event, codec(), LABELS))["data"]["labels"] == labels
