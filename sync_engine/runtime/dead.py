"""The dead letters of a node, for a person: read them, put them back, give them up.

A letter stands until a null of its key follows it in the dead topic. What is put back goes through the topic `<node>.retry` to ingest,
which decides it as if it had just come: it has its own position, so an old change loses against what has come since.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import confluent_kafka as ck
import msgspec

from sync_engine.fault import Message
from sync_engine.model import names
from sync_engine.model.stage import Codec, Undecodable
from sync_engine.runtime.kafka import LARGEST_RECORD_BYTES, read_to
from sync_engine.runtime.log import WorldFailure
from sync_engine.runtime.topics import Offsets

logger = logging.getLogger("sync_engine.runtime.kafka")  # what the clients say by themselves goes one way
_PATIENCE_SECONDS = 30.0
_SLICE = 1_000
RETRIED_STAGES = ("ingest", "resolve")
"""Behind them a record is said again with its next change: the topics they write are compacted, so nothing old may be put there."""


class Letter(msgspec.Struct, frozen=True):
    """One dead letter. `key`, `value` and `headers` may hold personal data; the rest may be listed."""

    id: str
    """topic/partition/offset: where the record stood."""
    node: str
    reason: str
    detail: str
    stage: str
    at_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    written: bytes
    """The letter itself, as it stands in the dead topic."""

    @property
    def can_be_retried(self) -> bool:
        return self.stage in RETRIED_STAGES


class DeadLetters:
    """Raises WorldFailure when the broker does not answer."""

    def __init__(self, bootstrap: str, node: str, codec: Codec, *, client: Mapping[str, str] | None = None) -> None:
        self._node = node
        self._codec = codec
        self._common: dict[str, Any] = {**(client or {}), "bootstrap.servers": bootstrap, "client.id": f"{node}.dead", "logger": logger}
        self._offsets = Offsets(bootstrap, client=client)

    def standing(self) -> list[Letter]:
        """All that were neither put back nor given up, oldest first."""
        place = (names.dead(self._node), 0)
        reader = ck.Consumer(
            {
                **self._common,
                "group.id": f"{self._node}.dead",  # asked for by the client; nothing is ever committed
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        found: dict[bytes, bytes] = {}
        try:
            end = self._offsets.list_ends([place])[place]
            reader.assign([ck.TopicPartition(*place, ck.OFFSET_BEGINNING)])
            for records in read_to(reader, place, end, _PATIENCE_SECONDS):
                for record in records:
                    key = record.key or b""
                    found.pop(key, None)
                    if record.value is not None:
                        found[key] = record.value
        finally:
            reader.close()
        return [letter for written in found.values() if (letter := self._letter(written)) is not None]

    def put_back(self, letters: Sequence[Letter]) -> None:
        """Have them decided again. Those that fail again are dead letters again."""
        if wrong := [letter.id for letter in letters if not letter.can_be_retried]:
            raise ValueError(f"cannot be put back: {wrong}")
        for some in _slices(letters):
            # In one transaction: a null that came after would hide the letter that the same record gives again.
            self._write([(names.retry(self._node), letter.id, letter.written) for letter in some] + self._nulls(some))

    def give_up(self, letters: Sequence[Letter]) -> None:
        """They stand no longer. Their bytes stay in the topic as long as it keeps them."""
        for some in _slices(letters):
            self._write(self._nulls(some))

    def _nulls(self, letters: Sequence[Letter]) -> list[tuple[str, str, bytes | None]]:
        return [(names.dead(self._node), letter.id, None) for letter in letters]

    def _write(self, records: Sequence[tuple[str, str, bytes | None]]) -> None:
        # An id of its own: two persons at a time do not fence each other.
        own = {"transactional.id": f"{self._node}.dead.{uuid4()}", "message.max.bytes": LARGEST_RECORD_BYTES}
        producer = ck.Producer({**self._common, **own})
        try:
            producer.init_transactions(_PATIENCE_SECONDS)
            producer.begin_transaction()
            for topic, key, value in records:
                producer.produce(topic, value, key.encode(), 0)
                producer.poll(0)
            producer.commit_transaction(_PATIENCE_SECONDS)
        except ck.KafkaException as failure:
            raise WorldFailure(
                Message("{count} records were not written: {why}", count=len(records), why=failure.args[0].str())
            ) from failure

    def _letter(self, written: bytes) -> Letter | None:
        try:
            _, datum = self._codec.decode(written)
        except Undecodable:
            return None
        place = f"{datum['topic']}/{datum['partition']}/{datum['offset']}"
        headers = tuple((header["name"], header["value"]) for header in datum["headers"])
        told = {name: datum[name] for name in ("reason", "detail", "stage", "at_ms", "key", "value")}
        return Letter(id=place, node=self._node, headers=headers, written=written, **told)


def _slices(letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
    return (letters[start : start + _SLICE] for start in range(0, len(letters), _SLICE))
