"""The resolve stage in batches, with aborts and restarts between them: what it has written must end as the oracle says."""

import random
from itertools import pairwise
from typing import Any

from hypothesis import given

from tests.engine_adapter import FIRST_VERSION
from tests.oracle.claims import canonical, content_of, digest, finding_id, findings_of
from tests.properties.histories import ARRIVALS, CAPTURED, SCOPED, UNREADABLE, arrange, claims_of, operations, play, steps_of, sweeps_of
from tests.properties.lane import Lane
from tests.properties.worlds import KEYS, World, worlds


@given(worlds(), operations(CAPTURED + UNREADABLE + SCOPED), ARRIVALS)
def test_batches_aborts_and_restarts_leave_what_the_oracle_says(world: World, operations_: list[Any], arrival: tuple[str, int]) -> None:
    events = arrange(play(world, operations_).events, arrival)
    lane = Lane(world)
    lane.run(events, random.Random(arrival[1]))
    for key in KEYS:
        claims, sweeps = claims_of(steps_of(events, key)), sweeps_of(steps_of(events, key))
        content = content_of(world.entity, world.class_of, key, claims, sweeps)
        goldens = lane.goldens(key)
        assert (goldens[-1].content.canonical() if goldens else None) == (None if content is None else canonical(content))
        assert content is None or goldens[-1].digest == digest(content)
        assert [golden.version for golden in goldens] == list(range(FIRST_VERSION, FIRST_VERSION + len(goldens)))
        assert all(one.digest != other.digest for one, other in pairwise(goldens))
        found = findings_of(world.entity, world.class_of, key, claims, sweeps)
        assert lane.standing(key) == {finding_id(world.entity["entity"], key, one) for one in found}


@given(worlds(), operations(CAPTURED + UNREADABLE + SCOPED), ARRIVALS)
def test_a_restart_and_a_replay_from_the_beginning_write_nothing(world: World, operations_: list[Any], arrival: tuple[str, int]) -> None:
    events = play(world, operations_).events
    lane, chance = Lane(world), random.Random(arrival[1])
    lane.run(events, chance)
    lane.restart(chance)
    written = len(lane.log)
    lane.run(arrange(events, arrival), chance)
    assert lane.log[written:] == []
