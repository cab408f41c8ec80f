"""A subscriber that is away gets the newest version of every record when it is back, in rising order, also past a killed node."""

import pytest
import redis

from sync_engine.model import names
from tests.e2e.network import PLATFORM, POLICE, PROVINCE, Network
from tests.e2e.oracle_check import assert_all_hold_what_is_owed

pytestmark = pytest.mark.stack


def test_a_node_that_is_killed_in_the_middle_of_many_deliveries_loses_none(network: Network) -> None:
    receiver = network.subscriber.receiver
    network.catch_up()
    before = receiver.received
    network.execute(POLICE, "UPDATE hj.t_czrk SET swbz = '1' WHERE rybh BETWEEN 2001 AND 3000")
    network.wait("half of it is sent", lambda: receiver.received >= before + 500, 30, 0.005)
    network.nodes[PROVINCE].kill()
    assert_all_hold_what_is_owed(network, 90)


def test_what_a_failing_subscriber_misses_is_parked_and_comes_later(network: Network) -> None:
    network.subscriber.fail(503)
    try:
        for mark in ("0", "1", "0"):
            network.execute(POLICE, "UPDATE hj.t_czrk SET swbz = %s WHERE rybh BETWEEN 2001 AND 3000", [mark])
            network.catch_up()
        network.wait("all of them are seen to be parked", lambda: parked(network) == 1_000, 20)
        assert network.metric(PROVINCE, "syncengine_delivery_pending", subscriber="credit_platform") == 1_000
        assert {lag["state"] for lag in network.lags(PROVINCE, PLATFORM).values()} <= {"behind", "stalled"}
        assert len(still_parked(network)) == 1_000
        network.wait("the subscriber lags", lambda: kinds(network) == ["subscriber_lag"], 30)

        # Nothing rests on Redis: what is parked is in its topic.
        redis.Redis.from_url(network.stack.endpoints.redis).flushall()
        network.nodes[PROVINCE].kill()
        # 15 that are parked already, and five more.
        some = "rybh BETWEEN 2986 AND 3000 OR rybh BETWEEN 95 AND 99"
        network.execute(POLICE, f"UPDATE hj.t_czrk SET swbz = CASE swbz WHEN '1' THEN '0' ELSE '1' END WHERE {some}")
        network.wait("the parked are known again", lambda: parked(network) == 1_005, 60)
    finally:
        network.subscriber.work()
    # One probe goes first, a minute after the last failure at most.
    network.wait("nothing is parked", lambda: parked(network) == 0, 90)
    network.wait("it lags no more", lambda: kinds(network) == [], 20)
    assert_all_hold_what_is_owed(network)


def kinds(network: Network) -> list[str]:
    return [alert["kind"] for alert in network.status(PROVINCE)["alerts"]]


def still_parked(network: Network) -> set[bytes | None]:
    """The keys that the parked topic holds now: what a new process will know."""
    last = {record.key: record.value for record in network.reader(names.parked(PROVINCE, "credit_platform")).more()}
    # Without a body nothing waits: the record has left the subscriber's area, and that was acknowledged.
    return {key for key, value in last.items() if value is not None and network.codec.decode(value)[1]["body"]}


def parked(network: Network) -> int:
    return max((lag["incomplete"] for lag in network.lags(PROVINCE, PLATFORM).values()), default=0)
