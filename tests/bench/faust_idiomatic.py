"""An ordinary Faust agent as the framework's guide has it: `async for` event, a Table with the record's state, `topic.send` of the rest.

At least once, Faust's default: no transactions. Its table is in RocksDB; writing to it sends a changelog record, as always in Faust.
"""

import asyncio
import os
import sys
import time
from typing import Any

import faust
from faust.serializers.codecs import Codec, register

from sync_engine.resolve.decide import RecordState
from tests.bench.job import Job, Measured, Stopwatch, run
from tests.bench.work import Work, decode_state, encode_state, outputs_of


class StateCodec(Codec):
    def _dumps(self, state: Any) -> bytes:
        return encode_state(state)

    def _loads(self, raw: bytes) -> RecordState:
        return decode_state(raw)


def faust_idiomatic(job: Job) -> Measured | None:
    return asyncio.run(_run(job))


async def _run(job: Job) -> Measured | None:
    register("record_state", StateCodec())
    app = faust.App(
        f"{job.node}-faust",
        broker=f"kafka://{job.bootstrap}",
        store="rocksdb://",
        datadir=job.directory,
        topic_partitions=job.partitions,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        loop=asyncio.get_running_loop(),
    )
    finished, counted, watch = asyncio.Event(), [0], Stopwatch(job)
    _declare_agent(app, job, finished, counted, watch)
    await app.start()
    try:
        await asyncio.wait_for(finished.wait(), job.give_up_seconds)
    except TimeoutError:
        # An agent that crashed is restarted for ever, and stopping such an application does not end.
        print(f"{counted[0]} of {job.changes} changes after {job.give_up_seconds:g} s", file=sys.stderr, flush=True)
        os._exit(1)
    await app.producer.flush()
    await app.consumer.commit()
    await app.stop()
    return watch.measured


def _declare_agent(app: faust.App, job: Job, finished: asyncio.Event, counted: list[int], watch: Stopwatch) -> None:
    claims = app.topic(job.claims, key_serializer="raw", value_serializer="raw", value_type=bytes, key_type=bytes)
    targets = {name: app.topic(name, key_serializer="raw", value_serializer="raw") for name in outputs_of(job.node)}
    states = app.Table("state", partitions=job.partitions, key_type=bytes, options={"driver": "rocksdict"})
    states.value_serializer = "record_state"
    work = Work(job.node, job.registry)

    @app.agent(claims)
    async def resolve(stream: faust.StreamT[bytes]) -> None:
        async for event in stream.events():
            key, partition = event.key, event.message.partition
            applied = work.apply(key, event.value, states.get(key), time.time_ns() // 1_000_000)
            if applied is not None:
                states[key], sent = applied
                for topic, output_key, value in sent:
                    await targets[topic].send(key=output_key, value=value, partition=partition)
            counted[0] += 1
            if counted[0] == job.warm_up:
                watch.committed(counted[0])  # nobody hears when Faust commits: the clock begins between two events
            if counted[0] == job.changes - job.tail:
                await app.producer.flush()
                await app.consumer.commit()
                watch.committed(counted[0])
            if counted[0] == job.changes:
                finished.set()


if __name__ == "__main__":
    run(faust_idiomatic)
