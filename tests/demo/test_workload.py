"""The sample's events, applied to the sample's rows in SQLite: every one finds its rows, and departments agree in the end."""

import re
import sqlite3
from itertools import islice

import pytest

from sync_engine.ingest.identifiers import is_resident_id
from sync_engine.runtime.demo.workload import Event, events
from sync_engine.runtime.demo.world import world

PEOPLE, EVENTS = 3_000, 3_000
KINDS = {
    *("birth", "marriage", "divorce", "move", "job_change", "enterprise_change", "deregistration", "correction", "disagreement"),
    *("delete", "primary_key_change", "corrected_identity_number", "refill", "rollback", "registration", "copied", "long_transaction"),
}


def _table(text: str) -> str:
    return re.sub(r"\b([a-z]{2,4})\.(\w+)", r"\1_\2", text)


@pytest.fixture
def departments() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for rows in world(PEOPLE):
        columns = f"{rows.columns[0]} PRIMARY KEY, {', '.join(rows.columns[1:])}"
        connection.execute(f"CREATE TABLE IF NOT EXISTS {_table(rows.table)} ({columns})")
        values = [tuple(str(value) for value in row) for row in rows.rows]
        connection.executemany(f"INSERT INTO {_table(rows.table)} VALUES ({', '.join('?' * len(rows.columns))})", values)
    connection.commit()
    return connection


def _apply(event: Event, connection: sqlite3.Connection) -> None:
    for transaction in event.transactions:
        for text, parameters in transaction.statements:
            if text.startswith("COPY"):
                places = ", ".join("?" * len(parameters[0]))
                rows = [tuple(map(str, row)) for row in parameters]
                connection.executemany(_table(text).replace("COPY", "INSERT INTO").replace("FROM STDIN", f"VALUES ({places})"), rows)
                continue
            found = connection.execute(_table(text).replace("TRUNCATE", "DELETE FROM").replace("%s", "?"), list(map(str, parameters)))
            assert found.rowcount == 1 or "graduate" in text or "TRUNCATE" in text, (event.kind, text)
        if transaction.commit:
            connection.commit()
        else:
            connection.rollback()


def test_every_event_finds_its_rows_and_departments_agree_in_the_end(departments: sqlite3.Connection) -> None:
    institutions = departments.execute("SELECT * FROM bb_jgsydw ORDER BY bh").fetchall()
    seen = set()
    for event in islice(events(PEOPLE), EVENTS):
        seen.add(event.kind)
        _apply(event, departments)
    assert seen == KINDS
    for disagreement in (
        "SELECT * FROM hj_t_czrk JOIN si_ac01 ON gmsfhm = aac002 WHERE xm <> aac003",
        "SELECT * FROM mz_hydj_jl JOIN hj_t_czrk ON gmsfhm IN (nan_sfz, nv_sfz) WHERE hyzk <> CASE djlx WHEN 'J' THEN '20' ELSE '40' END",
        "SELECT gmsfhm FROM hj_t_czrk GROUP BY gmsfhm HAVING count(*) > 1",
        "SELECT sfzh FROM wj_csyxzm WHERE sfzh NOT IN (SELECT gmsfhm FROM hj_t_czrk)",
        "SELECT * FROM ga_rkxx JOIN pop_resident ON sfzh = id_no",
        "SELECT * FROM scjg_qy_jbxx JOIN gs_nsr ON uniscid = shxydm WHERE dom <> scjydz OR (regstate = '3') <> (nsrzt = '05')",
        "SELECT * FROM gs_nsr JOIN ds_nsrxx ON shxydm = xydm WHERE scjydz <> dz OR (nsrzt = '05') <> (zt = '注销')",
    ):
        assert departments.execute(disagreement).fetchall() == [], disagreement
    assert all(is_resident_id(row[0]) for row in departments.execute("SELECT gmsfhm FROM hj_t_czrk"))
    assert departments.execute("SELECT * FROM bb_jgsydw ORDER BY bh").fetchall() == institutions


def test_the_same_seed_makes_the_same_events_and_another_others() -> None:
    assert list(islice(events(PEOPLE, 5), 40)) == list(islice(events(PEOPLE, 5), 40)) != list(islice(events(PEOPLE, 6), 40))
    assert {event.kind for event in islice(events(0), 40)} <= {"birth", "refill"}  # nobody lives there yet


def test_events_do_not_end_where_few_people_live() -> None:
    """Those that end or change somebody for good do; what they need is not given twice."""
    kinds = [event.kind for event in islice(events(100), 5_000)]
    assert kinds.count("job_change") > 500
    assert kinds.count("move") < 50
    assert "move" not in kinds[1_000:]
