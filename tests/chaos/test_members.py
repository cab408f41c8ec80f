"""Two workers of one stage: a partition changes hands while a batch is in hand, and a frozen worker wakes up too late."""

import random
import signal
import time

import pytest

from tests.chaos.catalogue import Departments
from tests.chaos.judge import assert_nothing_is_lost
from tests.chaos.lane import DECIDED, EXIT_RESTART, OFFSETS_SENT, PRODUCED
from tests.chaos.world import SESSION_MS, Worker, World

pytestmark = pytest.mark.broker

CLEANUP_SECONDS = 1.0
"""The broker looks for transactions that are over their time this often."""
SLACK_SECONDS = 5.0
"""For a process to start on a loaded machine."""


@pytest.mark.parametrize("step", [DECIDED, PRODUCED, OFFSETS_SENT])
def test_a_second_member_joins_while_a_batch_is_in_hand_and_leaves_again(world: World, step: str) -> None:
    departments = Departments(random.Random(9), keys=20)
    first, second = world.worker("first").start(), world.worker("second")
    world.feed(departments.say(40))
    world.drained()
    first.trap(step)
    world.feed(departments.say(100))
    first.wait(f"at {step}")

    second.start().wait("started")
    world.until("both are members", lambda: world.members() == 2)
    assert second.partitions == set(), "nothing may be another's while a batch is in hand"
    first.tell("go-on")
    second.wait("assigned")
    world.feed(departments.say(100))

    world.drained()
    assert (len(first.partitions), len(second.partitions)) == (1, 1)
    second.stop()
    world.feed(departments.say(100))

    assert_nothing_is_lost(world)


@pytest.mark.parametrize("step", [PRODUCED, OFFSETS_SENT])
def test_a_worker_frozen_in_its_transaction_is_refused_when_it_wakes_up(world: World, step: str) -> None:
    """Its successor waits for the session, and for what the transaction may last: both are SESSION_MS here, and begin together."""
    departments = Departments(random.Random(10), keys=20)
    frozen, successor = _frozen_at(world, step, departments), world.worker("successor")
    began = time.monotonic()
    successor.start().wait("committed")
    assert time.monotonic() - began < SESSION_MS / 1000 + CLEANUP_SECONDS + SLACK_SECONDS
    world.feed(departments.say(100))
    world.drained()

    _thaw(frozen)
    assert frozen.ends() == EXIT_RESTART, frozen.describe()
    world.feed(departments.say(50))

    assert len(frozen.said("must-restart")) == 1
    assert successor.partitions == {0, 1}
    assert_nothing_is_lost(world)


def test_a_worker_frozen_before_its_transaction_is_refused_and_joins_again(world: World) -> None:
    departments = Departments(random.Random(11), keys=20)
    frozen, successor = _frozen_at(world, DECIDED, departments), world.worker("successor")
    successor.start().wait("committed")
    world.drained()

    _thaw(frozen)
    frozen.wait("aborted")
    frozen.wait("assigned")
    world.feed(departments.say(100))

    world.drained()
    assert (len(frozen.partitions), len(successor.partitions)) == (1, 1)
    assert_nothing_is_lost(world)


def _frozen_at(world: World, step: str, departments: Departments) -> Worker:
    frozen = world.worker("frozen").start()
    world.feed(departments.say(40))
    world.drained()
    frozen.trap(step)
    world.feed(departments.say(100))
    frozen.wait(f"at {step}")
    frozen.signal(signal.SIGSTOP)
    frozen.is_let_go = True
    return frozen


def _thaw(worker: Worker) -> None:
    """It goes on where it stood, as if nothing had happened."""
    worker.tell("go-on")
    worker.signal(signal.SIGCONT)
