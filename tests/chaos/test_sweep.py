"""A sweep over more keys than one slice is interrupted between its slices; it goes on, and no record hears of it twice."""

import random
import shutil

import pytest

from sync_engine.resolve.stage import SLICE_KEYS, SWEEP_PREFIX
from tests.chaos.catalogue import Departments
from tests.chaos.judge import assert_nothing_is_lost, read_all
from tests.chaos.lane import COMMITTED, FLUSH_AND_KILL, KILL
from tests.chaos.world import KILLED, World

pytestmark = pytest.mark.broker

KEYS = SLICE_KEYS * 2 + 200
SWEEPS = {"here/school/t": "kept", "here/social/t": "older", "here/police/t": "gone"}
"""Each ends a slot of every record, and is interrupted; what of the local store outlives that."""


@pytest.mark.parametrize("world", [1], indirect=True)
def test_sweeps_interrupted_between_slices_end_as_the_oracle_says(world: World) -> None:
    departments = Departments(random.Random(8), keys=KEYS)
    worker = world.worker(batch_records=1_000).start()
    for source in SWEEPS:
        world.feed((f"K{number}", departments.claim(source, f"[{number}]")) for number in range(KEYS))
    world.drained()
    worker.flush()
    for source, store in SWEEPS.items():
        worker.trap(COMMITTED, FLUSH_AND_KILL if store == "kept" else KILL, skip=1)
        world.feed_sweep(source, (1, 1, departments.lsn + 1, 0, 0))
        assert worker.ends() == KILLED, f"in the second slice of {source}"
        if store == "gone":
            shutil.rmtree(worker.folder)
        worker.start()
        world.until(f"the sweep of {source} done", lambda source=source: is_swept(world, source))

    logs = assert_nothing_is_lost(world)
    assert len(logs.golden) >= KEYS * (1 + len(SWEEPS))


def is_swept(world: World, source: str) -> bool:
    state = read_all(world, [world.state])[world.state]
    return any(record.key == SWEEP_PREFIX + source.encode() and record.headers for record in state)
