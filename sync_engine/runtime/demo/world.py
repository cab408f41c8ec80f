"""The rows of the sample network's departments for any number of people: pure and seeded, in slices, so millions need no memory.

In the bulk all departments agree. What one row holds depends on the seed and its number only, so a part of the world is found again
without making what comes before it.
"""

from collections.abc import Iterator

from sync_engine.runtime.demo import land, organisations, residents
from sync_engine.runtime.demo.rows import SLICE, Rows, slices

_NEIGHBOUR_PERCENT = 10


def world(people: int, seed: int = 1) -> Iterator[Rows]:
    """All rows of a world of `people` people; no Rows holds more than SLICE rows or none, and a table comes in many of them."""
    jinan, huoshan, feixi = counties(people)
    for numbers in slices(jinan, SLICE):
        yield from residents.of_jinan(numbers, seed)
    for numbers in slices(huoshan, SLICE):
        yield residents.of_huoshan(numbers, seed)
    for numbers in slices(feixi, SLICE):
        yield residents.of_feixi(numbers, seed)
    for kind in organisations.KINDS:
        for numbers in slices(people // kind.people_for_one, SLICE):
            yield from organisations.registered(kind, numbers, jinan, seed)
    for numbers in slices(people * 3 // 100, SLICE // land.MOST_BUILDINGS):
        yield from land.parcels(numbers, seed)


def counties(people: int) -> tuple[int, int, int]:
    """How many of them live in 金安区, 霍山县 and 肥西县; each county numbers its own from 1 on."""
    huoshan = feixi = people * _NEIGHBOUR_PERCENT // 100
    return people - huoshan - feixi, huoshan, feixi
