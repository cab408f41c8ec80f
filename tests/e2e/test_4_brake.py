"""A table whose every row becomes unusable: its department is held and says so, the other goes on, and nothing of it is lost."""

import pytest

from sync_engine.model import names
from tests.e2e.network import COUNTY, INSURANCE, POLICE, Network
from tests.e2e.oracle_check import assert_all_hold_what_is_owed
from tests.e2e.test_4_alerts import alerts, counted
from tests.e2e.topics import TopicReader

pytestmark = pytest.mark.stack

ROWS = "rybh <= 200"
"""Fewer than are let through unweighed after a release."""
MOST_DEAD = 50
"""Of a table's last 1,000 records."""
ALERT = f"brake/{COUNTY}/{POLICE}"


def test_a_department_that_goes_bad_is_held_until_it_is_released_and_the_other_goes_on(network: Network) -> None:
    """With a restart in between, after which it must be held as before."""
    try:
        held_and_released(network)
    finally:
        network.told("source", "resume", POLICE)


def held_and_released(network: Network) -> None:
    raised, dead = alerts(network).from_now(), network.reader(names.dead(COUNTY)).skip()
    with network.commit(POLICE) as police:
        police.execute("ALTER TABLE hj.t_czrk ADD COLUMN beizhu text")
        bad = police.execute("UPDATE hj.t_czrk SET beizhu = 'x', hjdz = '长淮路1号' WHERE " + ROWS).rowcount
    assert bad > 2 * MOST_DEAD
    network.wait("it is held", lambda: state(network, POLICE) == "held", 30)
    network.wait("the alert fires", lambda: ALERT in {alert["id"] for alert in network.status(COUNTY)["alerts"]}, 10)
    assert network.metric(COUNTY, "syncengine_alerts_firing", kind="brake") == 1
    assert network.metric(COUNTY, "syncengine_sync_state", source=POLICE, place="claim", state="held") == 1
    letters = standing(dead)
    assert letters <= MOST_DEAD
    stands_at = network.lags(COUNTY, "claim")[POLICE]["watermark_ms"]

    child = network.hold(COUNTY)
    child.stop(20)
    network.release(COUNTY)
    network.execute(INSURANCE, "UPDATE si.ac01 SET aac003 = aac003 || '甲' WHERE aac001 = 64")
    network.execute(INSURANCE, "UPDATE si.ac01 SET aac003 = rtrim(aac003, '甲') WHERE aac001 = 64")
    network.catch_up(60, sources=(INSURANCE,))
    network.wait("it is held again", lambda: state(network, POLICE) == "held", 20)
    assert letters + standing(dead) == letters, "nothing flows past it"
    assert (network.lags(COUNTY, "claim")[POLICE]["watermark_ms"] or stands_at) == stands_at
    assert state(network, INSURANCE) != "held"

    with network.commit(POLICE) as police:
        police.execute("ALTER TABLE hj.t_czrk DROP COLUMN beizhu")
        police.execute("UPDATE hj.t_czrk SET hjdz = '长淮路2号' WHERE " + ROWS)
    network.told("source", "resume", POLICE)
    assert_all_hold_what_is_owed(network)
    assert letters + standing(dead) == bad, "what was bad is put aside, each once"
    network.told("dead", "discard", "--node", COUNTY, "--all")
    network.wait("all is caught up", lambda: network.states() == {"caught_up"}, 30)
    network.wait("no alert is left", lambda: not any(network.status(node)["alerts"] for node in network.nodes), 20)
    assert counted(raised.at(COUNTY), "brake") == {("firing", ALERT): 1, ("resolved", ALERT): 1}


def state(network: Network, source: str) -> str | None:
    lag = network.lags(COUNTY).get(source)
    return None if lag is None else str(lag["state"])


def standing(dead: TopicReader) -> int:
    return sum(record.value is not None for record in dead.more())
