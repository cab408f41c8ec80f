"""Changes that are lost between a department's database and the engine are found and healed; where none was lost, none is found."""

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from sync_engine.provision.database import capture_name
from sync_engine.runtime.demo.people import Person, person
from tests.e2e.network import COUNTY, POLICE, Network, more_people
from tests.e2e.oracle_check import assert_all_hold_what_is_owed

pytestmark = pytest.mark.stack

FEIXI, FEIXI_REGION = "feixi/public_security", "340123"
RESIDENT = "INSERT INTO hj.t_czrk (rybh, gmsfhm, xm, xb, csrq, mz, hjqh, hjdz, qrrq) VALUES (%s, %s, %s, %s, %s, '汉族', %s, %s, %s)"
FEIXI_RESIDENT = "INSERT INTO pop.resident VALUES (%s, %s, %s, 'F', %s, '01', 1, %s, %s, %s, NULL)"
NUMBERS = range(30_001, 30_021)
"""Of people whom no other test touches: fourteen that are known before, six more."""
KNOWN, UNKNOWN = NUMBERS[:14], NUMBERS[14:]
LOST = {"missing": 7, "stale": 6, "surplus": 8}
"""Six inserts, seven updates of which one changes whose row it is (missing there, surplus here), seven deletes."""


def test_what_the_capture_loses_is_found_and_healed(network: Network) -> None:
    police = dict(zip(NUMBERS, more_people(20, NUMBERS[0]), strict=True))
    with network.commit(POLICE) as clerk:
        clerk.many(RESIDENT, [resident(number, police[number]) for number in KNOWN])
    with network.commit(FEIXI) as clerk:
        clerk.many(FEIXI_RESIDENT, [feixi_resident(number) for number in KNOWN])
    assert_all_hold_what_is_owed(network)

    with unpublished(network), network.commit(POLICE) as clerk:
        clerk.many(RESIDENT, [resident(number, police[number]) for number in UNKNOWN])
        clerk.execute("UPDATE hj.t_czrk SET hjdz = '皖西路9号', mz = NULL, qrrq = '2026-02-28' WHERE rybh = ANY(%s)", [[*KNOWN[:6]]])
        clerk.execute("UPDATE hj.t_czrk SET gmsfhm = %s WHERE rybh = %s", [more_people(1, 30_100)[0].id_number, KNOWN[6]])
        clerk.execute("DELETE FROM hj.t_czrk WHERE rybh = ANY(%s)", [[*KNOWN[7:]]])
    with network.commit(FEIXI) as clerk:
        clerk.execute("SET SESSION sql_log_bin = 0")
        clerk.many(FEIXI_RESIDENT, [feixi_resident(number) for number in UNKNOWN])
        clerk.execute("UPDATE pop.resident SET address = '巢湖路9号', moved_in = '2026-02-28' WHERE resident_id IN %s", [[*KNOWN[:6]]])
        clerk.execute("UPDATE pop.resident SET id_no = %s WHERE resident_id = %s", [feixi_resident(30_100)[1], KNOWN[6]])
        clerk.execute("DELETE FROM pop.resident WHERE resident_id IN %s", [[*KNOWN[7:]]])

    for code, told in reconciled(network):
        assert (code, lost(told), told["healed"]) == (10, LOST, 0)
    network.wait("operations are told", lambda: ("capture_lost", POLICE) in firing(network), 20)
    assert network.metric(COUNTY, "syncengine_capture_lost", source=POLICE, kind="surplus") == LOST["surplus"]

    for code, told in reconciled(network, "--heal"):
        assert (code, lost(told), told["healed"]) == (0, LOST, sum(LOST.values()))
    assert_all_hold_what_is_owed(network)
    network.wait("operations are told that it is over", lambda: ("capture_lost", POLICE) not in firing(network), 20)
    assert network.metric(COUNTY, "syncengine_capture_lost", source=POLICE, kind="surplus") == 0
    assert network.metric(COUNTY, "syncengine_capture_healed_total", source=POLICE) == sum(LOST.values())


def test_a_row_that_was_healed_follows_its_changes(network: Network) -> None:
    network.execute(POLICE, "UPDATE hj.t_czrk SET hjdz = '皖西路10号' WHERE rybh = ANY(%s)", [[*NUMBERS[:7], *UNKNOWN]])
    network.execute(FEIXI, "UPDATE pop.resident SET address = '巢湖路10号' WHERE resident_id IN %s", [[*NUMBERS[:7], *UNKNOWN]])
    with network.commit(POLICE) as clerk:
        clerk.many(RESIDENT, [resident(number, one) for number, one in zip(KNOWN[7:], more_people(7, KNOWN[7]), strict=True)])
    network.execute(FEIXI, "DELETE FROM pop.resident WHERE resident_id IN %s", [[*UNKNOWN]])
    assert_all_hold_what_is_owed(network)


def test_under_load_nothing_is_found_where_nothing_was_lost(network: Network) -> None:
    with busy(network):
        for code, told in reconciled(network, "--heal"):
            assert (lost(told), told["healed"]) == (dict.fromkeys(LOST, 0), 0)
            assert code in (0, 11)  # 11: rows that went on changing
            assert told["slots"] > 0
    for code, told in reconciled(network):
        assert (code, lost(told), told["unsettled"]) == (0, dict.fromkeys(LOST, 0), 0)
    assert_all_hold_what_is_owed(network)


def reconciled(network: Network, *arguments: str) -> list[tuple[int, dict[str, Any]]]:
    """Exit code and what was told of the residents, of both departments at once."""

    def compare(department: str) -> tuple[int, dict[str, Any]]:
        command = network.command("source", "reconcile", department, *arguments, "-o", "json")
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.stdout, done.stderr
        (told,) = json.loads(done.stdout)["tables"]
        return done.returncode, told

    with ThreadPoolExecutor() as pool:
        return list(pool.map(compare, (POLICE, FEIXI)))


def lost(told: dict[str, Any]) -> dict[str, int]:
    return {kind: told[kind] for kind in LOST}


def firing(network: Network) -> set[tuple[str, str]]:
    return {(alert["kind"], alert["labels"].get("source", "")) for alert in network.status(COUNTY)["alerts"]}


def resident(number: int, one: Person) -> Sequence[Any]:
    return (number, one.id_number, one.name, one.sex, one.birth_date, "341502", one.address, one.moved_in_on)


def feixi_resident(number: int) -> Sequence[Any]:
    one = person(number, region=FEIXI_REGION)
    return (number, one.id_number, one.name, one.birth_date, FEIXI_REGION, one.address, one.moved_in_on)


@contextmanager
def unpublished(network: Network) -> Iterator[None]:
    """What is written to the residents within is in the log, and is not published to the connector."""
    publication = capture_name(network.declarations.departments[POLICE])
    with network.departments.connect(POLICE) as owner:
        owner.execute(f"ALTER PUBLICATION {publication} DROP TABLE hj.t_czrk")
    yield
    with network.departments.connect(POLICE) as owner:
        owner.execute(f"ALTER PUBLICATION {publication} ADD TABLE hj.t_czrk")


@contextmanager
def busy(network: Network) -> Iterator[None]:
    """Clerks of both departments change, delete and write rows all the while, some rows again and again."""
    over = threading.Event()

    def work(department: str, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        while not over.is_set():
            for statement, parameters in statements:
                with network.departments.connect(department) as clerk:
                    clerk.execute(statement, parameters)
                over.wait(0.05)

    one = more_people(1, 30_200)[0]
    police = [
        ("UPDATE hj.t_czrk SET hjdz = clock_timestamp()::text WHERE rybh IN (30001, 30002, 30003)", ()),
        ("DELETE FROM hj.t_czrk WHERE rybh = 30200", ()),
        ("UPDATE hj.t_czrk SET hjdz = clock_timestamp()::text WHERE rybh = 1 + floor(random() * 150)", ()),
        (RESIDENT, resident(30_200, one)),
    ]
    feixi = [
        ("UPDATE pop.resident SET address = sysdate(6) WHERE resident_id < 30004", ()),
        ("DELETE FROM pop.resident WHERE resident_id = 30200", ()),
        (FEIXI_RESIDENT, feixi_resident(30_200)),
    ]
    network.execute(POLICE, RESIDENT, resident(30_200, one))  # the journal must have seen whoever comes and goes
    with network.commit(FEIXI) as clerk:
        clerk.many(FEIXI_RESIDENT, [feixi_resident(number) for number in (30_200, 30_201)])
    clerks = [threading.Thread(target=work, args=work_of) for work_of in ((POLICE, police), (FEIXI, feixi))]
    for clerk in clerks:
        clerk.start()
    try:
        yield
    finally:
        over.set()
        for clerk in clerks:
            clerk.join()
        network.note(POLICE, FEIXI)
