"""Which sources the brake holds, as the topic `<node>.hold` has it: written by the lane whose window trips, ended by a person's null.

Every lane reads the topic for itself, whole, before the first record of a new partition and again whenever it has grown: so a hold and a
release reach every worker of the node, and outlast every restart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import confluent_kafka as ck

from sync_engine.ingest.brake import Brake
from sync_engine.model import names
from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.model.stage import Codec
from sync_engine.runtime.log import Log, WorldFailure

_PATIENCE_SECONDS = 30.0


class Holds:
    """The brake of one lane and what the node has said about it."""

    def __init__(self, node: str, captured: Mapping[str, str], codec: Codec) -> None:
        """`captured` = topic -> source, of all that the node's sources say."""
        self._place = (names.hold(node), 0)
        self._brake = Brake(captured)
        self._codec = codec
        self._held: set[str] = set()
        self._read_to = -1

    def read(self, log: Log) -> None:
        """Find out what is held now. Raises WorldFailure."""
        end = log.end_offsets([self._place])[self._place]
        if end == self._read_to:
            return
        held: set[str] = set()
        for records in log.read(self._place, 0, end):
            for record in records:
                source = (record.key or b"").decode(errors="replace")
                held.discard(source) if record.value is None else held.add(source)
        for source in self._held - held:
            self._brake.begin_anew(source)
        self._held, self._read_to = held, end

    def is_held(self, topic: str) -> bool:
        return self._brake.captured.get(topic) in self._held

    def weigh(self, records: Sequence[Record], aside: Sequence[Record], now_ms: int) -> list[Emit]:
        """The holds that this batch must not go without; `aside` = those of the records that would be put aside. None: all is well.

        What was put back is not of a captured topic, so a retry neither trips the brake nor waits for it.
        """
        dead = {id(record) for record in aside}
        tripped = self._brake.weigh([(record.topic, id(record) in dead) for record in records])
        return [
            Emit(
                self._place[0],
                source.encode(),
                self._codec.encode("sync.wire.Hold", {"source": source, "topic": topic, "letters": letters, "at_ms": now_ms}),
            )
            for source, (topic, letters) in tripped.items()
        ]

    def keep(self) -> None:
        """The batch that was weighed is committed."""
        self._brake.keep()

    def drop(self) -> None:
        """It is not."""
        self._brake.drop()


def release(bootstrap: str, node: str, source: str, *, client: Mapping[str, str] | None = None) -> None:
    """End the hold of a source; harmless where there is none. Raises WorldFailure when nobody has confirmed it."""
    failed: list[str] = []

    def told(error: Any, message: ck.Message) -> None:
        if error is not None:
            failed.append(error.str())

    producer = ck.Producer(
        {
            **(client or {}),
            "bootstrap.servers": bootstrap,
            "client.id": f"{node}.release",
            "acks": "all",
            "message.timeout.ms": int(_PATIENCE_SECONDS * 1000),
            "allow.auto.create.topics": False,
        }
    )
    producer.produce(names.hold(node), None, source.encode(), 0, on_delivery=told)
    if producer.flush(_PATIENCE_SECONDS + 1) or failed:
        raise WorldFailure(f"{source} was not released: {failed[0] if failed else 'the broker does not answer'}")
