"""Synthetic people with valid identification numbers. Seeded: the same seed makes the same people. No real person is meant."""

import random
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from sync_engine.ingest.identifiers import resident_check

REGION = "341502"
# The day on which the sample's world stands still: nothing in it is later.
TODAY = date(2026, 10, 31)
# The first people are drawn one after the other; those after them each for themselves, so that any of millions is at hand at once.
FIRST = 200
_OLDEST = date(1940, 1, 1)
_DAYS = 31_397  # of birth, of those after the first people: to the end of 2025; a prime, so that every step visits every day
_STEP = 7_919
_LAST = _DAYS * (499 - FIRST)
_FAMILY = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰宁建国文博宇轩子涵欣怡"
STREETS = ("皖西路", "人民路", "解放路", "梅山路", "梅山南路", "长安路", "佛子岭路", "磨子潭路")
_EMPLOYERS = ("六安市第一中学", "金安区人民医院", "六安钢铁控股集团", "皖西日报社", "金安区实验小学", "六安市公交集团")


@dataclass(frozen=True)
class Person:
    number: int
    id_number: str
    name: str
    sex: str
    birth_date: date
    address: str
    moved_in_on: date
    mobile: str
    employer: str
    insured_since: date


def people(count: int, seed: int = 1) -> list[Person]:
    """`count` different people of 金安区."""
    return [person(number, seed) for number in range(1, count + 1)]


def person(number: int, seed: int = 1, region: str = REGION) -> Person:
    """One of the people of a county; different numbers (from 1 on) or regions are people with different identification numbers."""
    if not 1 <= number <= _LAST:
        raise ValueError(f"people are numbered from 1 to {_LAST}, there is no {number}")
    if region == REGION and number <= FIRST:
        return _first_people(seed)[number - 1]
    chance = random.Random(f"{seed}/{region}/{number}")  # noqa: S311  (synthetic data, nothing secret)
    # Each round through the days takes the next sequence digits; none takes those of the first people.
    round_, turn = divmod(number - 1, _DAYS)
    born = _OLDEST + timedelta(days=(turn * _STEP + seed * 101 + round_) % _DAYS)
    return _drawn(number, region, born, FIRST + 1 + round_, chance)


@lru_cache(maxsize=4)
def _first_people(seed: int) -> list[Person]:
    chance = random.Random(seed)  # noqa: S311  (synthetic data, nothing secret)
    return [
        _drawn(number, REGION, date(1950, 1, 1) + timedelta(days=chance.randrange(20_000)), number, chance)
        for number in range(1, FIRST + 1)
    ]


def _drawn(number: int, region: str, born: date, sequence: int, chance: random.Random) -> Person:
    """`sequence`: of 1 to 499, tells people of one day of birth apart."""
    sex = chance.choice("12")
    # The parity of the sequence digits tells the sex.
    first = f"{region}{born:%Y%m%d}{sequence * 2 + (1 if sex == '1' else 0):03d}"
    return Person(
        number,
        first + resident_check(first),
        chance.choice(_FAMILY) + "".join(chance.sample(_GIVEN, chance.choice((1, 2)))),
        sex,
        born,
        f"{chance.choice(STREETS)}{chance.randrange(1, 400)}号{chance.randrange(1, 30)}栋{chance.randrange(101, 1800)}室",
        min(born + timedelta(days=chance.randrange(365, 7000)), TODAY),
        f"1{chance.choice('356789')}{chance.randrange(10**9):09d}",
        chance.choice(_EMPLOYERS),
        max(date(2000, 1, 1) + timedelta(days=chance.randrange(9_000)), born + timedelta(days=16 * 366)),
    )
