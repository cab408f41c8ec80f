"""A source is captured anew (by a higher epoch, as after a lost slot) while its clerks work on and Connect dies in the middle.

What PostgreSQL and Debezium do here is not ours to choose: the tests say what is seen, and that the content is right in the end.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from sync_engine.ingest.capture import read_position
from sync_engine.model import names
from sync_engine.model.claim import Position
from sync_engine.model.record import Record
from sync_engine.provision.database import capture_name
from sync_engine.runtime.connect import ConnectClient
from sync_engine.runtime.provisioning import config_of
from sync_engine.runtime.topics import Offsets
from tests.e2e.network import PROVINCE, SCHOOLS, Network, more_people
from tests.e2e.oracle_check import assert_all_hold_what_is_owed

pytestmark = pytest.mark.stack

GRADUATES = 20_000
INTERRUPTED_AT = 2_000
GRADUATE = "INSERT INTO edu.graduate VALUES (%s, %s, %s, %s)"


def test_a_table_that_was_emptied_unseen_is_empty_after_the_snapshot(network: Network) -> None:
    """No row is read, so none says that the snapshot of the table is over."""
    kept = network.fetch(SCHOOLS, "SELECT * FROM edu.graduate")
    end_capture(network)
    network.execute(SCHOOLS, "DELETE FROM edu.graduate")
    begin_capture(network, epoch=2)
    try:
        assert_all_hold_what_is_owed(network)
    finally:
        fill(network, kept)


def test_a_snapshot_is_interrupted_and_repeated_beside_open_transactions(network: Network) -> None:
    assert_all_hold_what_is_owed(network)  # what the test before put back has arrived
    graduates = network.reader(names.cdc(network.declarations.departments[SCHOOLS], "edu.graduate")).skip()
    end_capture(network)
    fill(network, [(f"ZZ{one.number:08d}", one.id_number, "COLLEGE", "2015-07-01") for one in distinct(GRADUATES)])

    early = open_transaction(network, 1, "AH00000069")
    begin_capture(network, epoch=3, runs=False)
    network.wait("the slot waits for the open transaction", lambda: slot_waits(network), 20)
    assert graduates.more() == []
    with interrupted_in_the_middle(network):
        commit(network, early)

    first = Snapshot.of(network, graduates.more())
    gone, changed = first.rows[-1], first.rows[-2]
    network.execute(SCHOOLS, "DELETE FROM edu.graduate WHERE certificate_no = %s", [gone])
    network.execute(SCHOOLS, "UPDATE edu.graduate SET level = 'MASTER' WHERE certificate_no = %s", [changed])
    late = open_transaction(network, 2, "AH00000072")
    network.stack.restart("connect")
    second = Snapshot.of(network, read_to_the_last(network, graduates))
    assert {"AH90000001", changed} <= set(second.rows)
    assert {"AH90000002", gone}.isdisjoint(second.rows)
    commit(network, late)

    assert len(first.rows) < GRADUATES < len(second.rows)
    assert len(first.positions) == len(second.positions) == 1, "the sweep rests on it: all rows of a snapshot have one position"
    assert max(first.positions) < max(second.positions)
    assert_all_hold_what_is_owed(network, 120)
    person = more_people(1, int(gone.removeprefix("ZZ")))[0]
    assert network.golden(PROVINCE)["natural_person", person.id_number].content.items == []


@dataclass(frozen=True)
class Snapshot:
    """What was read of the table in one attempt."""

    rows: list[str]
    positions: set[Position]

    @staticmethod
    def of(network: Network, records: Sequence[Record]) -> "Snapshot":
        changes = [(network.codec.decode(record.value or b"")[1], dict(record.headers)) for record in records]
        read = [(change, headers) for change, headers in changes if change["op"] == "r"]
        rows = [change["after"]["certificate_no"] for change, _ in read]
        return Snapshot(rows, {read_position(change["source"], int(headers["x-epoch"]), 0) for change, headers in read})


def read_to_the_last(network: Network, graduates: Any) -> list[Record]:
    records: list[Record] = []

    def over() -> bool:
        records.extend(graduates.more())
        return bool(records) and network.codec.decode(records[-1].value)[1]["source"]["snapshot"].startswith("last")

    network.wait("the second snapshot is over", over, 90)
    return records


def distinct(count: int) -> list[Any]:
    return list({one.id_number: one for one in more_people(count + 50, 5001)}.values())[:count]


def fill(network: Network, rows: Sequence[Sequence[Any]]) -> None:
    with network.commit(SCHOOLS) as schools, schools.cursor().copy("COPY edu.graduate FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def open_transaction(network: Network, number: int, updated: str) -> "psycopg.Connection[Any]":
    connection = network.departments.connect(SCHOOLS)
    connection.execute(GRADUATE, (f"AH{90000000 + number}", more_people(1, 4000 + number)[0].id_number, "HIGH", "2001-07-01"))
    connection.execute("UPDATE edu.graduate SET level = 'VOCATIONAL' WHERE certificate_no = %s", [updated])
    return connection


def commit(network: Network, connection: "psycopg.Connection[Any]") -> None:
    with connection:
        connection.commit()
    network.note(SCHOOLS)


# --- the capture of the schools ---


def end_capture(network: Network) -> None:
    """The slot is lost, and with it all that the connector knew."""

    async def stop(connector: str) -> None:
        async with ConnectClient(network.settings.connect.url) as connect:
            await connect.stop(connector)
            await connect.settle(connector, "STOPPED")
            await connect.reset_offsets(connector)

    department = network.declarations.departments[SCHOOLS]
    asyncio.run(stop(department.connector))
    drop = "SELECT pg_drop_replication_slot(slot_name)::text FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
    network.wait("the slot is dropped", lambda: network.fetch(SCHOOLS, drop, [capture_name(department)]), 20)


def begin_capture(network: Network, epoch: int, runs: bool = True) -> None:
    """As `apply` does after the declared epoch was raised. `runs` False: without waiting for it."""

    async def begin() -> None:
        department = replace(network.declarations.departments[SCHOOLS], epoch=epoch)
        async with ConnectClient(network.settings.connect.url) as connect:
            await connect.put_config(department.connector, config_of(network.declarations, network.settings, department))
            await connect.resume(department.connector)
            if runs:
                await connect.settle(department.connector, "RUNNING")

    asyncio.run(begin())


def slot_waits(network: Network) -> bool:
    """Connect does not call the task RUNNING meanwhile: whoever waits for that waits for the department's longest transaction."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE starts_with(query, 'CREATE_REPLICATION_SLOT') AND wait_event = 'transactionid'"
    return bool(network.fetch(SCHOOLS, waiting))


@contextmanager
def interrupted_in_the_middle(network: Network) -> Iterator[None]:
    """What is done within begins the snapshot; Connect is killed when some of its rows have been written."""
    topic = (names.cdc(network.declarations.departments[SCHOOLS], "edu.graduate"), 0)
    offsets = Offsets(network.stack.endpoints.kafka)
    wanted = offsets.list_ends([topic])[topic] + INTERRUPTED_AT
    yield
    deadline = time.monotonic() + 60
    while offsets.list_ends([topic])[topic] < wanted:
        assert time.monotonic() < deadline, "the snapshot does not begin"
        time.sleep(0.01)
    network.stack.process("connect").kill()
