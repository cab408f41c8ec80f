"""Values of the bench entity's items, of the lengths that such data has. Invented: they name nobody."""

import random
from collections.abc import Callable
from typing import Any

SURNAMES, GIVEN = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗", "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂英华玉建国文斌"
CITIES, ROADS = ["六安市金安区", "六安市霍山县", "合肥市肥西县", "合肥市蜀山区"], ["皖西大道", "梅山南路", "长江西路", "潜台路", "金寨南路"]
TRADES, SCHOOLS = (
    ["机械制造", "农业科技发展", "建筑安装工程", "供应链管理", "医疗器械"],
    ["皖西学院", "安徽大学", "合肥工业大学", "第一中学"],
)

SCOPES = ["预包装食品销售", "农副产品收购及初加工", "日用百货零售", "五金交电批发兼零售", "建筑装饰材料经销", "普通货物道路运输"]
SCOPES_OF_ONE = 28
"""So many of them make a row one of 1 KB."""


def _date(chance: random.Random) -> str:
    return f"{chance.randrange(1990, 2026)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"


def _address(chance: random.Random) -> str:
    road, number = chance.choice(ROADS), chance.randrange(1, 2000)
    return (
        f"安徽省{chance.choice(CITIES)}{road}街道{road}{number}号{chance.randrange(1, 40)}幢{chance.randrange(1, 4)}单元{number % 3000}室"
    )


_NEW: dict[str, Callable[[random.Random], Any]] = {
    "name": lambda chance: chance.choice(SURNAMES) + "".join(chance.choices(GIVEN, k=2)),
    "sex": lambda chance: chance.choice("12"),
    "birth_date": _date,
    "ethnicity": lambda chance: f"{chance.randrange(1, 57):02}",
    "life_status": lambda chance: chance.choice("123"),
    "residence_region": lambda chance: chance.choice(["341502", "341525", "340123", "340104"]),
    "residence_address": _address,
    "moved_in_on": _date,
    "household_number": lambda chance: f"{chance.randrange(10**9):09}",
    "mobile": lambda chance: f"1{chance.randrange(3 * 10**9, 10**10):010}" if chance.random() > 0.05 else None,
    "employer": lambda chance: f"安徽省{chance.choice(TRADES)}第{chance.randrange(10**4)}有限责任公司",
    "insurance_status": lambda chance: chance.choice("1234"),
    "insured_since": _date,
    "contribution_months": lambda chance: chance.randrange(480),
    "on_pension": lambda chance: chance.random() < 0.2,
    "education_level": lambda chance: chance.choice(["10", "21", "31", "61", "71"]),
    "graduated_on": _date,
    "business_scope": lambda chance: "；".join(chance.choices(SCOPES, k=SCOPES_OF_ONE)),
    "school": lambda chance: chance.choice(SCHOOLS) + f"{chance.randrange(60)}院",
}


def new_value(item: str, chance: random.Random) -> Any:
    return _NEW[item](chance)


def values_of(key: str) -> dict[str, Any]:
    """Of a new record: at first every department says the same of the items that it knows."""
    own = random.Random(key)
    return {item: new(own) for item, new in _NEW.items()}
