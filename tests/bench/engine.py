"""The engine's side: a worker of one node as `sync-engine run` starts it, with the resolve lane alone.

Faust application, channel of batches, loop, transactional log, store on disk, registry, observer, point reads: all of it is in the figure.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

import structlog

from sync_engine import settings
from sync_engine.model.declaration import Declarations
from sync_engine.model.outcome import DeadLetter
from sync_engine.runtime.exporter import Metrics
from sync_engine.runtime.worker import Worker
from tests.bench.catalogue import ENTITY, declarations, read_entry
from tests.bench.job import Job, Measured, Stopwatch, run


class Counting(Metrics):
    """The worker's metrics, which also say when all has been committed. A dead letter or an aborted batch makes the run void."""

    def __init__(self, job: Job, finished: asyncio.Event) -> None:
        super().__init__(job.node)
        self._finished, self._wanted, self._done = finished, job.changes, 0
        self._loop = asyncio.get_running_loop()
        self.watch = Stopwatch(job)
        self.void: str | None = None

    def committed(self, stage: str, records: int, emits: int, letters: Sequence[DeadLetter]) -> None:
        super().committed(stage, records, emits, letters)
        self._done = self.done(records)
        if letters:
            self._give_up(f"dead letter: {letters[0].reason.value}, {letters[0].detail}")
            return
        self.watch.committed(self._done)
        if self._done == self._wanted:
            self._loop.call_soon_threadsafe(self._finished.set)

    def done(self, records: int) -> int:
        """All that is done now, after a commit of so many records."""
        return self._done + records

    def aborted(self, stage: str) -> None:
        self._give_up("a batch was aborted")

    def _give_up(self, why: str) -> None:
        self.void = why
        self._loop.call_soon_threadsafe(self._finished.set)


def engine(job: Job) -> Measured:
    # Redis is away here, which is worth a warning and no more.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return asyncio.run(work(job, declarations(read_entry(), job.node, job.partitions), f"resolve.{ENTITY}"))


async def work(
    job: Job, declared: Declarations, stage: str, counting: Callable[[Job, asyncio.Event], Counting] = Counting, **further: str
) -> Measured:
    """The job by a worker whose only lane is this stage. `further` = settings, as environment variables."""
    worker = Worker(declared, _settings(job, further), job.node)
    worker.stages = [each for each in worker.stages if each.name == stage]
    finished = asyncio.Event()
    worker.metrics = counted = counting(job, finished)
    app = worker.app()
    await app.start()
    await asyncio.wait_for(finished.wait(), job.give_up_seconds)
    await app.stop()
    assert counted.watch.measured is not None, f"the run is void: {counted.void}"
    return counted.watch.measured


def _settings(job: Job, further: Mapping[str, str]) -> settings.Settings:
    return settings.load(
        environ={
            "SYNC_ENGINE__KAFKA__BOOTSTRAP": job.bootstrap,
            "SYNC_ENGINE__REGISTRY__URL": job.registry,
            "SYNC_ENGINE__STATE__DIR": job.directory,
            "SYNC_ENGINE__WORKER__BATCH_RECORDS": str(job.batch_records),
            **further,
        }
    )


if __name__ == "__main__":
    run(engine)
