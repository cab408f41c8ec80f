"""What stands in a topic, read like any consumer reads it: committed records only, to the end and no further."""

import time
from dataclasses import dataclass, field

import confluent_kafka as ck

from sync_engine.model.record import Record

PATIENCE_SECONDS = 20.0


@dataclass
class TopicReader:
    """`more` gives what was committed since the last call, from the topics' beginning on. Holds no connection in between."""

    bootstrap: str
    topics: tuple[str, ...]
    _next: dict[tuple[str, int], int] = field(default_factory=dict)

    def skip(self) -> "TopicReader":
        """Go to the present end."""
        self.more()
        return self

    def more(self) -> list[Record]:
        consumer = ck.Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "e2e",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
            }
        )
        try:
            return self._read(consumer)
        finally:
            consumer.close()

    def _read(self, consumer: ck.Consumer) -> list[Record]:
        known = consumer.list_topics(timeout=PATIENCE_SECONDS).topics
        open_partitions = {(topic, number) for topic in self.topics for number in known[topic].partitions}
        consumer.assign([ck.TopicPartition(*place, self._next.get(place, ck.OFFSET_BEGINNING)) for place in open_partitions])
        records: list[Record] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while open_partitions:
            assert time.monotonic() < deadline, f"{self.topics}: no end within {PATIENCE_SECONDS:g} s"
            for message in consumer.consume(5_000, 0.05):
                place = (message.topic(), message.partition())
                if message.error() is None:
                    records.append(_record(message))
                    # Also behind an end that was reported before, while another partition is still read: it must not come again.
                    self._next[place] = message.offset() + 1
                elif message.error().code() == ck.KafkaError._PARTITION_EOF:
                    open_partitions.discard(place)
                    self._next[place] = message.offset()
        return records


def _record(message: ck.Message) -> Record:
    headers = tuple(message.headers() or ())
    return Record(message.topic(), message.partition(), message.offset(), message.key(), message.value(), headers, message.timestamp()[1])
