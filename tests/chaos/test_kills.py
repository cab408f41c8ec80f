"""A worker is killed at a step, and another goes on: with all that it had written on disk, with an older copy, with nothing."""

import random
import shutil

import pytest

from tests.chaos.catalogue import Departments
from tests.chaos.judge import assert_nothing_is_lost
from tests.chaos.lane import COMMITTED, DECIDED, FLUSH_AND_KILL, KILL, OFFSETS_SENT, PRODUCED, RESTORING, Trap
from tests.chaos.world import KILLED, World

pytestmark = pytest.mark.broker


@pytest.mark.parametrize("step", [DECIDED, PRODUCED, OFFSETS_SENT, COMMITTED])
def test_a_worker_killed_at_a_step_loses_nothing(world: World, step: str) -> None:
    departments = Departments(random.Random(1), keys=20)
    worker = world.worker().start()
    for keeps_its_store in (True, False):
        world.feed(departments.say(60))
        world.drained()
        worker.trap(step, FLUSH_AND_KILL if keeps_its_store else KILL, skip=1)
        world.feed(departments.say(100))
        assert worker.ends() == KILLED
        if not keeps_its_store:
            shutil.rmtree(worker.folder)
        worker.start()
    assert_nothing_is_lost(world)


@pytest.mark.parametrize("action", [FLUSH_AND_KILL, KILL])
def test_a_worker_killed_in_the_middle_of_its_restore_loses_nothing(world: World, action: str) -> None:
    """It had read a part of what it missed over an older store; with the flush that part is on disk, without it the store is the older."""
    departments = Departments(random.Random(2), keys=20)
    worker = world.worker().start()
    world.feed(departments.say(100))
    world.drained()
    worker.flush()
    older = worker.folder.rename(worker.folder.with_name("older"))
    world.feed(departments.say(150))
    world.drained()
    worker.kill()
    shutil.rmtree(worker.folder, ignore_errors=True)
    older.rename(worker.folder)

    worker.start(Trap(RESTORING, action, skip=3))
    assert worker.ends() == KILLED
    worker.start()
    world.feed(departments.say(50))

    assert_nothing_is_lost(world)
