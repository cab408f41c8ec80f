"""An ordinary Faust agent as the framework's guide has it: `async for` event, a Table with the record's state, `topic.send` of the rest.

At least once, Faust's default: no transactions, which the two others pay for. Its table is in memory and holds the decoded state, so that
reading it costs nothing; writing it sends a changelog record, as always in Faust.
"""

import asyncio
import os
import sys
import time
from typing import Any

import faust
import msgspec
from faust.serializers.codecs import Codec, register

from sync_engine.model import names
from sync_engine.resolve.decide import RecordState
from tests.bench.catalogue import ENTITY
from tests.bench.job import GIVE_UP_SECONDS, Job, Measured, Stopwatch, run
from tests.bench.work import Work


class StateCodec(Codec):
    """A record's state as MessagePack, as the engine's store has it."""

    def _dumps(self, state: Any) -> bytes:
        return msgspec.msgpack.encode(state)

    def _loads(self, raw: bytes) -> RecordState:
        return msgspec.msgpack.decode(raw, type=RecordState)


def faust_idiomatic(job: Job) -> Measured:
    return asyncio.run(_run(job))


async def _run(job: Job) -> Measured:
    register("record_state", StateCodec())
    app = faust.App(
        f"{job.node}-faust",
        broker=f"kafka://{job.bootstrap}",
        store="memory://",
        datadir=job.directory,
        topic_partitions=job.partitions,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        loop=asyncio.get_running_loop(),
    )
    finished, counted, watch = asyncio.Event(), [0], Stopwatch()
    _declare_agent(app, job, finished, counted, watch)
    await app.start()
    try:
        await asyncio.wait_for(finished.wait(), GIVE_UP_SECONDS)
    except TimeoutError:
        # An agent that crashed is restarted for ever, and stopping such an application does not end.
        print(f"{counted[0]} of {job.changes} changes after {GIVE_UP_SECONDS:g} s", file=sys.stderr, flush=True)
        os._exit(1)
    await app.producer.flush()
    await app.consumer.commit()
    measured = watch.end(counted[0])
    await app.stop()
    return measured


def _declare_agent(app: faust.App, job: Job, finished: asyncio.Event, counted: list[int], watch: Stopwatch) -> None:
    claims = app.topic(names.claim(job.node, ENTITY), key_serializer="raw", value_serializer="raw", value_type=bytes, key_type=bytes)
    targets = {name: app.topic(name, key_serializer="raw", value_serializer="raw") for name in outputs(job.node)}
    states = app.Table("state", partitions=job.partitions, key_type=bytes)
    states.value_serializer = "record_state"
    work = Work(job.node, job.registry)

    @app.agent(claims)
    async def resolve(stream: faust.StreamT[bytes]) -> None:
        async for event in stream.events():
            if not watch.running:
                watch.begin()
            key, partition = event.key, event.message.partition
            applied = work.apply(key, event.value, states.get(key), time.time_ns() // 1_000_000)
            if applied is not None:
                states[key], sent = applied
                for topic, output_key, value in sent:
                    await targets[topic].send(key=output_key, value=value, partition=partition)
            counted[0] += 1
            if counted[0] == job.changes:
                finished.set()


def outputs(node: str) -> tuple[str, str, str]:
    return names.state(node, ENTITY), names.golden(node, ENTITY), names.finding(node)


if __name__ == "__main__":
    run(faust_idiomatic)
