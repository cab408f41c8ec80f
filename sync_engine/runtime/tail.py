"""Reading topics without a group, and writing outside any transaction: for the observer, whose records repeat by nature.

The neighbours' cuts are read from the end (an old one says nothing), the rest from the beginning: what fires, and what was read by a
snapshot, must be known after a restart.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import confluent_kafka as ck

from sync_engine.model.names import partition_of
from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.runtime.log import TopicPartition, WorldFailure
from sync_engine.runtime.topics import Offsets

logger = logging.getLogger("sync_engine.runtime.kafka")  # what the clients say by themselves goes one way
_REQUEST_SECONDS = 10.0
_BATCH = 500


class KafkaTail:
    """For one thread."""

    def __init__(self, bootstrap: str, name: str, *, client: Mapping[str, str] | None = None) -> None:
        common: dict[str, Any] = {**(client or {}), "bootstrap.servers": bootstrap, "client.id": name, "logger": logger}
        self._consumer = ck.Consumer(
            {
                **common,
                "group.id": f"{name}.tail",  # asked for by the client; partitions are assigned, nothing is ever committed
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 100,
            }
        )
        self._producer = ck.Producer({**common, "enable.idempotence": True, "linger.ms": 5})
        self._offsets = Offsets(bootstrap, client=client)
        self._partitions: dict[str, int] = {}

    def start(self, topics: Sequence[str], from_beginning: Callable[[str], bool]) -> None:
        """Assign every partition of the topics. Raises WorldFailure while one does not exist."""
        self._consumer.assign(
            [
                ck.TopicPartition(topic, partition, ck.OFFSET_BEGINNING if from_beginning(topic) else ck.OFFSET_END)
                for topic in topics
                for partition in range(self._count(topic))
            ]
        )

    def poll(self, timeout_seconds: float) -> list[Record]:
        # consume() waits the whole time unless it gets as many as asked for: so the first is waited for alone.
        messages = self._consumer.consume(1, timeout_seconds)
        if messages:
            messages += self._consumer.consume(_BATCH, 0)
        return [
            Record(
                message.topic() or "",
                message.partition() or 0,
                message.offset() or 0,
                message.key(),
                message.value(),
                _headers(message),
                message.timestamp()[1],
            )
            for message in messages
            if message.error() is None
        ]

    def write(self, emits: Sequence[Emit]) -> None:
        """Send without waiting, and serve the client's log; a record that gets lost is followed by a newer one."""
        for emit in emits:
            partition = emit.partition if emit.partition is not None else partition_of(emit.key or b"", self._count(emit.topic))
            self._producer.produce(emit.topic, emit.value, emit.key, partition)
        self._producer.poll(0)

    def ends(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """The ends of all partitions of the topics, open transactions included.

        A group's offsets may be committed a moment before the marker of their transaction stands in every partition that it wrote to: by
        the ends of committed records a cut would then be taken before what it must wait for.
        """
        return self._offsets.list_open_ends([(topic, partition) for topic in topics for partition in range(self._count(topic))])

    def committed(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """The group's committed offsets of these topics; a partition that it never committed is missing."""
        return self._offsets.group_offsets(group, [(topic, partition) for topic in topics for partition in range(self._count(topic))])

    def close(self) -> None:
        self._producer.flush(_REQUEST_SECONDS)
        self._consumer.close()
        self._offsets.close()

    def _count(self, topic: str) -> int:
        if topic not in self._partitions:
            try:
                found = self._consumer.list_topics(topic, timeout=_REQUEST_SECONDS).topics[topic]
            except ck.KafkaException as failure:
                raise WorldFailure(f"the broker does not tell of topic {topic}: {failure.args[0].str()}") from failure
            if found.error is not None:
                raise WorldFailure(f"topic {topic} is not there: {found.error.str()}")
            self._partitions[topic] = len(found.partitions)
        return self._partitions[topic]


def _headers(message: ck.Message) -> tuple[tuple[str, bytes], ...]:
    found: Any = message.headers() or ()
    return tuple((name, value) for name, value in found if isinstance(value, bytes))
