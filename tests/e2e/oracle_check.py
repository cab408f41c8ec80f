"""The one question of every test in the end: does every node, and the subscriber, hold exactly what the departments' rows owe them?"""

from sync_engine.model.golden import Golden
from tests.e2e.network import PROVINCE, Network
from tests.oracle.claims import digest

REGION_OF_THE_PLATFORM = "34"


def assert_all_hold_what_is_owed(network: Network, within_seconds: float = 60.0) -> None:
    """Wait until all that was committed has passed everywhere; then compare every record of every node with the oracle's, by digest."""
    network.catch_up(within_seconds)
    for node in network.nodes:
        assert_holds_what_is_owed(network, node)
    _assert_the_platform_has_the_newest(network)


def assert_holds_what_is_owed(network: Network, node: str) -> None:
    owed, golden = network.journal.owed()[node], network.golden(node)
    missing, unowed = owed.keys() - golden.keys(), golden.keys() - owed.keys()
    assert not missing, f"{node} lacks {len(missing)} records, such as {sorted(missing)[:3]}"
    assert not unowed, f"{node} holds {len(unowed)} records that nobody owes it, such as {sorted(unowed)[:3]}"
    wrong = [key for key, content in owed.items() if golden[key].digest != digest(content)]
    shown = [f"\n  owed {owed[key]}\n  held {golden[key].content.canonical().decode()}" for key in wrong[:3]]
    assert not wrong, f"{node}: {len(wrong)} of {len(owed)} records differ{''.join(shown)}"


def _assert_the_platform_has_the_newest(network: Network) -> None:
    receiver = network.subscriber.receiver
    golden = network.golden(PROVINCE)
    newest = {key: record.version for key, record in golden.items() if _owed_from(record)}
    unowed = sorted(receiver.versions.keys() - newest.keys())
    assert not unowed, f"the platform was sent {len(unowed)} records that are none of its own, such as {unowed[:3]}"
    other = sorted(key for key in newest if not _owed_from(golden[key]) <= receiver.versions.get(key, 0) <= newest[key])
    assert not other, f"the platform lacks the newest version of {len(other)} of {len(newest)} records, such as {other[:3]}"
    assert (receiver.regressions, receiver.unverified) == (0, 0)
    items = network.declarations.subscribers[f"{PROVINCE}/credit_platform"].items
    for key in newest:
        content, sent = golden[key].content, network.subscriber.last[key]["items"]
        if (content.jurisdiction or "").startswith(REGION_OF_THE_PLATFORM):
            said = {item: {"value": value, "status": status} for item, status, value in content.items if item in items}
            assert sent == said


def _owed_from(golden: Golden) -> int:
    """The oldest version that is news enough: the newest in its area, the one that left it elsewhere; 0: it was never there."""
    if (golden.content.jurisdiction or "").startswith(REGION_OF_THE_PLATFORM):
        return golden.version
    return max((version for region, version in golden.left.items() if region.startswith(REGION_OF_THE_PLATFORM)), default=0)
