"""Synthetic people with valid identification numbers. Seeded: the same seed makes the same people. No real person is meant."""

import random
from dataclasses import dataclass
from datetime import date, timedelta

from sync_engine.ingest.identifiers import resident_check

REGION = "341502"
_FAMILY = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰宁建国文博宇轩子涵欣怡"
_STREETS = ("皖西路", "人民路", "解放路", "梅山路", "梅山南路", "长安路", "佛子岭路", "磨子潭路")
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
    chance = random.Random(seed)  # noqa: S311  (synthetic data, nothing secret)
    return [_person(number, chance) for number in range(1, count + 1)]


def _person(number: int, chance: random.Random) -> Person:
    born = date(1950, 1, 1) + timedelta(days=chance.randrange(20_000))
    sex = chance.choice("12")
    # The sequence digits: number, with the parity that tells the sex; unique within a day of birth for the counts used here.
    sequence = (number % 500) * 2 + (1 if sex == "1" else 0)
    first = f"{REGION}{born:%Y%m%d}{sequence:03d}"
    return Person(
        number,
        first + resident_check(first),
        chance.choice(_FAMILY) + "".join(chance.sample(_GIVEN, chance.choice((1, 2)))),
        sex,
        born,
        f"{chance.choice(_STREETS)}{chance.randrange(1, 400)}号{chance.randrange(1, 30)}栋{chance.randrange(101, 1800)}室",
        born + timedelta(days=chance.randrange(365, 7000)),
        f"1{chance.choice('356789')}{chance.randrange(10**9):09d}",
        chance.choice(_EMPLOYERS),
        date(2000, 1, 1) + timedelta(days=chance.randrange(9_000)),
    )
