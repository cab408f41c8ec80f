"""The world goes away and comes back, one server at a time: nothing is put aside for it, and nothing is lost."""

import json
from collections.abc import Iterator

import pytest
import redis

from sync_engine.ingest.capture import read_position
from sync_engine.model import names
from sync_engine.model.claim import Position
from tests.e2e.network import CITY, COUNTY, INSURANCE, POLICE, SCHOOLS, Network
from tests.e2e.oracle_check import assert_all_hold_what_is_owed

pytestmark = pytest.mark.stack

BACK_SECONDS = 90


@pytest.fixture(autouse=True)
def _nothing_is_put_aside(network: Network) -> Iterator[None]:
    dead = [network.reader(names.dead(node)).skip() for node in network.nodes]
    yield
    assert [record for reader in dead for record in reader.more()] == []


def change(network: Network, number: int) -> None:
    """Something in every department."""
    network.execute(POLICE, "UPDATE hj.t_czrk SET hjdz = %s WHERE rybh BETWEEN 110 AND 160", [f"佛子岭路{number}号"])
    network.execute(INSURANCE, "UPDATE si.ac01 SET aab004 = %s WHERE aac001 BETWEEN 120 AND 140", [f"第{number}小学"])
    graduated = "UPDATE edu.graduate SET graduated_on = graduated_on + 1 WHERE certificate_no BETWEEN 'AH00000090' AND 'AH00000150'"
    network.execute(SCHOOLS, graduated)


def test_the_broker_is_killed_under_load(network: Network) -> None:
    change(network, 1)
    network.stack.process("kafka").kill()
    change(network, 2)
    network.stack.restart("kafka")
    change(network, 3)
    assert_all_hold_what_is_owed(network, BACK_SECONDS)


def test_the_registry_is_away_while_a_node_starts(network: Network) -> None:
    """A node that knows the schemas goes on; one that does not waits, and takes the records for no worse than unread.

    A connector that meets a schema new to it fails meanwhile: its node starts it again, since Connect does not.
    """
    # Connect starts its tasks anew some seconds after a broker was killed: each must have met its tables' schemas since.
    change(network, 40)
    network.catch_up(BACK_SECONDS)
    network.stack.process("registry").stop()
    try:
        network.nodes[CITY].kill()
        change(network, 4)
        network.catch_up(30, nodes=[COUNTY], sources=[POLICE, INSURANCE])
        network.wait("the city waits for the registry", lambda: "schema registry" in network.log_since_start(CITY), 40)
    finally:
        network.stack.restart("registry")
    assert_all_hold_what_is_owed(network, BACK_SECONDS)


def test_redis_is_away(network: Network) -> None:
    """Views go missing, changes do not."""
    network.stack.process("redis").kill()
    change(network, 5)
    assert_all_hold_what_is_owed(network)
    network.stack.restart("redis")
    views = redis.Redis.from_url(network.stack.endpoints.redis)
    network.wait("the views are back", lambda: all(views.get(f"sync-engine:status:{node}") for node in network.nodes), 10)
    assert [json.loads(views.get(f"sync-engine:status:{node}"))["node"] for node in network.nodes] == [*network.nodes]


def test_the_databases_are_away_and_their_sources_are_dark(network: Network) -> None:
    """Debezium tries again by itself: its tasks stay RUNNING, and nobody has to restart them."""
    change(network, 6)
    for server in ("postgres", "mariadb"):
        network.stack.process(server).stop()
    try:
        network.wait("every source is dark everywhere", lambda: network.states() == {"dark"}, 15)
        for node in network.nodes:
            lags = network.lags(node)
            assert all(lag["lag_seconds"] > 5 for lag in lags.values())
            assert network.metric(node, "syncengine_lag_seconds", source=POLICE, place="golden") > 5
        sources = {*network.declarations.departments}
        network.wait("the alerts fire", lambda: all(alerting(network, node) == sources for node in network.nodes), 10)
        own = {node: {each for each in sources if each.startswith(f"{node}/")} for node in network.nodes}
        network.wait("each is dark where it is captured", lambda: {node: alerting(network, node, "source_dark") for node in own} == own, 10)
        assert network.states() == {"dark"}
    finally:
        for server in ("postgres", "mariadb"):
            network.stack.restart(server)
    change(network, 7)
    assert_all_hold_what_is_owed(network, BACK_SECONDS)


def alerting(network: Network, node: str, kind: str = "tier_lag") -> set[str]:
    return {alert["labels"]["source"] for alert in network.status(node)["alerts"] if alert["kind"] == kind}


def test_all_nodes_are_killed_under_load(network: Network) -> None:
    change(network, 8)
    network.wait("the county has begun", lambda: network.reader(names.claim(COUNTY, "natural_person")).more(), 10, 0.01)
    for child in network.nodes.values():
        child.kill()
    change(network, 9)
    assert_all_hold_what_is_owed(network, BACK_SECONDS)
    assert {node for node, _ in network.left} >= set(network.nodes)


def test_positions_only_ever_rose_along_the_stream(network: Network) -> None:
    """What the order of a slot rests on, over all that Connect and the databases went through before."""
    for department in network.declarations.departments.values():
        beats, *tables = (
            [*streamed(network, names.cdc(department, table))]
            for table in (department.heartbeat_table, *(source.table for source in department.sources))
        )
        for positions in (beats, *tables):
            assert positions == sorted(positions), department.id
        assert beats
        assert any(tables) or department.id not in (POLICE, INSURANCE)


def streamed(network: Network, topic: str) -> Iterator[Position]:
    for record in network.reader(topic).more():
        headers = dict(record.headers)
        if "x-epoch" in headers and record.key != b"a key":
            change = network.codec.decode(record.value or b"")[1]
            if change["source"]["snapshot"] in (None, "false"):
                yield read_position(change["source"], int(headers["x-epoch"]), record.offset)
