"""What a side's process is told, what it measures, and the clock: from its first commit behind the warm-up to its last, wall and CPU."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

ROOT = Path(__file__).parents[2]


class Job(msgspec.Struct, frozen=True):
    """One turn of a side: `changes` more claims of the topic `claims`, of which the first `warm_up` and the last `tail` are not measured.

    `node` is the prefix of the topics that it writes; `before` = the claims that it did in earlier turns; `core` = the one to run on;
    `schema_ids` = the registry's, by the name of the record.
    """

    bootstrap: str
    registry: str
    node: str
    claims: str
    entity: str
    before: int
    warm_up: int
    tail: int
    changes: int
    partitions: int
    batch_records: int
    core: int
    directory: str
    give_up_seconds: float
    schema_ids: dict[str, int]


class Measured(msgspec.Struct, frozen=True):
    changes: int
    wall_seconds: float
    cpu_seconds: float


class Stopwatch:
    """Is told after each commit how many changes of this turn are done."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._from: int | None = None
        self._wall = self._cpu = 0.0
        self.measured: Measured | None = None
        if not job.warm_up:
            self._begin(0)

    def committed(self, done: int) -> None:
        if self._from is None:
            if done >= self._job.warm_up:
                self._begin(done)
        elif done >= self._job.changes - self._job.tail and self.measured is None:
            self.measured = Measured(done - self._from, time.perf_counter() - self._wall, _cpu_seconds() - self._cpu)

    def _begin(self, done: int) -> None:
        self._from, self._wall, self._cpu = done, time.perf_counter(), _cpu_seconds()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


AnyJob = TypeVar("AnyJob", bound=Job)


def run(side: Callable[[AnyJob], Measured | None], kind: type[AnyJob] = Job) -> None:  # type: ignore[assignment]  # Job is one
    """The main function of a side's process: the job from the first argument, the measurement to the file of the second."""
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=kind)
    os.sched_setaffinity(0, {job.core})
    measured = side(job)
    assert measured is not None, "the changes were not all done in time"
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(measured))


def turn(command: Sequence[str], job: Job, *further: str) -> Measured:
    """A side's turn in a process of its own: `command`, the two files that `run` is given, `further`. Leaves, if it fails."""
    files = [Path(job.directory) / name for name in ("job.json", "measured.json")]
    files[0].write_bytes(msgspec.json.encode(job))
    files[1].unlink(missing_ok=True)
    ended = subprocess.run(
        [*command, *map(str, files), *further],
        timeout=job.give_up_seconds + 60,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
        preexec_fn=lambda: os.sched_setaffinity(0, {job.core}),
    )
    if ended.returncode:
        sys.exit(f"{ended.stderr}\n{job.node} failed with exit code {ended.returncode}: the run is void")
    return msgspec.json.decode(files[1].read_bytes(), type=Measured)
