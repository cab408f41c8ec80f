"""Signals to a department's connector, by the topic that it reads: an incremental snapshot."""

import logging
import re
from collections.abc import Mapping, Sequence
from uuid import uuid4

import confluent_kafka as ck
import msgspec

from sync_engine.model import names
from sync_engine.model.declaration import Department
from sync_engine.runtime.log import WorldFailure

logger = logging.getLogger("sync_engine.runtime.kafka")  # what the clients say by themselves goes one way
_PATIENCE_SECONDS = 30.0


def ask_for_snapshot(bootstrap: str, department: Department, tables: Sequence[str], *, client: Mapping[str, str] | None = None) -> str:
    """Have every row of these tables read again while the stream goes on, under the same epoch. Returns the signal's id.

    Raises WorldFailure if the broker did not take the signal. What the connector makes of it is seen in its log and in the topics.
    """
    asked = str(uuid4())
    collections = [re.escape(table) for table in tables]
    signal = {"id": asked, "type": "execute-snapshot", "data": {"type": "INCREMENTAL", "data-collections": collections}}
    producer = ck.Producer({**(client or {}), "bootstrap.servers": bootstrap, "enable.idempotence": True, "logger": logger})
    failures: list[str] = []

    def delivered(error: ck.KafkaError | None, _: ck.Message) -> None:
        if error is not None:
            failures.append(error.str())

    producer.produce(names.signal(department), msgspec.json.encode(signal), department.connector.encode(), 0, on_delivery=delivered)
    if producer.flush(_PATIENCE_SECONDS):
        failures.append("no answer")
    if failures:
        raise WorldFailure(f"the signal was not written to {names.signal(department)}: {failures[0]}")
    return asked
