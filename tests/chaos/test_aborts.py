"""What fails within a process, which goes on: a transaction that is given up, a question after a commit, a bug in the stage."""

import random

import pytest

from tests.chaos.catalogue import Departments
from tests.chaos.judge import assert_nothing_is_lost
from tests.chaos.lane import ASKING_ENDS, DECIDED, FAIL, SPOIL
from tests.chaos.world import World

pytestmark = pytest.mark.broker


def test_a_batch_that_cannot_be_produced_comes_again_and_work_goes_on(world: World) -> None:
    departments = Departments(random.Random(3), keys=10)
    worker = world.worker().start()
    for _ in range(3):
        worker.trap(DECIDED, SPOIL, skip=1)
        world.feed(departments.say(100))
        worker.wait(f"at {DECIDED}")
        worker.wait("weather")
        worker.wait("committed 25")
        world.drained()

    assert len(worker.said("aborted")) == 3
    assert_nothing_is_lost(world)


def test_a_failure_after_the_commit_does_not_undo_it_in_the_local_store(world: World) -> None:
    """The broker goes away right after a commit, when the loop asks it how far its changelogs reach now."""
    departments = Departments(random.Random(4), keys=5)
    worker = world.worker().start()
    for _ in range(world.partitions):
        worker.wait("assigned")
    worker.trap(ASKING_ENDS, FAIL)
    world.feed(departments.say(50))
    worker.wait(f"at {ASKING_ENDS}")
    world.feed(departments.say(50))

    assert_nothing_is_lost(world)


def test_an_unforeseen_exception_becomes_a_dead_letter_and_the_stream_goes_on(world: World) -> None:
    departments = Departments(random.Random(5), keys=10)
    claim = departments.claim("here/police/t", "[7]")
    claim["cells"]["name"] = {"value": "never to be logged"}
    worker = world.worker(stumbles_over="marked").start()
    world.feed([*departments.say(40), ("marked", claim), *departments.say(40), ("marked", claim)])

    logs = assert_nothing_is_lost(world, dead=2)

    fed = [record for record in logs.claims if record.key == b"marked"]
    for record, letter in zip(fed, logs.dead, strict=True):
        said = world.codec.decode(letter.value or b"")[1]
        assert letter.key == f"{world.claims}/{record.partition}/{record.offset}".encode()
        assert (said["topic"], said["partition"], said["offset"]) == (world.claims, record.partition, record.offset)
        assert (said["reason"], said["key"], said["value"]) == ("bug", b"marked", record.value)
        assert said["detail"].startswith("ValueError at lane.py:")
    logged = worker.log.read_text() + "\n".join(worker.said(""))
    assert "kind=ValueError at lane.py:" in logged.replace("\x1b[0m", "").replace("'", ""), logged
    assert "never to be logged" not in logged
    assert "marked" not in logged
