"""The limit for this Python work: consume a batch, the pure functions, state in RocksDB, one transaction a batch. No Faust, no engine.

Its clients and its store have the engine's settings that bear on speed. It is no engine: a rebalance or an abort would leave it with
another state than its log has.
"""

import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import confluent_kafka as ck

from sync_engine.resolve.decide import RecordState
from sync_engine.runtime.store import RocksStore
from tests.bench.job import Job, Measured, Stopwatch, run
from tests.bench.work import Work, decode_state, encode_state

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


After = Callable[[], None]


def plain_loop(job: Job) -> Measured | None:
    store = RocksStore(Path(job.directory) / "store")
    resolve = Work(job.node, job.registry)

    def work(batch: list[ck.Message], producer: ck.Producer) -> After:
        changed = _decide(resolve, store, batch, producer)
        return lambda: store.write(changed, {})

    measured = loop(job, [job.claims], work)
    store.close()
    return measured


def loop(job: Job, topics: Sequence[str], work: Callable[[list[ck.Message], ck.Producer], After | None]) -> Measured | None:
    """A batch, `work` on it, one transaction of what it produced and the offsets; what `work` returned is called after the commit."""
    consumer = ck.Consumer({"bootstrap.servers": job.bootstrap, "group.id": f"{job.node}.plain", **CONSUMER})
    producer = ck.Producer({"bootstrap.servers": job.bootstrap, "transactional.id": f"{job.node}.plain", **PRODUCER})
    producer.init_transactions()
    consumer.subscribe(list(topics))
    positions: dict[tuple[str, int], int] = {}
    gc.disable()
    give_up, done = time.monotonic() + job.give_up_seconds, 0
    watch = Stopwatch(job)
    while done < job.changes and time.monotonic() < give_up:
        batch = consumer.consume(job.batch_records, 0.1)
        if not batch:
            continue
        producer.begin_transaction()
        after = work(batch, producer)
        positions.update(((message.topic(), message.partition()), message.offset() + 1) for message in batch)
        offsets = [ck.TopicPartition(topic, partition, offset) for (topic, partition), offset in positions.items()]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
        producer.commit_transaction()
        if after is not None:
            after()
        done += len(batch)
        watch.committed(done)
    consumer.close()
    return watch.measured


def _decide(work: Work, store: RocksStore, batch: list[ck.Message], producer: ck.Producer) -> dict[bytes, bytes]:
    """What the store is to hold afterwards."""
    now_ms = time.time_ns() // 1_000_000
    keys = list({message.key() for message in batch})
    states: dict[bytes, RecordState] = {
        key: decode_state(raw) for key, raw in zip(keys, store.get_many(keys), strict=True) if raw is not None
    }
    changed = set()
    produce = producer.produce
    for message in batch:
        key = message.key()
        applied = work.apply(key, message.value(), states.get(key), now_ms)
        if applied is None:
            continue
        states[key], outputs = applied
        changed.add(key)
        partition = message.partition()
        for topic, output_key, value in outputs:
            produce(topic, value, output_key, partition)
    return {key: encode_state(states[key]) for key in changed}


if __name__ == "__main__":
    run(plain_loop)
