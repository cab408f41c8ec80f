"""What happens in the sample's world after its rows were loaded: pure and seeded, every event as the departments' clerks would write it.

Whoever an event ends or changes for good is in that one only, so each finds the rows as `world` made them; some people and enterprises are
kept for events that may come again and again, so these never end. Once an event is through, departments agree as before.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count, islice
from typing import Any, NamedTuple, TypeVar

from sync_engine.ingest.identifiers import resident_check
from sync_engine.runtime.demo import residents
from sync_engine.runtime.demo.organisations import ACTIVE, ENTERPRISE, INSTITUTION, Organisation, organisation, registered
from sync_engine.runtime.demo.people import REGION, TODAY, Person, person
from sync_engine.runtime.demo.rows import SLICE, Rows, slices
from sync_engine.runtime.demo.world import counties

POLICE, INSURANCE = "jinan/public_security", "jinan/human_resources"
MARRIAGES, MARKET, EXCHANGE = "jinan/civil_affairs", "jinan/market_regulation", "jinan/exchange_front"
HUOSHAN, FEIXI = "huoshan/public_security", "feixi/public_security"
# Rows that events make are numbered from here on, beyond all that `world` numbers.
MADE = 10**13
CLASS, LUNCH = 8, 20

T = TypeVar("T")
Statement = tuple[str, tuple[Any, ...]]


class Transaction(NamedTuple):
    database: str
    statements: list[Statement]  # with %s for every parameter; the parameters of COPY are the rows
    commit: bool = True  # False: to be rolled back
    outlasts: int = 0  # so many transactions that come later are committed before this one


class Event(NamedTuple):
    kind: str
    transactions: list[Transaction]  # in this order


def events(people: int, seed: int = 1) -> Iterator[Event]:
    """What happens in `world(people, seed)`: without end, where anybody lives. A kind ends when nobody it needs is left."""
    chance = random.Random(f"events/{seed}")  # noqa: S311  (synthetic data, nothing secret)
    cast = _Cast(people, seed)
    kinds = list(_KINDS)
    while kinds:
        kind = chance.choices(kinds, [_KINDS[kind][0] for kind in kinds])[0]
        try:
            transactions = _KINDS[kind][1](cast)
        except StopIteration:
            kinds.remove(kind)
        else:
            yield Event(kind, transactions)


class _Cast:
    """Who is free for an event. `next` of any of them raises StopIteration when nobody is left."""

    def __init__(self, people: int, seed: int) -> None:
        self.people = people
        self.seed = seed
        self.jinan = counties(people)[0]
        self.made = count(MADE)
        self.couples = self._couples()
        self.single_men = self._singles(lambda one: one.sex == "1" and not _is_insured(one))
        self.single_women = self._singles(lambda one: one.sex == "2" and not _is_insured(one))
        # Nobody is insured whose number is divisible by four.
        self.insured = self._singles(lambda one: _is_insured(one) and one.number % 4 == 1)
        self.steady = _again_and_again(lambda: self._singles(lambda one: _is_insured(one) and one.number % 4 == 2))
        self.patient = _again_and_again(lambda: self._singles(lambda one: _is_insured(one) and one.number % 4 == 3))
        beyond = (person(number, seed) for number in count(self.jinan + 1))
        self.newborn = (one for one in beyond if one.birth_date.year == TODAY.year - 1 and not residents.is_dead(one))
        self.new_enterprises = count(people // ENTERPRISE.people_for_one + 1) if self.jinan else iter(())
        self.enterprises = (one for one in self._enterprises() if one.number % 2)
        self.steady_enterprises = _again_and_again(lambda: (one for one in self._enterprises() if not one.number % 2))
        self.corrected: set[str] = set()

    def _slices(self) -> Iterator[list[Person]]:
        return ([person(number, self.seed) for number in numbers] for numbers in slices(self.jinan, SLICE))

    def _couples(self) -> Iterator[tuple[Person, Person]]:
        for people in self._slices():
            yield from (pair for pair in residents.couples(people) if not residents.is_divorced(pair[0]))

    def _singles(self, fits: Callable[[Person], bool]) -> Iterator[Person]:
        for people in self._slices():
            taken = {one.number for pair in residents.couples(people) for one in pair}
            for one in people:
                if one.number not in taken and residents.is_adult(one) and not residents.is_dead(one) and fits(one):
                    yield one

    def _enterprises(self) -> Iterator[Organisation]:
        all_ = (
            organisation(ENTERPRISE, number, self.jinan, self.seed) for number in range(1, self.people // ENTERPRISE.people_for_one + 1)
        )
        return (one for one in all_ if one.state == ACTIVE)


def _again_and_again(begin: Callable[[], Iterator[T]]) -> Iterator[T]:
    """Like itertools.cycle, which would keep them all."""
    any_left = True
    while any_left:
        any_left = False
        for one in begin():
            any_left = True
            yield one


def _is_insured(one: Person) -> bool:
    """Insured, and in no other register that an event would have to follow."""
    return residents.is_insured(one) and not residents.is_assisted(one)


def _birth(cast: _Cast) -> list[Transaction]:
    child = next(cast.newborn)
    return [
        Transaction(EXCHANGE, [_inserted("wj.csyxzm", residents.BIRTH, residents.birth(child))]),
        Transaction(POLICE, [_inserted("hj.t_czrk", residents.RESIDENT, residents.resident(child, residents.UNMARRIED))]),
    ]


def _marriage(cast: _Cast) -> list[Transaction]:
    man, woman = next(cast.single_men), next(cast.single_women)
    row = (next(cast.made), man.id_number, man.name, woman.id_number, woman.name, "J", TODAY)
    return [
        Transaction(MARRIAGES, [_inserted("mz.hydj_jl", residents.MARRIAGE, row)]),
        _marital_status(man, woman, residents.MARRIED),
    ]


def _divorce(cast: _Cast) -> list[Transaction]:
    man, woman = next(cast.couples)
    end = ("UPDATE mz.hydj_jl SET djlx = 'L', djrq = %s WHERE jlbh = %s", (TODAY, man.number))
    return [Transaction(MARRIAGES, [end]), _marital_status(man, woman, residents.DIVORCED)]


def _marital_status(man: Person, woman: Person, status: str) -> Transaction:
    return Transaction(POLICE, [("UPDATE hj.t_czrk SET hyzk = %s WHERE rybh = %s", (status, one.number)) for one in (man, woman)])


def _move(cast: _Cast) -> list[Transaction]:
    """金安区 → 霍山县 → 肥西县; a county strikes a person off when the next has taken them in."""
    one = next(cast.single_men)
    row = next(cast.made)
    in_huoshan = residents.huoshan_resident(row, replace(one, moved_in_on=TODAY))
    in_feixi = residents.feixi_resident(row, replace(one, moved_in_on=TODAY + timedelta(days=1)))
    return [
        Transaction(HUOSHAN, [_inserted("ga.rkxx", residents.HUOSHAN_RESIDENT, in_huoshan)]),
        Transaction(POLICE, [("DELETE FROM hj.t_czrk WHERE rybh = %s", (one.number,))]),
        Transaction(FEIXI, [_inserted("pop.resident", residents.FEIXI_RESIDENT, in_feixi)]),
        Transaction(HUOSHAN, [("DELETE FROM ga.rkxx WHERE id = %s", (row,))]),
    ]


def _job_change(cast: _Cast) -> list[Transaction]:
    one, enterprise = next(cast.steady), next(cast.steady_enterprises)
    change = "UPDATE si.ac01 SET aab004 = %s, aac008 = '1', aac016 = '1' WHERE aac001 = %s"
    return [Transaction(INSURANCE, [(change, (enterprise.name, one.number))])]


def _enterprise_change(cast: _Cast) -> list[Transaction]:
    one, turn = next(cast.steady_enterprises), next(cast.made)
    address = f"六安市金安区正阳路{turn % 9000 + 1}号"
    return [
        Transaction(
            MARKET,
            [
                ("UPDATE scjg.qy_jbxx SET dom = %s, apprdate = %s WHERE uniscid = %s", (address, TODAY, one.uscc)),
                ("UPDATE scjg.zzjgdm SET jgdz = %s WHERE id = %s", (address, one.number)),
            ],
        ),
        Transaction(
            EXCHANGE,
            [
                ("UPDATE gs.nsr SET scjydz = %s WHERE djxh = %s", (address, one.kind.taxpayers_from + one.number)),
                ("UPDATE ds.nsrxx SET dz = %s WHERE id = %s", (address, one.number)),
            ],
        ),
    ]


def _registration(cast: _Cast) -> list[Transaction]:
    """A new enterprise, from department to department."""
    number = next(cast.new_enterprises)
    transactions: dict[str, Transaction] = {}
    for rows in registered(ENTERPRISE, range(number, number + 1), cast.jinan, cast.seed):
        transaction = transactions.setdefault(rows.database, Transaction(rows.database, []))
        transaction.statements.extend(_inserted(rows.table, rows.columns, row) for row in rows.rows)
    return list(transactions.values())


def _deregistration(cast: _Cast) -> list[Transaction]:
    one = next(cast.enterprises)
    return [
        Transaction(MARKET, [("UPDATE scjg.qy_jbxx SET regstate = '3', apprdate = %s WHERE uniscid = %s", (TODAY, one.uscc))]),
        Transaction(
            EXCHANGE,
            [
                ("UPDATE gs.nsr SET nsrzt = '05' WHERE djxh = %s", (one.kind.taxpayers_from + one.number,)),
                ("UPDATE ds.nsrxx SET zt = '注销' WHERE id = %s", (one.number,)),
            ],
        ),
        Transaction(INSURANCE, [("UPDATE si.ab01 SET aab051 = '3' WHERE aab001 = %s", (one.number,))]),
    ]


def _correction(cast: _Cast) -> list[Transaction]:
    """A typo in the authority's own register, and its mend."""
    one = next(cast.steady)
    return [
        Transaction(POLICE, [("UPDATE hj.t_czrk SET xm = %s WHERE rybh = %s", (name, one.number))]) for name in (one.name[::-1], one.name)
    ]


def _disagreement(cast: _Cast) -> list[Transaction]:
    one = next(cast.steady)
    return [
        Transaction(INSURANCE, [("UPDATE si.ac01 SET aac003 = %s WHERE aac001 = %s", (name, one.number))])
        for name in (one.name + "某", one.name)
    ]


def _delete(cast: _Cast) -> list[Transaction]:
    return [Transaction(INSURANCE, [("DELETE FROM si.ac01 WHERE aac001 = %s", (next(cast.insured).number,))])]


def _primary_key_change(cast: _Cast) -> list[Transaction]:
    row = (next(cast.made), next(cast.insured).number)
    return [Transaction(INSURANCE, [("UPDATE si.ac01 SET aac001 = %s WHERE aac001 = %s", row)])]


def _corrected_identity_number(cast: _Cast) -> list[Transaction]:
    """To the sequence digits that `person` gives to nobody, one for each day of birth and sex."""
    one = next(one for one in cast.insured if _corrected(one) not in cast.corrected)
    right = _corrected(one)
    cast.corrected.add(right)
    return [
        Transaction(POLICE, [("UPDATE hj.t_czrk SET gmsfhm = %s WHERE rybh = %s", (right, one.number))]),
        Transaction(INSURANCE, [("UPDATE si.ac01 SET aac002 = %s WHERE aac001 = %s", (right, one.number))]),
        Transaction("anhui/education", [("UPDATE edu.graduate SET id_card = %s WHERE id_card = %s", (right, one.id_number))]),
    ]


def _corrected(one: Person) -> str:
    first = f"{REGION}{one.birth_date:%Y%m%d}{'001' if one.sex == '1' else '000'}"
    return first + resident_check(first)


def _refill(cast: _Cast) -> list[Transaction]:
    """编办 empties its small table and puts the same rows there again."""
    statements: list[Statement] = [("TRUNCATE bb.jgsydw", ())]
    for numbers in slices(cast.people // INSTITUTION.people_for_one, SLICE):
        table: Rows = next(rows for rows in registered(INSTITUTION, numbers, cast.jinan, cast.seed) if rows.table == "bb.jgsydw")
        statements += [_inserted(table.table, table.columns, row) for row in table.rows]
    return [Transaction(EXCHANGE, statements)]


def _copied(cast: _Cast) -> list[Transaction]:
    """The certificates of a class, loaded as one file: of people who have none yet."""
    graduates = [one for one in islice(cast.insured, CLASS) if not residents.is_graduate(one)]
    if not graduates:
        raise StopIteration
    rows = tuple(residents.graduate(one) for one in graduates)
    return [Transaction("anhui/education", [(f"COPY edu.graduate ({', '.join(residents.GRADUATE)}) FROM STDIN", rows)])]


def _long_transaction(cast: _Cast) -> list[Transaction]:
    """A clerk changes a mobile number, and goes to lunch before committing."""
    one, turn = next(cast.patient), next(cast.made)
    change = ("UPDATE si.ac01 SET aae005 = %s WHERE aac001 = %s", (f"139{turn % 10**8:08d}", one.number))
    return [Transaction(INSURANCE, [change], outlasts=LUNCH)]


def _rollback(cast: _Cast) -> list[Transaction]:
    one = next(cast.steady)
    return [Transaction(INSURANCE, [("UPDATE si.ac01 SET aac003 = %s WHERE aac001 = %s", (one.name + "误", one.number))], commit=False)]


def _inserted(table: str, columns: tuple[str, ...], row: tuple[Any, ...]) -> Statement:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})", row  # noqa: S608


# Kind of event: how often, and what is written.
_KINDS: dict[str, tuple[int, Callable[[_Cast], list[Transaction]]]] = {
    "birth": (10, _birth),
    "marriage": (10, _marriage),
    "divorce": (4, _divorce),
    "move": (8, _move),
    "job_change": (20, _job_change),
    "enterprise_change": (10, _enterprise_change),
    "registration": (4, _registration),
    "deregistration": (4, _deregistration),
    "correction": (6, _correction),
    "disagreement": (6, _disagreement),
    "delete": (4, _delete),
    "primary_key_change": (2, _primary_key_change),
    "corrected_identity_number": (3, _corrected_identity_number),
    "refill": (1, _refill),
    "copied": (1, _copied),
    "long_transaction": (2, _long_transaction),
    "rollback": (4, _rollback),
}
