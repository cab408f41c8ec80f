"""A source is captured anew (its epoch raised, as after a lost slot) while its clerks work on and Connect dies in the middle.

What PostgreSQL and Debezium do here is not ours to choose: the tests say what is seen, and that the content is right in the end.
"""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import psycopg
import pytest

from sync_engine.model import names
from sync_engine.provision.database import capture_name
from sync_engine.runtime.connect import ConnectClient
from sync_engine.runtime.provisioning import apply_connectors
from tests.e2e.network import PROVINCE, SCHOOLS, Network, more_people
from tests.e2e.oracle_check import assert_all_hold_what_is_owed
from tests.e2e.topics import TopicReader

pytestmark = pytest.mark.stack

GRADUATES = 20_000
INSERT = "INSERT INTO edu.graduate VALUES (%s, %s, %s, %s)"


def test_a_snapshot_that_is_interrupted_and_repeated_beside_open_transactions(network: Network) -> None:
    import time
    reader = network.reader(names.cdc(network.declarations.departments[SCHOOLS], "edu.graduate")).skip()
    forget_capture(network)
    with network.commit(SCHOOLS) as schools, schools.cursor().copy("COPY edu.graduate FROM STDIN") as copy:
        for person in {one.id_number: one for one in more_people(GRADUATES, 5001)}.values():
            copy.write_row((f"ZZ{person.number:08d}", person.id_number, "COLLEGE", "2015-07-01"))
    network.execute(SCHOOLS, "DELETE FROM edu.graduate WHERE certificate_no = 'AH00000066'")  # nobody captures this
    early = open_transaction(network, "AH90000001", "AH00000069")
    t0 = time.monotonic()
    began = asyncio.run(begin_capture(network, 2))
    print("settled", time.monotonic() - t0)
    time.sleep(4)
    seen = reader.more()
    print("with T1 open", len(seen))
    early.commit(); early.close(); network.note(SCHOOLS)
    t0 = time.monotonic()
    while len(seen) < 2000:
        seen += reader.more()
    network.stack.process("connect").kill()
    print("killed after", time.monotonic() - t0, len(seen))
    seen += reader.more()
    print("seen", len(seen))
    for r in seen[:3] + seen[-2:]:
        _, c = network.codec.decode(r.value)
        print(r.offset, c["op"], c["source"]["snapshot"], c["source"]["sequence"], c["source"]["lsn"], c["source"].get("txId"), r.headers)
    late = open_transaction(network, "AH90000002", "AH00000072")
    cs = [network.codec.decode(r.value)[1] for r in seen]
    first = [c["after"]["certificate_no"] for c in cs if c["op"] == "r"]
    network.execute(SCHOOLS, "DELETE FROM edu.graduate WHERE certificate_no = %s", [first[-1]])
    network.execute(SCHOOLS, "UPDATE edu.graduate SET level='MASTER' WHERE certificate_no = %s", [first[-2]])
    t0 = time.monotonic()
    network.stack.restart("connect")
    print("connect back", time.monotonic() - t0)
    seen2 = []
    t0 = time.monotonic()
    n = 0
    while time.monotonic() - t0 < 60:
        seen2 += reader.more()
        cs2 = [network.codec.decode(r.value)[1] for r in seen2]
        if any(c["source"]["snapshot"].startswith("last") for c in cs2):
            break
        time.sleep(1)
        print(len(seen2))
    print("second read", time.monotonic() - t0, len(seen2))
    for r, c in list(zip(seen2, cs2))[:3] + list(zip(seen2, cs2))[-2:]:
        print(r.offset, c["op"], c["source"]["snapshot"], c["source"]["sequence"], c["source"]["lsn"], c["source"].get("txId"), r.headers)
    print({(c["source"]["snapshot"]) for c in cs2}, {(c["source"]["sequence"]) for c in cs2 if c["op"] == "r"}, {(c["source"]["sequence"]) for c in cs if c["op"] == "r"})
    late.commit(); late.close(); network.note(SCHOOLS)
    time.sleep(3)
    for r in reader.more():
        _, c = network.codec.decode(r.value)
        print("stream", r.offset, c["op"], c["source"]["snapshot"], c["source"]["sequence"], c["source"]["lsn"], c["source"].get("txId"), c["after"]["certificate_no"])
    t0 = time.monotonic()
    network.catch_up(100)
    print("caught up", time.monotonic() - t0)
    t0 = time.monotonic()
    network.journal.owed()
    print("owed", time.monotonic() - t0)
    t0 = time.monotonic()
    network.golden("anhui")
    print("golden", time.monotonic() - t0)
    assert_all_hold_what_is_owed(network)


def forget_capture(network: Network) -> None:
    """The slot is lost: nothing of what the connector knew holds any more."""

    async def stop() -> None:
        async with ConnectClient(network.settings.connect.url) as connect:
            name = network.declarations.departments[SCHOOLS].connector
            await connect.stop(name)
            await connect.settle(name, "STOPPED")
            await connect.reset_offsets(name)

    asyncio.run(stop())
    slot = capture_name(network.declarations.departments[SCHOOLS])
    network.wait("the slot is free", lambda: not network.fetch(SCHOOLS, "SELECT active FROM pg_replication_slots WHERE slot_name = %s", [slot])[0][0], 20)
    network.fetch(SCHOOLS, "SELECT pg_drop_replication_slot(%s)", [slot])


async def begin_capture(network: Network, epoch: int) -> int:
    async with ConnectClient(network.settings.connect.url) as connect:
        department = replace(network.declarations.departments[SCHOOLS], epoch=epoch)
        from sync_engine.runtime.provisioning import config_of
        await connect.put_config(department.connector, config_of(network.declarations, network.settings, department))
        await connect.resume(department.connector)
        await connect.settle(department.connector, "RUNNING")
    return 0


def open_transaction(network: Network, inserted: str, updated: str) -> "psycopg.Connection[Any]":
    connection = network.departments.connect(SCHOOLS)
    number = int(inserted[2:]) - 90000000
    connection.execute(INSERT, (inserted, more_people(1, 4000 + number)[0].id_number, "HIGH", "2001-07-01"))
    connection.execute("UPDATE edu.graduate SET level = 'VOCATIONAL' WHERE certificate_no = %s", [updated])
    return connection
