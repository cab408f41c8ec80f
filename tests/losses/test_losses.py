"""Bare Faust acknowledges records that have had no effect, in seven ways; the engine's lane meets the same, and nothing is lost.

For each loss two tests: what faust-streaming 0.15.3 does as its guide has one write it (a record is *acknowledged* when its group has
committed past it), and the engine's lane behind a Faust application. Should a test of bare Faust fail after an upgrade: good news.
"""

import random
import shutil
import signal
import time
from collections.abc import Callable

import pytest

from sync_engine.runtime.localstack import LocalStack
from tests.chaos.catalogue import Departments
from tests.chaos.judge import assert_nothing_is_lost
from tests.chaos.lane import DECIDED, PRODUCED, SPOIL
from tests.chaos.world import KILLED, Worker, World
from tests.losses.bare import BATCH, REQUEST_TIMEOUT_SECONDS
from tests.losses.bare_run import BareRun, number

pytestmark = pytest.mark.broker

Make = Callable[[str], BareRun]
OUTAGE_SECONDS = 2 * REQUEST_TIMEOUT_SECONDS
KEYS = 300
"""Of M7 and M8, all different: where one is overwritten often, its last value hides the loss of the others."""


def engine(world: World, **orders: object) -> Worker:
    return world.worker(module="tests.losses.engine", **orders)


# --- M1: the agent raises ---


def test_m1_bare_faust_never_comes_back_to_a_record_whose_agent_raised(bare: Make) -> None:
    run = bare("M1")
    run.feed(number(each) for each in range(12))
    run.start().acknowledges(12)
    assert run.effects() == set(range(12)) - {7}


def test_m1_the_engine_puts_a_record_aside_that_its_stage_raises_at(world: World) -> None:
    departments = Departments(random.Random(21), keys=10)
    engine(world, stumbles_over="marked").start()
    world.feed([*departments.say(40), ("marked", departments.claim("here/police/t", "[7]")), *departments.say(40)])
    logs = assert_nothing_is_lost(world, dead=1)
    assert [letter.key for letter in logs.dead] == [
        f"{record.topic}/{record.partition}/{record.offset}".encode() for record in logs.claims if record.key == b"marked"
    ]


# --- M2: stopped in the middle of a record, `stream_wait_empty` off ---


def test_m2_bare_faust_acknowledges_the_record_that_a_stop_interrupts(bare: Make) -> None:
    run = bare("M2")
    run.feed(number(each) for each in range(5))
    run.start().works()
    run.signal(signal.SIGTERM)
    run.acknowledges(3)
    assert run.effects() == {0, 1}


def test_m2_the_engine_ends_its_batch_or_gives_it_back_when_it_is_stopped(world: World) -> None:
    departments = Departments(random.Random(22), keys=10)
    worker = engine(world).start()
    world.feed(departments.say(40))
    world.drained()
    worker.trap(PRODUCED)
    world.feed(departments.say(60))
    worker.wait(f"at {PRODUCED}")
    worker.signal(signal.SIGTERM)
    worker.tell("go-on")
    assert worker.ends() == 0, worker.describe()
    worker.start()
    assert_nothing_is_lost(world)


# --- M3: `concurrency` above 1, the first record is slow, kill -9 ---


def test_m3_bare_faust_acknowledges_a_record_that_is_still_in_work(bare: Make) -> None:
    run = bare("M3")
    run.feed(number(each) for each in range(40))
    run.start().works()
    run.acknowledges(40)
    run.signal(signal.SIGKILL)
    assert run.effects() == set(range(1, 40))


def test_m3_the_engine_acknowledges_nothing_behind_a_record_in_work(world: World) -> None:
    departments = Departments(random.Random(23), keys=10)
    worker = engine(world).start()
    world.feed(departments.say(40))
    world.drained()
    before = world.offsets.group_offsets(world.group)
    worker.trap(PRODUCED)
    world.feed(departments.say(100))
    worker.wait(f"at {PRODUCED}")
    assert world.offsets.group_offsets(world.group) == before
    worker.signal(signal.SIGKILL)
    assert worker.ends() == KILLED
    worker.start()
    assert_nothing_is_lost(world)


# --- M4: a batch fails as a whole ---


def test_m4_bare_faust_never_comes_back_to_a_batch_whose_agent_raised(bare: Make) -> None:
    run = bare("M4")
    run.feed(number(each) for each in range(3 * BATCH))
    run.start().acknowledges(3 * BATCH)
    lost = set(range(3 * BATCH)) - run.effects()
    assert lost >= {0}
    assert lost == set(range(len(lost))), "the whole first batch, however many it took"


def test_m4_the_engine_takes_a_batch_again_that_failed(world: World) -> None:
    departments = Departments(random.Random(24), keys=10)
    worker = engine(world).start()
    world.feed(departments.say(40))
    world.drained()
    worker.trap(DECIDED, SPOIL)
    world.feed(departments.say(100))
    worker.wait("aborted")
    assert_nothing_is_lost(world)


# --- M7, M8: the broker is away for longer than a request may take ---


def test_m7_m8_an_outage_of_the_broker(bare: Make, world: World, broker: LocalStack, record_property: Callable[[str, int], None]) -> None:
    """One outage for the three: an agent that sends, an agent that keeps a table, and the engine, which then lacks its local store."""
    sends, keeps = bare("M7"), bare("M8")
    departments = Departments(random.Random(27), keys=50)
    worker = engine(world, batch_records=10).start()
    for run in (sends, keeps):
        run.feed(number(each) for each in range(KEYS))
        run.start()
    world.feed(departments.say(40))
    world.drained()
    for run in (sends, keeps):
        run.works()
    worker.trap(PRODUCED)
    world.feed(departments.say(KEYS))
    worker.wait(f"at {PRODUCED}")

    broker.process("kafka").kill()
    worker.tell("go-on")
    for run in (sends, keeps):
        run.go_on()
    time.sleep(OUTAGE_SECONDS)  # nothing is waited for: this is how long the broker is away
    broker.restart("kafka")

    for run in (sends, keeps):
        run.acknowledges(KEYS)
        lost = set(range(KEYS)) - run.effects()
        assert lost, f"{run.orders.case}: an outage of {OUTAGE_SECONDS:g} s cost nothing"
        record_property(f"bare Faust lost by {run.orders.case}, of {KEYS}", len(lost))
    world.drained()
    worker.kill()
    shutil.rmtree(worker.folder)
    worker.start()
    world.feed(departments.say(20))
    assert_nothing_is_lost(world)


# --- M9: records that cannot be decoded ---


def test_m9_bare_faust_drops_what_it_cannot_decode(bare: Make) -> None:
    run = bare("M9")
    good = [number(each) for each in range(10)]
    run.feed([*good[:5], b'{"number": ', b"{}", b"", *good[5:]])
    run.start().acknowledges(13)
    assert run.effects() == set(range(10)), "and nobody has the other three"


def test_m9_the_engine_puts_aside_what_it_cannot_decode(world: World) -> None:
    departments = Departments(random.Random(29), keys=10)
    bad = [(b"K1", b'{"number": '), (b"K1", b"{}"), (b"K1", b"")]
    engine(world).start()
    world.feed(departments.say(20))
    world.feed_bytes(bad)
    world.feed(departments.say(20))
    logs = assert_nothing_is_lost(world, dead=3)
    assert [world.codec.decode(letter.value or b"")[1]["value"] for letter in logs.dead] == [value for _, value in bad]
