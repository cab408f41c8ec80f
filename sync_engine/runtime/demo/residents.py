"""People as 公安, 人社, 民政, 卫健 and 教育 know them."""

from collections.abc import Iterator
from datetime import date, timedelta

from sync_engine.runtime.demo.people import FIRST, REGION, TODAY, Person, person
from sync_engine.runtime.demo.rows import Rows

HUOSHAN = "341525"
FEIXI = "340123"
ADULT_YEARS = 22  # a man's age to marry: who is that old also works and may represent a legal person
_ADULTS_BORN_BY = TODAY.replace(year=TODAY.year - ADULT_YEARS)  # the first people all are
RETIRED_YEARS = 60
UNMARRIED, MARRIED, DIVORCED = "10", "20", "40"  # GB/T 2261.2
HUI = "回族"
_ETHNICITY_CODES = {"汉族": "01", HUI: "03"}  # GB/T 3304
_SEX_IN_WORDS = {"1": "男", "2": "女"}
_SEX_LETTERS = {"1": "M", "2": "F"}
# By employment (AAC016): employed, unemployed, retired → insurance (AAC008): paying, suspended, ended.
INSURANCE = {"1": "1", "2": "2", "3": "3"}

RESIDENT = ("rybh", "gmsfhm", "xm", "xb", "csrq", "mz", "swbz", "hyzk", "hjqh", "hjdz", "qrrq", "lxdh")
INSURED = ("aac001", "aac002", "aac003", "aac004", "aac006", "aae005", "aab004", "aac008", "aac049", "aac016")
GRADUATE = ("certificate_no", "id_card", "level", "graduated_on")
MARRIAGE = ("jlbh", "nan_sfz", "nan_xm", "nv_sfz", "nv_xm", "djlx", "djrq")
ASSISTANCE = ("jzbh", "sfzh", "xm", "jzlb", "ksrq")
BIRTH = ("zmbh", "sfzh", "xm", "xb", "csrq")
DEATH = ("zmbh", "sfzh", "xm", "swrq", "zt")
HUOSHAN_RESIDENT = (
    "id", "sfzh", "xingming", "xingbie", "chusheng", "minzu", "zhuangtai", "huji_qh", "huji_dz", "qianru", "shouji",
)  # fmt: skip
FEIXI_RESIDENT = (
    "resident_id", "id_no", "full_name", "gender", "birthday", "nation", "alive", "area_code", "address", "moved_in", "phone",
)  # fmt: skip


def of_jinan(numbers: range, seed: int) -> Iterator[Rows]:
    """What the departments of 金安区 and 教育厅 hold about these people; couples are found among them only."""
    people = [person(number, seed) for number in numbers]
    married = couples(people)
    status = {one.number: DIVORCED if is_divorced(man) else MARRIED for man, woman in married for one in (man, woman)}
    tables = (
        Rows("jinan/public_security", "hj.t_czrk", RESIDENT, [resident(one, status.get(one.number, UNMARRIED)) for one in people]),
        Rows("jinan/human_resources", "si.ac01", INSURED, [_insured(one) for one in people if is_insured(one)]),
        Rows("anhui/education", "edu.graduate", GRADUATE, [graduate(one) for one in people if is_graduate(one)]),
        Rows("jinan/civil_affairs", "mz.hydj_jl", MARRIAGE, [_marriage(man, woman) for man, woman in married]),
        Rows("jinan/civil_affairs", "mz.shjz", ASSISTANCE, [_assistance(one) for one in people if is_assisted(one)]),
        Rows("jinan/exchange_front", "wj.csyxzm", BIRTH, [birth(one) for one in people if one.birth_date.year > 2015]),
        Rows("jinan/exchange_front", "wj.swzm", DEATH, [_death(one) for one in people if is_dead(one)]),
    )
    yield from (rows for rows in tables if rows.rows)


def of_huoshan(numbers: range, seed: int) -> Rows:
    people = [person(number, seed, HUOSHAN) for number in numbers]
    return Rows("huoshan/public_security", "ga.rkxx", HUOSHAN_RESIDENT, [huoshan_resident(one.number, one) for one in people])


def of_feixi(numbers: range, seed: int) -> Rows:
    people = [person(number, seed, FEIXI) for number in numbers]
    return Rows("feixi/public_security", "pop.resident", FEIXI_RESIDENT, [feixi_resident(one.number, one) for one in people])


def huoshan_resident(row: int, one: Person) -> tuple[object, ...]:
    return (
        row,
        one.id_number,
        one.name,
        _SEX_IN_WORDS[one.sex],
        one.birth_date,
        _ETHNICITY_CODES[_ethnicity(one)],
        "死亡" if is_dead(one) else "正常",
        HUOSHAN,
        one.address,
        one.moved_in_on,
        one.mobile,
    )


def feixi_resident(row: int, one: Person) -> tuple[object, ...]:
    return (
        row,
        one.id_number,
        one.name,
        _SEX_LETTERS[one.sex],
        one.birth_date,
        _ETHNICITY_CODES[_ethnicity(one)],
        0 if is_dead(one) else 1,
        FEIXI,
        one.address,
        one.moved_in_on,
        one.mobile,
    )


def is_adult(one: Person) -> bool:
    return one.birth_date <= _ADULTS_BORN_BY


def is_dead(one: Person) -> bool:
    """One of a hundred; none of the first people, whom the demo's changes and the tests are about."""
    return one.number % 100 == 50 and one.number > FIRST


def couples(people: list[Person]) -> list[tuple[Person, Person]]:
    """A third of the living adults, men and women of about one age."""
    adults = sorted((one for one in people if is_adult(one) and not is_dead(one)), key=lambda one: one.birth_date)
    men = [one for one in adults if one.sex == "1"]
    women = [one for one in adults if one.sex == "2"]
    pairs = list(zip(men, women, strict=False))
    wanted = len(adults) // 6
    # Spread over all ages.
    return [pairs[index * len(pairs) // wanted] for index in range(min(wanted, len(pairs)))]


def is_divorced(man: Person) -> bool:
    return man.number % 12 == 5


def resident(one: Person, marital_status: str) -> tuple[object, ...]:
    return (
        one.number,
        one.id_number,
        one.name,
        one.sex,
        one.birth_date,
        _ethnicity(one),
        "1" if is_dead(one) else "0",
        marital_status,
        REGION,
        one.address,
        one.moved_in_on,
        one.mobile,
    )


def _ethnicity(one: Person) -> str:
    return HUI if one.number % 50 == 49 and one.number > FIRST else "汉族"


def is_insured(one: Person) -> bool:
    return one.number % 4 != 0 and is_adult(one) and not is_dead(one)


def _insured(one: Person) -> tuple[object, ...]:
    employment = _employment(one)
    employer = one.employer if employment == "1" else None
    return (
        one.number,
        one.id_number,
        one.name,
        one.sex,
        one.birth_date,
        one.mobile,
        employer,
        INSURANCE[employment],
        one.insured_since,
        employment,
    )


def _employment(one: Person) -> str:
    if one.number <= FIRST:  # all at work: the demo and the tests change their employers
        return "1"
    if one.birth_date.year + RETIRED_YEARS < TODAY.year:
        return "3"
    return "2" if one.number % 20 == 7 else "1"


def is_graduate(one: Person) -> bool:
    return one.number % 3 == 0 and is_adult(one)


def graduate(one: Person) -> tuple[object, ...]:
    return f"AH{one.number:08d}", one.id_number, "BACHELOR", one.birth_date.replace(year=one.birth_date.year + 22, day=1)


def _marriage(man: Person, woman: Person) -> tuple[object, ...]:
    of_age = max(man.birth_date, woman.birth_date) + timedelta(days=ADULT_YEARS * 366)
    return man.number, man.id_number, man.name, woman.id_number, woman.name, "L" if is_divorced(man) else "J", _between(of_age, man)


def is_assisted(one: Person) -> bool:
    return one.number % 100 in (3, 36, 69)


def _assistance(one: Person) -> tuple[object, ...]:
    return one.number, one.id_number, one.name, f"0{one.number // 100 % 4 + 1}", _between(max(one.birth_date, date(2015, 1, 1)), one)


def birth(one: Person) -> tuple[object, ...]:
    return f"C{one.number:09d}", one.id_number, one.name, one.sex, one.birth_date


def _death(one: Person) -> tuple[object, ...]:
    return f"D{one.number:09d}", one.id_number, one.name, _between(max(one.birth_date, date(2010, 1, 1)), one), "1"


def _between(first: date, one: Person) -> date:
    """A day from `first` on, not later than today; the same one whenever it is asked for."""
    return min(first, TODAY) + timedelta(days=one.number * 389 % max((TODAY - first).days, 1))
