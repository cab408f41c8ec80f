"""The sample's world: what its rows promise about each other, without any server."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import sync_engine.runtime.demo
from sync_engine import declared
from sync_engine.ingest.identifiers import is_resident_id, is_uscc
from sync_engine.runtime.demo.people import people, person
from sync_engine.runtime.demo.rows import SLICE
from sync_engine.runtime.demo.world import counties, world
from tests.oracle.rows import left_out_of

PEOPLE = 20_000
TABLES = Path(sync_engine.runtime.demo.__file__).parent / "tables"
Table = list[dict[str, Any]]


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    made: dict[str, Table] = {}
    for rows in world(PEOPLE):
        made.setdefault(rows.table, []).extend(dict(zip(rows.columns, row, strict=True)) for row in rows.rows)
    return made


def _declared() -> Iterator[tuple[str, str, dict[str, str], str]]:
    """(database, table, type of each column, primary key), as the DDL of the departments says."""
    for file in TABLES.glob("*/*.sql"):
        if file.parent.name == "targets":
            continue
        for table, body in re.findall(r"CREATE TABLE (\S+) \((.*?)\);", file.read_text(), re.DOTALL):
            columns = dict(re.findall(r"(\w+) ((?:var)?char\(\d+\)|(?:numeric|decimal)\(\d+,\d+\)|\w+(?:\(\d\))?)", body))
            key = re.search(r"(\w+) \S+ PRIMARY KEY", body)
            assert key
            yield f"{file.parent.name}/{file.stem}", table, columns, key[1]


@cache
def _sizes(type_: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", type_)]


def _fits(value: object, type_: str) -> bool:
    if value is None:
        return True
    numbers = _sizes(type_)
    if "char" in type_:
        return isinstance(value, str) and (len(value) == numbers[0] if type_.startswith("char") else len(value) <= numbers[0])
    if type_.startswith(("numeric", "decimal")):
        return isinstance(value, Decimal) and value < 10 ** (numbers[0] - numbers[1]) and round(value, numbers[1]) == value
    limits = {"bigint": 2**63, "integer": 2**31, "smallint": 2**15, "tinyint(1)": 2}
    if type_ in limits:
        return isinstance(value, int) and 0 <= value < limits[type_]
    return isinstance(value, {"date": date, "text": str}[type_])


def test_every_table_is_filled_with_rows_that_fit_it(tables: dict[str, Table]) -> None:
    databases = {(rows.database, rows.table) for rows in world(2_000)}
    declared = list(_declared())
    assert databases == {(database, table) for database, table, _, _ in declared}
    for _, table, types, key in declared:
        keys = [row[key] for row in tables[table]]
        assert len(keys) == len(set(keys)), table
        for row in tables[table]:
            assert [column for column, value in row.items() if not _fits(value, types[column])] == [], table


def test_identifiers_are_valid_and_no_two_share_one(tables: dict[str, Table]) -> None:
    residents = [row["gmsfhm"] for row in tables["hj.t_czrk"]]
    residents += [row["sfzh"] for row in tables["ga.rkxx"]] + [row["id_no"] for row in tables["pop.resident"]]
    assert len(set(residents)) == len(residents) == PEOPLE and all(map(is_resident_id, residents))
    organisations = [row["shxydm"] for row in tables["gs.nsr"]]
    assert len(set(organisations)) == len(organisations) == PEOPLE // 20 + 2 * (PEOPLE // 200) and all(map(is_uscc, organisations))
    assert all(len(row["zddm"]) == 19 for row in tables["gt.zd"])


def test_no_row_breaks_what_the_catalogue_demands() -> None:
    declarations = declared.read()
    sources = {(source.id.rpartition("/")[0], source.table): source for source in declarations.sources.values()}
    blank = {source.id: dict.fromkeys(source.columns) for source in sources.values()}
    rows: dict[str, Table] = {source.id: [] for source in sources.values()}
    for made in world(3_000):
        source = sources[made.database, made.table]
        rows[source.id] += [blank[source.id] | dict(zip(made.columns, row, strict=True)) for row in made.rows]
    assert left_out_of(declared.shipped(), rows) == []


def test_identification_numbers_of_a_day_of_birth_do_not_run_into_each_other() -> None:
    """Rounds through the days: people who would be the first to share a day, and the last there is room for."""
    days = 31_397
    numbers = [*range(1, 3_000), *range(days - 500, days + 3_000), *range(9_387_000, 9_387_703)]
    ids = [person(number).id_number for number in numbers]
    assert len(set(ids)) == len(ids) and all(map(is_resident_id, ids))
    sequence = [int(id_[14:17]) // 2 for id_ in ids]  # the first people are born on any day: no later one may have their digits
    assert max(sequence[:200]) < min(sequence[200:])
    with pytest.raises(ValueError, match="9387703"):
        person(9_387_704)


def test_the_same_seed_makes_the_same_rows_and_another_others() -> None:
    assert list(world(1_500, 3)) == list(world(1_500, 3))
    one, other = list(world(1_500, 3)), list(world(1_500, 4))
    assert all(a != b for a, b in zip(one, other, strict=True))


def test_the_first_people_are_those_of_the_demo(tables: dict[str, Table]) -> None:
    assert [row["gmsfhm"] for row in tables["hj.t_czrk"][:300]] == [one.id_number for one in people(300)]
    first = people(1)[0]  # as it was before there were millions
    assert (first.id_number, first.name) == ("341502196201200030", "周宇")


def test_slices_are_small_and_the_first_does_not_wait_for_the_rest() -> None:
    started = time.monotonic()
    first = next(world(5_000_000))
    assert time.monotonic() - started < 2 and len(first.rows) == SLICE
    assert all(0 < len(rows.rows) <= SLICE and len(rows.rows[0]) == len(rows.columns) for rows in world(12_345))


@pytest.mark.parametrize("count", [0, 1, 7, 19, 20, 99, 250])
def test_a_small_world_is_a_world(count: int) -> None:
    made = Counter[str]()
    for rows in world(count):
        made[rows.table] += len(rows.rows)
    assert (made["hj.t_czrk"], made["ga.rkxx"], made["pop.resident"]) == counties(count)


def test_marriages_are_of_residents_and_the_police_say_the_same(tables: dict[str, Table]) -> None:
    police = {row["gmsfhm"]: row for row in tables["hj.t_czrk"]}
    registered: dict[str, str] = {}
    for row in tables["mz.hydj_jl"]:
        man, woman = police[row["nan_sfz"]], police[row["nv_sfz"]]
        assert (man["xb"], woman["xb"]) == ("1", "2") and (man["xm"], woman["xm"]) == (row["nan_xm"], row["nv_xm"])
        assert row["djrq"].year - max(man["csrq"], woman["csrq"]).year >= 22
        for one in (man, woman):
            assert one["gmsfhm"] not in registered
            registered[one["gmsfhm"]] = {"J": "20", "L": "40"}[row["djlx"]]
    assert {id_: row["hyzk"] for id_, row in police.items()} == {id_: registered.get(id_, "10") for id_ in police}
    adults = sum(row["csrq"].year < 2004 for row in police.values())
    assert 0.31 < len(registered) / adults < 0.35 and set(registered.values()) == {"20", "40"}


def test_departments_agree_on_people(tables: dict[str, Table]) -> None:
    police = {row["gmsfhm"]: row for row in tables["hj.t_czrk"]}
    for table, id_, name in (
        ("si.ac01", "aac002", "aac003"),
        ("mz.shjz", "sfzh", "xm"),
        ("wj.csyxzm", "sfzh", "xm"),
        ("wj.swzm", "sfzh", "xm"),
    ):
        assert all(police[row[id_]]["xm"] == row[name] for row in tables[table]), table
    assert {row["sfzh"] for row in tables["wj.swzm"]} == {id_ for id_, row in police.items() if row["swbz"] == "1"}
    assert {row["sfzh"] for row in tables["wj.csyxzm"]} == {id_ for id_, row in police.items() if row["csrq"].year > 2015}
    assert all(row["swrq"] >= police[row["sfzh"]]["csrq"] for row in tables["wj.swzm"])
    assert len(tables["mz.shjz"]) == len(police) * 3 // 100 and {row["jzlb"] for row in tables["mz.shjz"]} == {"01", "02", "03", "04"}
    assert {row["aac016"] for row in tables["si.ac01"]} == {"1", "2", "3"}
    assert all(row["id_card"] in police for row in tables["edu.graduate"])


def test_departments_agree_on_legal_persons(tables: dict[str, Table]) -> None:
    police = {row["gmsfhm"]: row for row in tables["hj.t_czrk"]}
    taxpayers = {row["shxydm"]: row for row in tables["gs.nsr"]}
    ended = {row["uniscid"]: row["regstate"] == "3" for row in tables["scjg.qy_jbxx"]}
    assert len(ended) == PEOPLE // 20 and {row["regstate"] for row in tables["scjg.qy_jbxx"]} == {"1", "2", "3"}
    for table, uscc, name, address in (
        ("scjg.qy_jbxx", "uniscid", "entname", "dom"),
        ("scjg.zzjgdm", "tyshxydm", "jgmc", "jgdz"),
        ("ds.nsrxx", "xydm", "mc", "dz"),
        ("mz.shzz", "tyshxydm", "zzmc", "zs"),
        ("bb.jgsydw", "tyshxydm", "dwmc", "dz"),
    ):
        for row in tables[table]:
            tax = taxpayers[row[uscc]]
            assert (row[name], row[address]) == (tax["nsrmc"], tax["scjydz"]), table
    assert all(taxpayers[row["aab998"]]["nsrmc"] == row["aab004"] for row in tables["si.ab01"])
    assert all(row["jgdm"] == row["tyshxydm"][8:17] for row in tables["scjg.zzjgdm"])
    ended |= {row["tyshxydm"]: row["djzt"] == "9" for row in tables["mz.shzz"]}
    ended |= {row["tyshxydm"]: row["zt"] == "撤销" for row in tables["bb.jgsydw"]}
    assert {uscc: row["nsrzt"] == "05" for uscc, row in taxpayers.items()} == ended
    assert all((row["zt"] == "注销") == ended[row["xydm"]] for row in tables["ds.nsrxx"])
    for table, id_, name in (("scjg.qy_jbxx", "cerno", "lerep"), ("mz.shzz", "fddbr_sfz", "fddbr"), ("bb.jgsydw", "fddbr_sfz", "fddbr")):
        assert all(police[row[id_]]["xm"] == row[name] and police[row[id_]]["swbz"] == "0" for row in tables[table]), table


def test_land_uses_agree_and_buildings_stand_on_parcels(tables: dict[str, Table]) -> None:
    use = {row["zddm"]: row["zdyt"] for row in tables["gt.zd"]}
    assert len(use) == PEOPLE * 3 // 100 and set(use.values()) == {"0701", "0501", "0601", "0801"}
    assert {row["zddm"]: row["tdyt"] for row in tables["gh.ydgh"]} == use == {row["zddm"]: row["yt"] for row in tables["js.sgxk"]}
    assert {row["zddm"] for row in tables["js.jzw"]} <= set(use)
