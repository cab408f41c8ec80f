"""Two workers, thousands of claims, and whatever chance does to the workers meanwhile.

SYNC_CHAOS_SECONDS: how long it blows, for a drill. SYNC_CHAOS_SEED: what chance decides, to see a run again (as far as time allows).
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.chaos.catalogue import Departments
from tests.chaos.judge import assert_nothing_is_lost
from tests.chaos.lane import COMMITTED, DECIDED, FLUSH_AND_KILL, KILL, OFFSETS_SENT, PRODUCED, RESTORING, Trap
from tests.chaos.world import SESSION_MS, Worker, World

pytestmark = pytest.mark.broker

STORM_SECONDS = float(os.environ.get("SYNC_CHAOS_SECONDS", "20"))
STEPS = (DECIDED, PRODUCED, OFFSETS_SENT, COMMITTED, RESTORING)


def test_a_storm_of_kills_and_freezes_loses_nothing(world: World, record_property: Callable[[str, int], None]) -> None:
    seed = int(os.environ.get("SYNC_CHAOS_SEED") or time.time_ns() % 1_000_000)
    print(f"SYNC_CHAOS_SEED={seed} SYNC_CHAOS_SECONDS={STORM_SECONDS:g}")
    chance = random.Random(seed)
    departments = Departments(random.Random(seed), keys=100)
    storm = Storm(chance, [world.worker(name, batch_records=20).start() for name in ("one", "two")])
    ends_at = time.monotonic() + STORM_SECONDS
    while time.monotonic() < ends_at:
        world.feed(departments.say(chance.randint(20, 120)))
        storm.blow()
        time.sleep(chance.uniform(0.1, 0.6))  # how fast it blows: nothing is waited for
    storm.calm()

    logs = assert_nothing_is_lost(world)
    print(f"{len(logs.claims)} claims, {len(logs.golden)} versions; {storm.done}")
    for what, count in {"claims": len(logs.claims), "versions": len(logs.golden), **storm.done}.items():
        record_property(what, count)


@dataclass
class Storm:
    chance: random.Random
    workers: list[Worker]
    frozen: dict[str, float] = field(default_factory=dict)
    """Instance -> when it is thawed."""
    done: dict[str, int] = field(default_factory=dict)

    def blow(self) -> None:
        for worker in self.workers:
            instance = worker.orders.instance
            if not worker.running:
                self._restart(worker)
            elif instance in self.frozen:
                if time.monotonic() > self.frozen[instance]:
                    self._thaw(worker)
            elif self.chance.random() < 0.2:
                self.chance.choice((self._kill, self._freeze))(worker)

    def calm(self) -> None:
        """All run that were frozen; whoever is dead, or steps into a trap yet, is started again by the world."""
        for worker in self.workers:
            if worker.orders.instance in self.frozen:
                self._thaw(worker)

    def _kill(self, worker: Worker) -> None:
        self._count("kills")
        worker.kill()

    def _freeze(self, worker: Worker) -> None:
        self._count("freezes")
        self.frozen[worker.orders.instance] = time.monotonic() + self.chance.uniform(0.2, 2.2 * SESSION_MS / 1000)
        worker.signal(signal.SIGSTOP)

    def _thaw(self, worker: Worker) -> None:
        del self.frozen[worker.orders.instance]
        worker.signal(signal.SIGCONT)

    def _restart(self, worker: Worker) -> None:
        self._count(f"restarts after exit code {worker.ends()}")
        if self.chance.random() < 0.3:
            self._count("stores lost")
            shutil.rmtree(worker.folder, ignore_errors=True)
        traps = []
        if self.chance.random() < 0.4:
            traps = [Trap(self.chance.choice(STEPS), self.chance.choice((KILL, FLUSH_AND_KILL)), self.chance.randrange(6))]
        worker.start(*traps)

    def _count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1
