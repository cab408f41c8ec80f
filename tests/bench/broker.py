"""The broker's part of a run: topics, claims put in before the clock starts, golden and state records read to the end after it stopped."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient

from sync_engine.model import names
from sync_engine.model.declaration import Declarations
from sync_engine.model.names import partition_of
from sync_engine.runtime.topics import Offsets, create_topics
from sync_engine.topology import Hops
from tests.bench.catalogue import ENTITY
from tests.bench.job import Job

KeyValue = tuple[bytes, bytes]
READ_SECONDS = 60.0


def pin(pid: int, core: int) -> None:
    """Keep a process that runs already, with all its threads, on one core; threads to come inherit it."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def preload(job: Job, declared: Declarations, claims: Sequence[KeyValue]) -> None:
    """Make the topics of a run and put the claims in, in their order."""
    node, bootstrap, partitions = job.node, job.bootstrap, job.partitions
    data = [names.claim(node, ENTITY), names.state(node, ENTITY), names.golden(node, ENTITY), names.finding(node)]
    others = [names.dead(node), names.control(node), names.cut(node), names.alert(node), *Hops(declared, node).beats()]
    create_topics(bootstrap, [(name, partitions, {}) for name in data] + [(name, 1, {}) for name in others])
    producer = ck.Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": "none",  # what every side's client can read
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 1_000_000,
        }
    )
    topic = names.claim(node, ENTITY)
    for number, (key, value) in enumerate(claims):
        producer.produce(topic, value, key, partition_of(key, partitions))
        if number % 1_000 == 0:
            producer.poll(0)
    left = producer.flush(READ_SECONDS)
    assert not left, f"{left} claims could not be put in"


def remove(bootstrap: str, node: str) -> None:
    """Remove a run's topics, those that Faust made included."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    found = [name for name in admin.list_topics(timeout=10).topics if name.startswith((f"{node}.", f"{node}-"))]
    for done in admin.delete_topics(found).values():
        done.result()


def read_all(bootstrap: str, topic: str, partitions: int) -> Iterator[KeyValue]:
    """Every committed record of a topic, from its beginning to its end."""
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
    ends = Offsets(bootstrap).list_ends([(topic, partition) for partition in range(partitions)])
    left = {partition for (_, partition), end in ends.items() if end}
    reader.assign([ck.TopicPartition(topic, partition, 0) for partition in left])
    deadline = time.monotonic() + READ_SECONDS
    while left and time.monotonic() < deadline:
        for message in reader.consume(10_000, 0.2):
            if message.error() is None:
                yield message.key(), message.value()
            elif message.error().code() == ck.KafkaError._PARTITION_EOF:
                left.discard(message.partition())
    reader.close()
    assert not left, f"{topic} could not be read to its end"
