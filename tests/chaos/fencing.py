"""Split brain, again and again (R22): the owner of a partition is frozen past its session, another takes over, the owner wakes up.

A world has two members with a partition each, who are frozen in turn. Its judgement at the end is by the oracle, record by record: one
stale overwrite is a version too many. Several worlds blow at once, since most of a trial is waiting for the session.
"""

import random
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.chaos.catalogue import Departments
from tests.chaos.judge import Logs, assert_nothing_is_lost
from tests.chaos.lane import DECIDED, EXIT_RESTART, OFFSETS_SENT, PRODUCED
from tests.chaos.world import Worker, World

STEPS = (DECIDED, PRODUCED, OFFSETS_SENT)


def run_trials(worlds: Sequence[World], trials: int, seed: int, passed: Callable[[], None] = lambda: None) -> list[Logs]:
    """`trials` over all the worlds. Calls `passed`, in any thread, after each; raises what a world's judgement raises."""
    shares = [trials // len(worlds) + (number < trials % len(worlds)) for number in range(len(worlds))]
    with ThreadPoolExecutor(len(worlds)) as pool:
        seeds = range(seed, seed + len(worlds))
        return list(pool.map(lambda world, share, its_seed: _trials(world, share, its_seed, passed), worlds, shares, seeds))


def _trials(world: World, trials: int, seed: int, passed: Callable[[], None]) -> Logs:
    chance = random.Random(seed)
    departments = Departments(random.Random(seed), keys=20)
    pair = [world.worker(name).start() for name in ("one", "two")]
    for number in range(trials):
        _until_shared(world, pair)
        owner, other = pair[number % 2], pair[1 - number % 2]
        _trial(world, departments, owner, other, chance.choice(STEPS))
        passed()
    return assert_nothing_is_lost(world)


def _trial(world: World, departments: Departments, owner: Worker, other: Worker, step: str) -> None:
    owner.is_let_go = True
    owner.trap(step)
    world.feed(departments.say(60))
    owner.wait(f"at {step}")
    owner.signal(signal.SIGSTOP)
    world.until("another owns the partition", lambda: other.partitions == {0, 1})
    world.feed(departments.say(60))
    world.drained()  # the new owner has written over what the frozen one has in hand

    owner.tell("go-on")
    owner.signal(signal.SIGCONT)
    if step == DECIDED:
        owner.wait("aborted")
    else:
        assert owner.ends() == EXIT_RESTART, owner.describe()
        owner.start()
    owner.is_let_go = False


def _until_shared(world: World, pair: Sequence[Worker]) -> None:
    world.until("each has a partition", lambda: all(len(worker.partitions) == 1 for worker in pair))
