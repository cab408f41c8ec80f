"""The engine's side: its loop, its log on Kafka and its store on disk, as a worker's lane runs them."""

import time
from collections.abc import Sequence
from pathlib import Path

from sync_engine.model.outcome import DeadLetter
from sync_engine.runtime.clock import SystemClock
from sync_engine.runtime.kafka import KafkaLog
from sync_engine.runtime.loop import BatchLoop
from sync_engine.runtime.store import RocksStore
from sync_engine.topology import group_of, resolve_stage
from tests.bench.catalogue import ENTITY, declarations, read_entry
from tests.bench.codec import new_codec
from tests.bench.job import GIVE_UP_SECONDS, Job, Measured, Stopwatch, run


class Committed:
    """A `Watch` that counts."""

    def __init__(self) -> None:
        self.records = 0

    def committed(self, stage: str, records: int, emits: int, letters: Sequence[DeadLetter]) -> None:
        assert not letters, f"the bench has no bad data, yet: {letters[0].reason} {letters[0].detail}"
        self.records += records

    def aborted(self, stage: str) -> None:
        raise AssertionError("a batch was aborted: the run is void")

    def restored(self, stage: str, records: int) -> None:
        return


def engine(job: Job) -> Measured:
    declared = declarations(read_entry(), job.node)
    codec = new_codec(declared)
    stage = resolve_stage(declared, job.node, ENTITY, 0, codec)
    group = group_of(job.node, stage.name)
    log = KafkaLog(job.bootstrap, group, f"{group}.0")
    counted, watch = Committed(), Stopwatch()
    loop = BatchLoop(
        job.node,
        stage,
        log,
        codec,
        lambda partition: RocksStore(Path(job.directory) / str(partition)),
        SystemClock(),
        counted,
        batch_records=job.batch_records,
    )
    loop.start()
    give_up = time.monotonic() + GIVE_UP_SECONDS
    while counted.records < job.changes and time.monotonic() < give_up:
        records = loop.take()
        if records and not watch.running:
            watch.begin()
        loop.process(records)
    measured = watch.end(counted.records)
    loop.close()
    return measured


if __name__ == "__main__":
    run(engine)
