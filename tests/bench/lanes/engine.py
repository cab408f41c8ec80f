"""The engine's side of a lane: a worker as `sync-engine run` starts it, with this one lane."""

import asyncio
import logging

import structlog

from tests.bench.catalogue import read_entry
from tests.bench.engine import Counting, work
from tests.bench.job import Job, Measured, run
from tests.bench.lanes.job import SECRET, LaneJob
from tests.bench.lanes.network import SUBSCRIBERS, network


class Acknowledged(Counting):
    """A delivery is done when it is acknowledged and that is committed."""

    def __init__(self, job: Job, finished: asyncio.Event) -> None:
        super().__init__(job, finished)
        self._acknowledged = 0

    def delivered(self, subscriber: str, acknowledged: bool, seconds: float) -> None:
        super().delivered(subscriber, acknowledged, seconds)
        self._acknowledged += acknowledged

    def done(self, records: int) -> int:
        return self._acknowledged


def engine(job: LaneJob) -> Measured:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    declared = network(read_entry(), job.node, job.partitions)
    if job.lane not in SUBSCRIBERS:
        return asyncio.run(work(job, declared, "ingest"))
    return asyncio.run(work(job, declared, f"deliver.{job.lane}", Acknowledged, **_subscriber(job)))


def _subscriber(job: LaneJob) -> dict[str, str]:
    section = f"SYNC_ENGINE__SUBSCRIBERS__{job.lane.upper()}__"
    if job.lane == "webhook":
        return {f"{section}URL": job.target, f"{section}SECRETS": '["${env:BENCH_SECRET}"]', "BENCH_SECRET": SECRET}
    return {f"{section}DATABASE_URL": "${env:BENCH_DATABASE}", "BENCH_DATABASE": job.target}


if __name__ == "__main__":
    run(engine, LaneJob)
