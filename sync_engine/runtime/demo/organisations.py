"""Legal persons as 市场监管, 民政, 编办, 国税, 地税 and 人社 know them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sync_engine.ingest.identifiers import USCC_ALPHABET, uscc_check
from sync_engine.runtime.demo.people import REGION, STREETS, Person, person
from sync_engine.runtime.demo.residents import is_adult, is_dead
from sync_engine.runtime.demo.rows import Rows

ACTIVE, REVOKED, DEREGISTERED = "1", "2", "3"
_ORGANISATION_CODES = 31**6
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)  # GB 11714
_BRAND = "皖安大别淠河梅山金裕红松青竹明达兴隆瑞丰恒泰永盛宏图"
_TRADES = ("商贸", "建材", "茶业", "农业科技", "物流", "餐饮管理", "机械制造", "信息技术")
_CAUSES = ("志愿者协会", "茶叶行业协会", "养老服务中心", "书画研究会")
_OFFICES = ("中心小学", "卫生院", "水利管理站", "文化馆")


@dataclass(frozen=True)
class Kind:
    """A kind of legal person: its registrar and category open its USCC, `code` opens its organisation code."""

    name: str
    registrar: str
    category: str
    code: str
    people_for_one: int
    taxpayers_from: int
    states: tuple[str, ...]  # of every hundredth, from the last numbers down


ENTERPRISE = Kind("enterprise", "9", "1", "MA", 20, 0, (DEREGISTERED,) * 3 + (REVOKED,) * 2)
SOCIETY = Kind("society", "5", "1", "MJ", 200, 10**12, (DEREGISTERED,) * 3)
INSTITUTION = Kind("institution", "1", "2", "MB", 200, 2 * 10**12, (DEREGISTERED,))
KINDS = (ENTERPRISE, SOCIETY, INSTITUTION)


@dataclass(frozen=True)
class Organisation:
    kind: Kind
    number: int
    uscc: str
    name: str
    address: str
    state: str
    representative: Person
    registered_on: date


ENTERPRISE_COLUMNS = (
    "pripid", "uniscid", "entname", "lerep", "cerno", "dom", "domdistrict", "regcap", "regstate", "estdate", "apprdate",
)  # fmt: skip
ORGANISATION_CODE = ("id", "tyshxydm", "jgdm", "jgmc", "jgdz")
SOCIETY_COLUMNS = ("zzbh", "tyshxydm", "zzmc", "fddbr", "fddbr_sfz", "zs", "xzqh", "djzt", "djrq")
INSTITUTION_COLUMNS = ("bh", "tyshxydm", "dwmc", "fddbr", "fddbr_sfz", "dz", "xzqh", "zt", "slrq")
STATE_TAXPAYER = ("djxh", "shxydm", "nsrmc", "nsrsbh", "nsrzt", "scjydz")
LOCAL_TAXPAYER = ("id", "xydm", "mc", "sbh", "zt", "dz")
INSURED_UNIT = ("aab001", "aab998", "aab004", "aab051", "aab050")


def registered(kind: Kind, numbers: range, residents: int, seed: int) -> Iterator[Rows]:
    """What every department holds about these legal persons; `residents`: how many of 金安区 may represent them."""
    all_ = [organisation(kind, number, residents, seed) for number in numbers]
    if kind is ENTERPRISE:
        yield Rows("jinan/market_regulation", "scjg.qy_jbxx", ENTERPRISE_COLUMNS, [_enterprise(one) for one in all_])
        yield Rows("jinan/market_regulation", "scjg.zzjgdm", ORGANISATION_CODE, [_organisation_code(one) for one in all_])
        yield Rows("jinan/exchange_front", "ds.nsrxx", LOCAL_TAXPAYER, [_local_taxpayer(one) for one in all_])
        yield Rows("jinan/human_resources", "si.ab01", INSURED_UNIT, [_insured_unit(one) for one in all_])
    elif kind is SOCIETY:
        yield Rows("jinan/civil_affairs", "mz.shzz", SOCIETY_COLUMNS, [_society(one) for one in all_])
    else:
        yield Rows("jinan/exchange_front", "bb.jgsydw", INSTITUTION_COLUMNS, [_institution(one) for one in all_])
    yield Rows("jinan/exchange_front", "gs.nsr", STATE_TAXPAYER, [_state_taxpayer(one) for one in all_])


def organisation(kind: Kind, number: int, residents: int, seed: int) -> Organisation:
    """One of a kind, numbered from 1 on."""
    uscc = _uscc(kind, number, seed)
    turn = 99 - (number - 1) % 100
    return Organisation(
        kind,
        number,
        uscc,
        _name(kind, number),
        f"六安市金安区{STREETS[(number + seed) % len(STREETS)]}{number * 7 % 600 + 1}号",
        kind.states[turn] if turn < len(kind.states) else ACTIVE,
        _representative(kind, number, residents, seed),
        date(2000, 1, 1) + timedelta(days=number * 1_553 % 8_000),
    )


def _uscc(kind: Kind, number: int, seed: int) -> str:
    """Different numbers of a kind have different ones: the step and the count of codes have no common divisor."""
    rest = (number * 7_368_787 + seed * 1_009) % _ORGANISATION_CODES
    letters = ""
    for _ in range(6):
        rest, value = divmod(rest, 31)
        letters = USCC_ALPHABET[value] + letters
    code = kind.code + letters
    first = kind.registrar + kind.category + REGION + code + _organisation_check(code)
    return first + uscc_check(first)


def _organisation_check(first_8: str) -> str:
    """GB 11714: letters count from A = 10 on."""
    total = sum(int(character, 36) * weight for character, weight in zip(first_8, _ORGANISATION_WEIGHTS, strict=True))
    return "0123456789X0"[11 - total % 11]


def _name(kind: Kind, number: int) -> str:
    brand = "".join(_BRAND[number // len(_BRAND) ** place % len(_BRAND)] for place in range(4 if number >= len(_BRAND) ** 3 else 3))
    if kind is ENTERPRISE:
        return f"六安市{brand}{_TRADES[number % len(_TRADES)]}有限公司"
    return f"金安区{brand}{(_CAUSES if kind is SOCIETY else _OFFICES)[number % 4]}"


def _representative(kind: Kind, number: int, residents: int, seed: int) -> Person:
    """A living adult of 金安区. The first people are adults, so one is found."""
    turn = number * 13 + int(kind.registrar)
    while is_dead(one := person(turn % residents + 1, seed)) or not is_adult(one):
        turn += 1
    return one


def _enterprise(one: Organisation) -> tuple[object, ...]:
    return (
        f"341502{one.number:012d}",
        one.uscc,
        one.name,
        one.representative.name,
        one.representative.id_number,
        one.address,
        REGION,
        Decimal(one.number * 37 % 990 + 10).quantize(Decimal("0.000001")),
        one.state,
        one.registered_on,
        one.registered_on + timedelta(days=one.number * 211 % 900),
    )


def _organisation_code(one: Organisation) -> tuple[object, ...]:
    return one.number, one.uscc, one.uscc[8:17], one.name, one.address


def _society(one: Organisation) -> tuple[object, ...]:
    state = "9" if one.state == DEREGISTERED else "1"
    return one.number, one.uscc, one.name, *_representative_and_seat(one), state, one.registered_on


def _institution(one: Organisation) -> tuple[object, ...]:
    state = "撤销" if one.state == DEREGISTERED else "正常"
    return one.number, one.uscc, one.name, *_representative_and_seat(one), state, one.registered_on


def _representative_and_seat(one: Organisation) -> tuple[str, str, str, str]:
    return one.representative.name, one.representative.id_number, one.address, REGION


def _state_taxpayer(one: Organisation) -> tuple[object, ...]:
    # A revoked licence does not end the duty to pay tax.
    state = "05" if one.state == DEREGISTERED else "03"
    return one.kind.taxpayers_from + one.number, one.uscc, one.name, one.uscc, state, one.address


def _local_taxpayer(one: Organisation) -> tuple[object, ...]:
    return one.number, one.uscc, one.name, one.uscc, "注销" if one.state == DEREGISTERED else "正常", one.address


def _insured_unit(one: Organisation) -> tuple[object, ...]:
    return one.number, one.uscc, one.name, "1" if one.state == ACTIVE else "3", one.registered_on + timedelta(days=30)
