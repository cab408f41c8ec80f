"""A worker of a node with the resolve lane alone, in a process of its own, which says what it does on stdout, a line of JSON each.

It goes on until stdin ends: then it stops as a worker does that is told to.
"""

import asyncio
import logging
import os
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from sync_engine import settings
from sync_engine.model.outcome import DeadLetter
from sync_engine.runtime.exporter import Metrics
from sync_engine.runtime.worker import Worker
from tests.bench.catalogue import ENTITY, declarations, read_entry

LOOK_SECONDS = 0.02


class Orders(msgspec.Struct, frozen=True):
    bootstrap: str
    registry: str
    node: str
    instance: str
    directory: str
    partitions: int
    owned: int
    """Partitions that it is to have before it is ready."""
    memory_mib: int
    core: int


class Said(msgspec.Struct, frozen=True):
    """`what`: begun, assigned, ready, committed, restored, stopped. CPU = of the process so far; memory = resident, now and at most."""

    what: str
    at: float
    cpu_seconds: float
    resident_mib: float
    resident_max_mib: float
    records: int = 0


def say(what: str, records: int = 0) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(open("/proc/self/statm").read().split()[1])  # noqa: SIM115
    cpu, resident = used.ru_utime + used.ru_stime, pages * resource.getpagesize() / 1024**2
    told = Said(what, time.monotonic(), cpu, round(resident, 1), round(used.ru_maxrss / 1024, 1), records)
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


class Telling(Metrics):
    def committed(self, stage: str, records: int, emits: int, letters: Sequence[DeadLetter]) -> None:
        super().committed(stage, records, emits, letters)
        assert not letters, letters
        if records:
            say("committed", records)

    def restored(self, stage: str, records: int) -> None:
        super().restored(stage, records)
        say("restored", records)


async def node(orders: Orders) -> None:
    worker = Worker(declarations(read_entry(), orders.node, orders.partitions), _settings(orders), orders.node, orders.instance)
    worker.stages = [stage for stage in worker.stages if stage.name == f"resolve.{ENTITY}"]
    worker.metrics = Telling(orders.node)
    app: Any = worker.app()
    say("begun")
    await app.start()
    loop = None
    while loop is None or not loop._stores:
        await asyncio.sleep(LOOK_SECONDS)
        loop = worker.lanes[0].loop_of_stage
    say("assigned")
    while len(loop.partitions) < orders.owned:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(LOOK_SECONDS)
    say("ready")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await app.stop()
    say("stopped")


def _settings(orders: Orders) -> settings.Settings:
    return settings.load(
        environ={
            "SYNC_ENGINE__KAFKA__BOOTSTRAP": orders.bootstrap,
            "SYNC_ENGINE__REGISTRY__URL": orders.registry,
            "SYNC_ENGINE__STATE__DIR": orders.directory,
            "SYNC_ENGINE__WORKER__MEMORY_MIB": str(orders.memory_mib),
        }
    )


if __name__ == "__main__":
    given = msgspec.json.decode(sys.argv[1], type=Orders)
    os.sched_setaffinity(0, {given.core})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(node(given))
