"""What a side's process is told, what it measures, and the clock: from its first record to its last commit, wall and CPU of the process."""

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

GIVE_UP_SECONDS = 240.0


class Job(msgspec.Struct, frozen=True):
    """`node` = the prefix of this run's topics; `changes` = how many claims stand in the claim topic; `core` = the one to run on."""

    bootstrap: str
    registry: str
    node: str
    changes: int
    partitions: int
    batch_records: int
    core: int
    directory: str


class Measured(msgspec.Struct, frozen=True):
    changes: int
    wall_seconds: float
    cpu_seconds: float


class Stopwatch:
    """Counts changes; `begin` at the first of them, `end` after the commit of the last."""

    def __init__(self) -> None:
        self._wall = self._cpu = 0.0
        self.running = False

    def begin(self) -> None:
        self.running = True
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()

    def end(self, changes: int) -> Measured:
        return Measured(changes, time.perf_counter() - self._wall, _cpu_seconds() - self._cpu)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run(side: Callable[[Job], Measured]) -> None:
    """The main function of a side's process: the job from the first argument, the measurement to the file of the second."""
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)
    os.sched_setaffinity(0, {job.core})
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(side(job)))
