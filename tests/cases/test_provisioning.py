"""What `plan` says of what is declared and what is there."""

import json
from typing import Any

import pytest

from sync_engine.provision.plan import (
    CAPTURE_ANEW,
    CHANGE,
    CREATE,
    EPOCH,
    REFUSED,
    Action,
    ActualConnector,
    ActualTopic,
    plan_connectors,
    plan_schemas,
    plan_topics,
)
from sync_engine.provision.topics import Topic

TOPIC = Topic("n.claim.person", 2, {"cleanup.policy": "delete", "retention.ms": "7"})


def brief(actions: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(action.name, action.does, action.details) for action in actions]


# --- topics ---


@pytest.mark.parametrize(
    ("there", "does"),
    [
        (None, [(CREATE, ("2 partition(s)",))]),
        (ActualTopic(2, {**TOPIC.config, "segment.ms": "9"}), []),
        (ActualTopic(2, {"cleanup.policy": "delete", "retention.ms": "8"}), [(CHANGE, ("retention.ms = 7",))]),
        (ActualTopic(2, {}), [(CHANGE, ("cleanup.policy = delete", "retention.ms = 7"))]),
        (ActualTopic(3, TOPIC.config), [(REFUSED, ("3 partition(s), declared are 2",))]),
    ],
)
def test_a_topic(there: ActualTopic | None, does: list[tuple[str, tuple[str, ...]]]) -> None:
    actual = {} if there is None else {TOPIC.name: there}

    assert brief(plan_topics([TOPIC], actual)) == [(TOPIC.name, what, details) for what, details in does]


def test_topics_that_nobody_declares_are_left_alone() -> None:
    assert [*plan_topics([], {"n.other": ActualTopic(1, {})})] == []


# --- schemas ---


def schema(*fields: dict[str, Any]) -> str:
    return json.dumps({"type": "record", "name": "A", "namespace": "sync", "fields": [*fields]})


X, Y = {"name": "x", "type": "int"}, {"name": "y", "type": "int"}
Y_DEFAULT = {**Y, "default": 0}


@pytest.mark.parametrize(
    ("there", "does", "words"),
    [
        (None, CREATE, ""),
        (schema(X, Y_DEFAULT).replace(" ", "  "), None, ""),
        (schema(X), CHANGE, ""),
        (schema(X, Y_DEFAULT, {**Y_DEFAULT, "name": "z"}), CHANGE, ""),
        (schema(Y_DEFAULT), REFUSED, "new reads old: reader_field_missing_default_value"),
        (schema(X, {"name": "w", "type": "int"}), REFUSED, "old reads new: reader_field_missing_default_value"),
        (schema({"name": "x", "type": "string"}), REFUSED, "type_mismatch"),
    ],
)
def test_a_schema(there: str | None, does: str | None, words: str) -> None:
    actions = [*plan_schemas({"sync.A": schema(X, Y_DEFAULT)}, {"sync.A": there})]

    assert [action.does for action in actions] == ([] if does is None else [does])
    assert words in "".join(detail for action in actions for detail in action.details)


# --- connectors ---

CONFIG = {EPOCH: "2", "poll.interval.ms": "50", "database.password": "${file:/secret:a}"}


@pytest.mark.parametrize(
    ("there", "does"),
    [
        (None, [(CREATE, ())]),
        (CONFIG, []),
        ({**CONFIG, "poll.interval.ms": "500", "by.hand": "1"}, [(CHANGE, ("by.hand", "poll.interval.ms"))]),
        ({**CONFIG, EPOCH: "1"}, [(CAPTURE_ANEW, (EPOCH,))]),
        ({**CONFIG, EPOCH: "3"}, [(REFUSED, ("epoch 3, declared is 2",))]),
        ({"database.password": "in the clear"}, [(CAPTURE_ANEW, ("database.password", "poll.interval.ms", EPOCH))]),
    ],
)
def test_a_connector(there: dict[str, str] | None, does: list[tuple[str, tuple[str, ...]]]) -> None:
    actual = {} if there is None else {"n.cdc.d": ActualConnector(there, 1)}
    actions: list[Action] = [*plan_connectors({"n.cdc.d": CONFIG}, actual)]

    assert brief(actions) == [("n.cdc.d", what, details) for what, details in does]
    assert "in the clear" not in str(actions)


def test_a_change_says_what_it_restarts() -> None:
    [action] = plan_connectors({"n.cdc.d": CONFIG}, {"n.cdc.d": ActualConnector({**CONFIG, "a": "b"}, 2)})

    assert (action.effect.zh, action.effect.en) == ("重启 2 个任务", "restarts 2 task(s)")
