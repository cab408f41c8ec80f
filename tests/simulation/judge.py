"""What every node, its cases and the subscriber must hold at the end, by the oracle; and what they hold, by the log alone."""

import json
from typing import Any

from sync_engine.model import names
from sync_engine.model.avro import golden_of_datum
from sync_engine.model.golden import MOVED, WITHDRAWN, Golden
from tests.oracle.claims import Content, canonical, digest, finding_id, findings_of
from tests.oracle.rows import Held, grouped_records, lies_in
from tests.simulation.network import ORACLE, Engine, Network, codec, declarations

ENDED = (WITHDRAWN, MOVED)
ENTITY, NODE_OF_PLATFORM, PLATFORM = "person", "prov", "prov/platform"


def simulate(seed: int, engine: Engine | None = None) -> Network:
    """Plays the seed's history and judges it: an AssertionError says what is wrong."""
    network = Network(seed, engine or Engine())
    network.run()
    judge(network)
    return network


def judge(network: Network) -> None:
    assert not network.bugs, network.bugs[:3]
    assert not network.platform.regressions, f"versions went down at the subscriber: {network.platform.regressions[:3]}"
    held = network.journal.held()
    for node in declarations().nodes:
        owed = grouped_records(ORACLE, list(held[node])).get(ENTITY, {})
        golden = goldens(network, node)
        ended = {key for key in golden.keys() - owed.keys() if has_ended_there(network, node, golden[key])}
        # Of a record that has ended it may know more endings than its own, so that it says withdrawn where its own rows say moved.
        ended |= {key for key in golden.keys() & owed.keys() if owed[key][2] in ENDED and has_ended_there(network, node, golden[key])}
        exact = {key: content for key, content in owed.items() if key not in ended}
        assert_golden(node, exact, {key: record for key, record in golden.items() if key not in ended})
        standing = {finding_id(ENTITY, key, one) for key in owed for one in owed_findings(held[node], key)}
        assert_findings(network, node, standing)
        assert_each_letter_once(network, node)
        if node == NODE_OF_PLATFORM:
            assert_platform(network, owed, golden)


def goldens(network: Network, node: str) -> dict[str, Golden]:
    """The last record of each key; on the way: versions rise one by one, content changes with each."""
    last: dict[str, Golden] = {}
    for record in records(network, names.golden(node, ENTITY)):
        key = (record.key or b"").decode()
        golden = golden_of_datum(ENTITY, key, codec().decode(record.value or b"")[1])
        if key in last:
            assert golden.version == last[key].version + 1, f"{node} {key}: version {golden.version} after {last[key].version}"
            assert golden.digest != last[key].digest, f"{node} {key}: a version without a change"
        last[key] = golden
    return last


def has_ended_there(network: Network, node: str, golden: Golden) -> bool:
    """The oracle's sender sends what there is: of a record that has ended, a node that once had it from above keeps that it has."""
    content = golden.content
    return (
        node != NODE_OF_PLATFORM
        and content.life_cycle in ENDED
        and not content.items
        and network.journal.was_within(node, (ENTITY, content.key))
    )


def assert_golden(node: str, owed: dict[str, Content], golden: dict[str, Golden]) -> None:
    assert owed.keys() == golden.keys(), f"{node}: owed {sorted(owed)}, holds {sorted(golden)}"
    for key, content in owed.items():
        assert golden[key].digest == digest(content), f"{node} {key}\n  owed {content}\n  held {golden[key].content.canonical().decode()}"
        assert golden[key].content.canonical() == canonical(content)


def owed_findings(held: list[Held], key: str) -> set[Any]:
    claims = [one.claim for one in held if one.key == key]
    return findings_of(ORACLE.entities[ENTITY], ORACLE.class_of, key, claims, [])


def assert_findings(network: Network, node: str, owed: set[str]) -> None:
    """What was raised and not cleared, and the cases that are open for it by now."""
    standing: dict[str, bool] = {}
    for record in records(network, names.finding(node)):
        datum = codec().decode(record.value or b"")[1]
        assert standing.get(datum["id"], False) != datum["standing"], f"{node}: a finding was raised or cleared twice"
        standing[datum["id"]] = datum["standing"]
    assert {one for one, stands in standing.items() if stands} == owed, f"{node}: findings"
    cases: dict[bytes | None, Any] = {}
    for record in records(network, names.case(node)):
        cases[record.key] = None if record.value is None else codec().decode(record.value)[1]
    still = [case for case in cases.values() if case is not None and case["state"] != "closed"]
    assert all(case["state"] == "open" for case in still), f"{node}: a case is pending for ever"
    assert {case["finding"] for case in still} == owed, f"{node}: cases"


def assert_each_letter_once(network: Network, node: str) -> None:
    seen: set[tuple[bytes | None, str]] = set()
    for record in records(network, names.dead(node)):
        datum = codec().decode(record.value or b"")[1]
        assert (record.key, datum["detail"]) not in seen, f"{node}: one record was put aside twice"
        seen.add((record.key, datum["detail"]))


def assert_platform(network: Network, owed: dict[str, Content], golden: dict[str, Golden]) -> None:
    """It has the newest of every record in its area, and the end of those that were in it once; and nothing else."""
    subscriber, got = declarations().subscribers[PLATFORM], network.platform.last
    area = subscriber.area
    within = {key for key, content in owed.items() if lies_in(content[4], area)}
    once = {key for key, record in golden.items() if any(lies_in(region, area) for region in record.left)}
    assert got.keys() == within | once, f"the subscriber has {sorted(got)}, is owed {sorted(within | once)}"
    for key in within:
        said = {item: {"value": value, "status": status} for item, status, value in owed[key][6] if item in subscriber.items}
        assert got[key]["version"] == golden[key].version, f"the subscriber has an old version of {key}"
        assert got[key]["items"] == said, f"the subscriber has {json.dumps(got[key]['items'])} of {key}, is owed {said}"
    for key in once - within:
        left = max(version for region, version in golden[key].left.items() if lies_in(region, area))
        assert left <= got[key]["version"] <= golden[key].version, f"the subscriber does not know that {key} has left"


def records(network: Network, topic: str) -> list[Any]:
    return [record for partition in range(len(network.broker.topics[topic])) for record in network.broker.records(topic, partition)]
