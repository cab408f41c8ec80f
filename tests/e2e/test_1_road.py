"""The road: what departments commit by SQL is what every node holds in the end and what the subscriber was told, whatever the SQL was."""

from datetime import date
from typing import Any

import pytest

from sync_engine.runtime.demo.people import Person
from tests.e2e.network import INSURANCE, PEOPLE, POLICE, SCHOOLS, Network, more_people
from tests.e2e.oracle_check import assert_all_hold_what_is_owed

pytestmark = pytest.mark.stack

RESIDENT = "INSERT INTO hj.t_czrk (rybh, gmsfhm, xm, xb, csrq, mz, hjqh, hjdz, qrrq, lxdh) VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)"
COLUMNS = "aac001, aac002, aac003, aac004, aac006, aae005, aab004, aac008, aac049, aae036"
INSURED = "INSERT INTO si.ac01 (aac001, aac002, aac003, aac004, aac006, aae005, aab004, aac008, aac049) VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s)"


def test_the_first_load_arrives(network: Network) -> None:
    assert_all_hold_what_is_owed(network)
    assert len(network.golden("anhui")) == len(network.subscriber.last) == PEOPLE


def test_ordinary_changes_arrive(network: Network) -> None:
    execute = network.execute
    execute(POLICE, "UPDATE hj.t_czrk SET hjdz = '梅山路1号', qrrq = '2026-01-05', mz = '回族' WHERE rybh BETWEEN 1 AND 20")
    execute(POLICE, "UPDATE hj.t_czrk SET swbz = '1' WHERE rybh = 1")
    execute(INSURANCE, "UPDATE si.ac01 SET aab004 = '六安市第二中学', aac008 = '2', aac049 = '2025-12-01' WHERE aac001 BETWEEN 5 AND 15")
    execute(POLICE, "UPDATE hj.t_czrk SET xm = NULL, hjdz = '  ', mz = NULL WHERE rybh = 21")
    execute(INSURANCE, "UPDATE si.ac01 SET aae005 = NULL, aab004 = NULL WHERE aac001 = 22")
    execute(INSURANCE, "UPDATE si.ac01 SET aae005 = '13900000000' WHERE aac001 = 22")
    one, two, three = more_people(3, PEOPLE + 1)
    with network.commit(POLICE) as police:
        for person in (one, two):
            police.execute(RESIDENT, resident_row(person))
    with network.commit(INSURANCE) as insurance:
        for person in (two, three):
            insurance.execute(INSURED, insured_row(person))
    # A department corrects what it had wrong, in two steps, and takes a third one back.
    execute(SCHOOLS, "UPDATE edu.graduate SET level = 'MASTER', graduated_on = '2020-07-01' WHERE certificate_no = 'AH00000030'")
    execute(SCHOOLS, "UPDATE edu.graduate SET level = 'BACHELOR' WHERE certificate_no = 'AH00000030'")
    with network.departments.connect(SCHOOLS) as schools:
        schools.execute("DELETE FROM edu.graduate")
        schools.rollback()
    assert_all_hold_what_is_owed(network)


def test_rows_that_end_or_change_their_keys_arrive(network: Network) -> None:
    execute = network.execute
    execute(POLICE, "DELETE FROM hj.t_czrk WHERE rybh IN (31, 32)")  # 31 is insured, 32 (a multiple of 4) is not
    execute(INSURANCE, "DELETE FROM si.ac01 WHERE aac001 = 33")
    execute(POLICE, "UPDATE hj.t_czrk SET rybh = rybh + 1000000 WHERE rybh IN (34, 35)")
    someone, another, third = more_people(3, PEOPLE + 11)
    execute(POLICE, "UPDATE hj.t_czrk SET gmsfhm = %s WHERE rybh = 36", [someone.id_number])
    execute(POLICE, "UPDATE hj.t_czrk SET gmsfhm = %s, rybh = 1000037 WHERE rybh = 37", [another.id_number])
    was = network.fetch(POLICE, "SELECT gmsfhm FROM hj.t_czrk WHERE rybh = 38")[0][0]
    execute(POLICE, "UPDATE hj.t_czrk SET gmsfhm = %s WHERE rybh = 38", [third.id_number])
    execute(POLICE, "UPDATE hj.t_czrk SET gmsfhm = %s WHERE rybh = 38", [was])
    with network.commit(POLICE) as police:
        row = police.execute("DELETE FROM hj.t_czrk WHERE rybh = 39 RETURNING gmsfhm, xm").fetchone()
        assert row is not None
        police.execute("INSERT INTO hj.t_czrk (rybh, gmsfhm, xm, hjqh) VALUES (39, %s, %s, '341502')", row)
    execute(POLICE, "DELETE FROM hj.t_czrk WHERE rybh = 40")
    execute(POLICE, RESIDENT, resident_row(more_people(1, 40)[0]))
    assert_all_hold_what_is_owed(network)


def test_records_that_move_between_areas_arrive(network: Network) -> None:
    move = "UPDATE hj.t_czrk SET hjqh = %s, qrrq = %s WHERE rybh = %s"
    network.execute(POLICE, move, ["341525", date(2026, 1, 6), 51])  # to another county of the city
    network.execute(POLICE, move, ["340102", date(2026, 1, 6), 54])  # to another city of the province
    network.execute(POLICE, move, ["110105", date(2026, 1, 6), 57])  # to another province
    network.execute(POLICE, move, ["340102", date(2026, 1, 6), 60])
    network.execute(SCHOOLS, "UPDATE edu.graduate SET level = 'COLLEGE' WHERE certificate_no = 'AH00000060'")
    network.execute(POLICE, move, ["341502", date(2026, 1, 7), 60])  # and back
    assert_all_hold_what_is_owed(network)


def test_a_table_that_is_emptied_and_filled_again_arrives(network: Network) -> None:
    """TRUNCATE, alone and in one transaction with what follows it; COPY; and one INSERT of 1,000 rows."""
    rows = network.fetch(SCHOOLS, "SELECT * FROM edu.graduate")
    network.execute(SCHOOLS, "TRUNCATE edu.graduate")
    with network.commit(SCHOOLS) as schools, schools.raw.cursor().copy("COPY edu.graduate FROM STDIN") as copy:
        for row in rows[: len(rows) // 2]:
            copy.write_row(row)
    with network.commit(SCHOOLS) as schools:
        schools.execute("TRUNCATE edu.graduate")
        schools.raw.cursor().executemany("INSERT INTO edu.graduate VALUES (%s, %s, %s, %s)", rows[len(rows) // 4 :])
    with network.commit(INSURANCE) as insurance, insurance.raw.cursor().copy(f"COPY si.ac01 ({COLUMNS}) FROM STDIN") as copy:
        for person in more_people(300, 1001):
            copy.write_row((*insured_row(person), "2026-01-08 00:00:00+08"))
    thousand = [value for person in more_people(1000, 2001) for value in resident_row(person)]
    head, _, values = RESIDENT.rpartition(" VALUES ")
    network.execute(POLICE, f"{head} VALUES {','.join([values] * 1000)}", thousand)
    assert_all_hold_what_is_owed(network, 90)


def resident_row(one: Person) -> tuple[Any, ...]:
    return (one.number, one.id_number, one.name, one.sex, one.birth_date, "汉族", "341502", one.address, one.moved_in_on, one.mobile)


def insured_row(one: Person) -> tuple[Any, ...]:
    return (one.number, one.id_number, one.name, one.sex, one.birth_date, one.mobile, one.employer, "1", one.insured_since)
