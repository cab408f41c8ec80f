"""Quix Streams as its guide has it: a dataframe with a stateful function; state in its RocksDB store with a changelog; at least once.

It runs in an environment of its own, which the bench makes: it asks for an older Kafka client than the engine has. The function
is the one of every Python side; the state is MessagePack, as bytes, and not Quix's JSON, which would cost more.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from quixstreams import Application, State
from quixstreams.models import SerializationContext, Serializer

from tests.bench.job import Job, Measured, Stopwatch, run
from tests.bench.work import Output, Work, decode_state, encode_state, outputs_of

STATE = "record"


class ValueOf(Serializer):  # type: ignore[misc]
    """An output's value: its topic and key have been used."""

    def __call__(self, value: Output, ctx: SerializationContext) -> bytes:
        return value[2]


def quix(job: Job) -> Measured | None:
    watch, done = Stopwatch(job), [0]

    def processed(topic: str, partition: int, offset: int) -> None:
        done[0] += 1

    app = Application(
        broker_address=job.bootstrap,
        consumer_group=f"{job.node}.quix",
        auto_offset_reset="earliest",
        state_dir=f"{job.directory}/state",
        loglevel="ERROR",
        consumer_poll_timeout=0.1,
        producer_extra_config={"compression.type": "lz4", "linger.ms": 5, "batch.size": 1_000_000, "partitioner": "consistent"},
        on_message_processed=processed,
    )
    _tell_commits(app, job, watch, done)
    claims = app.topic(job.claims, key_deserializer="bytes", value_deserializer="bytes")
    targets = {name: app.topic(name, key_serializer="bytes", value_serializer=ValueOf()) for name in outputs_of(job.node)}
    frame = app.dataframe(claims)
    frame = frame.apply(_decider(Work(job.node, job.registry)), stateful=True, expand=True, metadata=True)
    frame.to_topic(lambda value, key, timestamp, headers: targets[value[0]], key=lambda value: value[1])
    guard = threading.Timer(job.give_up_seconds, app.stop)
    guard.start()
    app.run()
    guard.cancel()
    return watch.measured


def _decider(work: Work) -> Callable[[bytes, bytes, int, Any, State], list[Output]]:
    def decide(value: bytes, key: bytes, timestamp: int, headers: Any, state: State) -> list[Output]:
        raw = state.get_bytes(STATE)
        applied = work.apply(key, value, None if raw is None else decode_state(raw), time.time_ns() // 1_000_000)
        if applied is None:
            return []
        after, outputs = applied
        state.set_bytes(STATE, encode_state(after))
        return outputs

    return decide


def _tell_commits(app: Application, job: Job, watch: Stopwatch, done: list[int]) -> None:
    """It commits every 5 seconds, its default; and at the edges of what is measured, which does not wait for that."""
    context = app._processing_context
    commit = context.commit_checkpoint
    edges = {job.warm_up, job.changes - job.tail, job.changes} - {0}

    def timed(force: bool = False, revoking: bool = False) -> None:
        at_edge = done[0] in edges
        commit(force or at_edge, revoking)
        if at_edge:
            edges.remove(done[0])
            watch.committed(done[0])
            if done[0] == job.changes:
                app.stop()

    context.commit_checkpoint = timed


if __name__ == "__main__":
    run(quix)
