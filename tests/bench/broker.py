"""The broker's part of a run: topics, claims put in before a side's turn, what it wrote read to the end after the last."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import confluent_kafka as ck

from sync_engine.model import names
from sync_engine.model.declaration import Declarations
from sync_engine.model.names import partition_of
from sync_engine.runtime.topics import Offsets, create_topics
from sync_engine.topology import Hops
from tests.bench.catalogue import ENTITY

KeyValue = tuple[bytes, bytes]
Headers = Sequence[tuple[str, bytes]]
READ_SECONDS = 60.0


def pin(pid: int, core: int) -> None:
    """Keep a process that runs already, with all its threads, on one core; threads to come inherit it."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def make_topics(bootstrap: str, declared: Declarations, node: str, partitions: int) -> None:
    """All that a side, or a node of the engine, writes and reads."""
    data = [names.claim(node, ENTITY), names.state(node, ENTITY), names.golden(node, ENTITY), names.finding(node)]
    others = [names.dead(node), names.control(node), names.cut(node), names.alert(node), *Hops(declared, node).beats()]
    create_topics(bootstrap, [(name, partitions, {}) for name in data] + [(name, 1, {}) for name in others])


class Claims:
    """Puts claims into a topic, in their order."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, compression: str = "none") -> None:
        """By default not compressed: what every side's client can read."""
        self._topic, self._partitions = topic, partitions
        self.records = self.bytes = 0
        self._producer = ck.Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "compression.type": compression,
                "linger.ms": 50,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 1_000_000,
            }
        )

    def put(self, claims: Iterable[KeyValue]) -> None:
        for key, value in claims:
            self.put_one(self._topic, key, value, partition_of(key, self._partitions))
        self.flush()

    def put_one(self, topic: str, key: bytes, value: bytes, partition: int, headers: Headers = ()) -> None:
        """Nothing is certain before `flush`."""
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=list(headers))
                break
            except BufferError:
                self._producer.poll(0.1)
        self.records += 1
        self.bytes += len(key) + len(value)
        if self.records % 1_000 == 0:
            self._producer.poll(0)

    def flush(self) -> None:
        left = self._producer.flush(READ_SECONDS)
        assert not left, f"{left} records could not be put in"


def read_all(bootstrap: str, topic: str, partitions: Iterable[int]) -> Iterator[KeyValue]:
    """Every committed record of these partitions of a topic, from their beginning to their end."""
    reader = ck.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench.reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 2,
        }
    )
    ends = Offsets(bootstrap).list_ends([(topic, partition) for partition in partitions])
    left = {partition for (_, partition), end in ends.items() if end}
    reader.assign([ck.TopicPartition(topic, partition, 0) for partition in left])
    deadline = time.monotonic() + READ_SECONDS
    while left and time.monotonic() < deadline:
        for message in reader.consume(10_000, 0.2):
            deadline = time.monotonic() + READ_SECONDS
            if message.error() is None:
                yield message.key(), message.value()
            elif message.error().code() == ck.KafkaError._PARTITION_EOF:
                left.discard(message.partition())
    reader.close()
    assert not left, f"{topic} could not be read to its end"
