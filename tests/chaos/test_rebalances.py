"""Workers come and go, one to four of them, while claims come in: nothing is lost, and no partition is left lying.

For a drill: SYNC_REBALANCES so many comings and goings, of whom SYNC_CHAOS_SEED decides.
"""

import os
import random
from collections.abc import Callable

import pytest

from tests.chaos.catalogue import Departments
from tests.chaos.judge import assert_nothing_is_lost
from tests.chaos.world import PATIENCE_SECONDS, World

pytestmark = pytest.mark.broker

SEED = int(os.environ.get("SYNC_CHAOS_SEED", "1"))
CHANGES = int(os.environ.get("SYNC_REBALANCES", "8"))
NAMES = ("one", "two", "three", "four")


@pytest.mark.parametrize("world", [4], indirect=True)
def test_workers_that_come_and_go_leave_no_partition_lying(world: World, record_property: Callable[[str, int], None]) -> None:
    chance, departments = random.Random(SEED), Departments(random.Random(SEED), keys=100)
    workers = {name: world.worker(name) for name in NAMES}
    workers["one"].start()
    for _ in range(CHANGES):
        world.feed(departments.say(200))
        before = ends(world)
        running = [name for name in NAMES if workers[name].running]
        name = chance.choice(running if len(running) == len(NAMES) else [one for one in NAMES if one not in running or len(running) > 1])
        if name not in running:
            workers[name].is_let_go = False
            workers[name].start().wait("started")
        else:
            chance.choice((workers[name].stop, workers[name].kill))()
            workers[name].is_let_go = True
        world.feed(departments.say(chance.randrange(50, 200)))
        # While the next is on its way, what there was before this one is passed everywhere.
        world.until("every partition goes on", lambda ends=before: passed(world, ends), PATIENCE_SECONDS)  # type: ignore[misc]
    assert_nothing_is_lost(world)
    record_property("comings and goings", CHANGES)
    record_property("claims", world.fed)


def ends(world: World) -> dict[tuple[str, int], int]:
    return dict(world.offsets.list_open_ends([(world.claims, partition) for partition in range(world.partitions)]))


def passed(world: World, ends: dict[tuple[str, int], int]) -> bool:
    for worker in world.workers.values():
        worker.tend()
    at = world.offsets.group_offsets(world.group)
    return all(at.get(place, 0) >= end for place, end in ends.items())
