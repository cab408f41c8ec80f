"""A worker's local store is a view of its changelogs, whatever it finds of an earlier one."""

import random
import shutil

import pytest

from sync_engine.runtime.store import RocksStore
from tests.chaos.catalogue import Departments
from tests.chaos.judge import assert_nothing_is_lost
from tests.chaos.world import World

pytestmark = pytest.mark.broker


def test_a_store_is_rebuilt_from_nothing_and_from_an_older_copy(world: World) -> None:
    departments = Departments(random.Random(6), keys=30)
    worker = world.worker().start()
    world.feed(departments.say(150))
    world.drained()
    worker.stop()
    older = world.folder / "older"
    shutil.copytree(worker.folder, older)
    worker.start()
    world.feed(departments.say(150))
    assert_nothing_is_lost(world)

    for found in (None, older):
        shutil.rmtree(worker.folder)
        if found is not None:
            found.rename(worker.folder)
        before = len(worker.said("restored"))
        worker.start()
        for _ in range(world.partitions):
            worker.wait("assigned")
        assert_nothing_is_lost(world)
        restored = [int(line.split()[1]) for line in worker.said("restored")[before:]]
        assert min(restored) > 0


def test_a_store_that_has_seen_more_than_there_is_was_of_another_log_and_is_wiped(world: World) -> None:
    departments = Departments(random.Random(7), keys=10)
    worker = world.worker().start()
    world.feed(departments.say(60))
    world.drained()
    worker.stop()
    end = world.offsets.list_ends([(world.state, 0)])[world.state, 0]
    store = RocksStore(worker.folder / "0")
    store.write({b"ghost": b"\x93\xc0\xc0\xc0"}, {world.state: end + 1})
    store.close()

    worker.start()
    world.feed(departments.say(60))

    assert_nothing_is_lost(world)
