"""What operations see: a tier that lags and a disagreement of two departments raise one alert each, where it belongs; nothing else does."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from sync_engine.model import names
from tests.e2e.network import CITY, COUNTY, INSURANCE, POLICE, PROVINCE, Network
from tests.e2e.oracle_check import assert_all_hold_what_is_owed
from tests.e2e.topics import TopicReader

pytestmark = pytest.mark.stack

SETTLE_MS = 10_000
TIERS = (COUNTY, CITY, PROVINCE)


@dataclass
class Seen:
    """What a topic of every node has said since this was made."""

    network: Network
    topic_of: Callable[[str], str]
    _readers: dict[str, TopicReader] = field(default_factory=dict)
    _said: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def at(self, node: str) -> list[dict[str, Any]]:
        if node not in self._readers:
            self._readers[node] = self.network.reader(self.topic_of(node))
        records = self._readers[node].more()
        said = self._said.setdefault(node, [])
        said += [self.network.codec.decode(record.value)[1] for record in records if record.value is not None]
        return said

    def from_now(self) -> "Seen":
        for node in TIERS:
            self.at(node).clear()
        return self


def alerts(network: Network) -> Seen:
    return Seen(network, names.alert)


def cases(network: Network) -> Seen:
    return Seen(network, names.case)


def counted(said: list[dict[str, Any]], kind: str) -> Counter[tuple[str, str]]:
    """(status, alert id) -> how often."""
    return Counter((alert["status"], alert["id"]) for alert in said if alert["kind"] == kind)


def test_neither_the_first_load_nor_ordinary_changes_raised_a_conflict(network: Network) -> None:
    assert_all_hold_what_is_owed(network)
    for node in TIERS:
        assert counted(alerts(network).at(node), "conflict") == {}
        assert [case for case in cases(network).at(node) if case["state"] != "pending"] == []
        assert network.metric(node, "syncengine_conflicts", state="open") == 0


def test_an_ordinary_change_two_seconds_apart_raises_nothing_and_an_idle_network_stays_caught_up(network: Network) -> None:
    network.wait("all is caught up", lambda: network.states() == {"caught_up"}, 30)
    raised, opened = alerts(network).from_now(), cases(network).from_now()
    network.execute(POLICE, "UPDATE hj.t_czrk SET xm = '王新名' WHERE rybh = 62")
    time.sleep(2)
    network.execute(INSURANCE, "UPDATE si.ac01 SET aac003 = '王新名' WHERE aac001 = 62")
    lags = []
    end = time.monotonic() + 15
    while time.monotonic() < end:
        seen = [lag for node in TIERS for lag in network.status(node)["lags"]]
        assert {lag["state"] for lag in seen} == {"caught_up"}, network.describe()
        lags.append(max(lag["lag_seconds"] for lag in seen))
        time.sleep(0.25)
    assert max(lags) < min(network.declarations.lag_objectives.values())
    for node in TIERS:
        assert raised.at(node) == []
        assert [case for case in opened.at(node) if case["state"] != "pending"] == []


def test_a_disagreement_is_one_case_of_its_owner_until_the_source_is_corrected(network: Network) -> None:
    raised, opened = alerts(network).from_now(), cases(network).from_now()
    network.execute(INSURANCE, "UPDATE si.ac01 SET aac003 = aac003 || '甲' WHERE aac001 = 61")
    network.wait("the case is open everywhere", lambda: all(len(with_state(opened, node, "open")) == 1 for node in TIERS), 30)
    for node in TIERS:
        (case,) = with_state(opened, node, "open")
        assert (case["owner"], case["kind"], case["item"]) == (COUNTY, "disagreement", "name")
        assert {pair["source"] for pair in case["pairs"]} == {f"{POLICE}/resident", f"{INSURANCE}/insured"}
        assert case["opened_ms"] - case["raised_ms"] >= SETTLE_MS
        assert network.metric(node, "syncengine_conflicts", state="open") == 1
    network.wait("the alert shows", lambda: [alert["kind"] for alert in network.status(COUNTY)["alerts"]] == ["conflict"], 10)
    assert network.metric(COUNTY, "syncengine_alerts_firing", kind="conflict") == 1
    alert_id = network.status(COUNTY)["alerts"][0]["id"]
    assert [counted(raised.at(node), "conflict") for node in TIERS] == [{("firing", alert_id): 1}, {}, {}]

    network.execute(INSURANCE, "UPDATE si.ac01 SET aac003 = rtrim(aac003, '甲') WHERE aac001 = 61")
    network.wait("the case is closed everywhere", lambda: all(len(with_state(opened, node, "closed")) == 1 for node in TIERS), 20)
    network.wait("the alert is gone", lambda: network.status(COUNTY)["alerts"] == [], 10)
    assert counted(raised.at(COUNTY), "conflict") == {("firing", alert_id): 1, ("resolved", alert_id): 1}
    assert network.metric(COUNTY, "syncengine_alerts_firing", kind="conflict") == 0
    assert [len(with_state(opened, node, "open")) for node in TIERS] == [1, 1, 1]


def with_state(seen: Seen, node: str, state: str) -> list[dict[str, Any]]:
    return [case for case in seen.at(node) if case["state"] == state]


def test_a_frozen_tier_is_one_alert_for_each_source_behind_it(network: Network) -> None:
    raised = alerts(network).from_now()
    departments = network.declarations.departments
    below = {source for source, department in departments.items() if network.declarations.nodes[department.node].parent == CITY}
    behind_it = {PROVINCE: below, COUNTY: {source for source, department in departments.items() if department.node != COUNTY}}
    network.hold(CITY).signal(signal.SIGSTOP)
    try:
        network.execute(POLICE, "UPDATE hj.t_czrk SET hjdz = '皖西路63号' WHERE rybh = 63")
        network.wait("it is seen on both sides", lambda: {node: late(network, node) for node in behind_it} == behind_it, 15)
        network.wait("both sides alert", lambda: {node: firing(network, node) for node in behind_it} == behind_it, 10)
        for node, sources in behind_it.items():
            assert network.metric(node, "syncengine_alerts_firing", kind="tier_lag") == len(sources)
            told = {alert["labels"]["source"]: alert["labels"] for alert in network.status(node)["alerts"] if alert["kind"] == "tier_lag"}
            labels = {each: (departments[each].name, ",".join(departments[each].entities)) for each in sources}
            assert {each: (told[each]["department"], told[each]["entity"]) for each in sources} == labels
            assert network.metric(node, "syncengine_sync_state", source=min(sources), place="golden", state="caught_up") == 0
        # Longer than its session lasts: others could have its partitions by now, so it must not go on as if nothing had been.
        network.wait("its silence is seen", lambda: {lag["state"] for lag in network.lags(COUNTY).values()} == {"caught_up", "dark"}, 20)
    finally:
        network.release(CITY)
    network.wait("all is caught up again", lambda: network.states() == {"caught_up"}, 60)
    network.wait("all alerts are gone", lambda: all(network.status(node)["alerts"] == [] for node in TIERS), 10)
    for node, sources in behind_it.items():
        once = {(status, f"tier_lag/{node}/{source}"): 1 for source in sources for status in ("firing", "resolved")}
        assert counted(raised.at(node), "tier_lag") == once
        assert network.metric(node, "syncengine_alerts_firing", kind="tier_lag") == 0
    assert_all_hold_what_is_owed(network)


def test_a_source_whose_capture_is_paused_is_dark_where_it_is_captured_and_nowhere_else(network: Network) -> None:
    raised, alert_id = alerts(network).from_now(), f"source_dark/{COUNTY}/{INSURANCE}"
    network.told("source", "pause", INSURANCE)
    try:
        network.wait("it is told", lambda: alert_id in {alert["id"] for alert in network.status(COUNTY)["alerts"]}, 30)
        assert network.metric(COUNTY, "syncengine_alerts_firing", kind="source_dark") == 1
        assert network.lags(COUNTY)[POLICE]["state"] == "caught_up"
    finally:
        network.told("source", "resume", INSURANCE)
    network.wait("all is caught up again", lambda: network.states() == {"caught_up"}, 60)
    network.wait("all alerts are gone", lambda: all(network.status(node)["alerts"] == [] for node in TIERS), 20)
    assert [counted(raised.at(node), "source_dark") for node in TIERS] == [{("firing", alert_id): 1, ("resolved", alert_id): 1}, {}, {}]


def late(network: Network, node: str) -> set[str]:
    return {source for source, lag in network.lags(node).items() if lag["state"] != "caught_up"}


def firing(network: Network, node: str) -> set[str]:
    return {alert["labels"]["source"] for alert in network.status(node)["alerts"] if alert["kind"] == "tier_lag"}
