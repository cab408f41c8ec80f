"""The limit for this Python work: consume a batch, the pure functions, state in a dict, one transaction a batch. No Faust, no store.

Its clients have the engine's settings that bear on speed, and no garbage is collected: nothing here has cycles, and the states in the dict
would be walked again and again. It is no engine: a rebalance, an abort or a restart would lose its state.
"""

import gc
import time

import confluent_kafka as ck

from sync_engine.model import names
from sync_engine.resolve.decide import RecordState
from tests.bench.catalogue import ENTITY
from tests.bench.job import GIVE_UP_SECONDS, Job, Measured, Stopwatch, run
from tests.bench.work import Work

CONSUMER = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "fetch.queue.backoff.ms": 2,
    "queued.min.messages": 40_000,
    "queued.max.messages.kbytes": 65_536,
    "check.crcs": False,
}
PRODUCER = {
    "linger.ms": 5,
    "batch.size": 1_000_000,
    "compression.type": "lz4",
    "delivery.report.only.error": True,
    "queue.buffering.max.messages": 200_000,
    "retry.backoff.ms": 2,
    "retry.backoff.max.ms": 50,
    "transaction.timeout.ms": 10_000,
}


def plain_loop(job: Job) -> Measured:
    consumer = ck.Consumer({"bootstrap.servers": job.bootstrap, "group.id": f"{job.node}.plain", **CONSUMER})
    producer = ck.Producer({"bootstrap.servers": job.bootstrap, "transactional.id": f"{job.node}.plain", **PRODUCER})
    producer.init_transactions()
    consumer.subscribe([names.claim(job.node, ENTITY)])
    work, states, positions = Work(job.node, job.registry), dict[bytes, RecordState](), dict[int, int]()
    watch, done = Stopwatch(), 0
    gc.disable()
    give_up = time.monotonic() + GIVE_UP_SECONDS
    while done < job.changes and time.monotonic() < give_up:
        batch = consumer.consume(job.batch_records, 0.1)
        if not batch:
            continue
        if not watch.running:
            watch.begin()
        producer.begin_transaction()
        _decide(work, states, batch, producer)
        positions.update((message.partition(), message.offset() + 1) for message in batch)
        offsets = [ck.TopicPartition(batch[0].topic(), partition, offset) for partition, offset in positions.items()]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
        producer.commit_transaction()
        done += len(batch)
    measured = watch.end(done)
    consumer.close()
    return measured


def _decide(work: Work, states: dict[bytes, RecordState], batch: list[ck.Message], producer: ck.Producer) -> None:
    now_ms = time.time_ns() // 1_000_000
    produce = producer.produce
    for message in batch:
        key = message.key()
        applied = work.apply(key, message.value(), states.get(key), now_ms)
        if applied is None:
            continue
        states[key], outputs = applied
        partition = message.partition()
        for topic, output_key, value in outputs:
            produce(topic, value, output_key, partition)


if __name__ == "__main__":
    run(plain_loop)
