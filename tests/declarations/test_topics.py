"""The physical topics of a node follow from the declarations, and where a key goes is fixed for good."""

import pytest

from sync_engine import declared
from sync_engine.model import names
from sync_engine.provision.topics import LARGEST_BATCH_BYTES, NAMES_OF, Topic, topics_of

DECLARATIONS = declared.read()
DAY = 86_400_000


def topics(node: str) -> dict[str, Topic]:
    return {topic.name: topic for topic in topics_of(DECLARATIONS, node)}


def test_the_topics_of_a_county() -> None:
    assert {
        "jinan.claim.natural_person",
        "jinan.state.natural_person",
        "jinan.golden.natural_person",
        "jinan.edge.luan.natural_person",
        "jinan.finding",
        "jinan.case",
        "jinan.alert",
        "jinan.cut",
        "jinan.dead",
        "jinan.receipt",
        "jinan.control",
        "jinan.signal",
        "jinan.cdc.public_security.hj.t_czrk",
        "jinan.cdc.public_security.hj.sync_heartbeat",
        "jinan.heartbeat.jinan.cdc.public_security",
    } <= set(topics("jinan"))


def test_a_node_between_two_has_an_edge_to_each() -> None:
    edges = {name for name in topics("luan") if ".edge." in name}

    assert {"luan.edge.anhui.natural_person", "luan.edge.jinan.natural_person"} <= edges


def test_every_subscriber_has_its_parked_topic_partitioned_like_golden() -> None:
    found = topics("anhui")

    assert found["anhui.parked.credit_platform"].partitions == found["anhui.golden.natural_person"].partitions


def test_a_compacted_topic_does_not_delete() -> None:
    assert topics("jinan")["jinan.state.natural_person"].config == {
        "cleanup.policy": "compact",
        "retention.ms": "-1",
        "max.message.bytes": str(LARGEST_BATCH_BYTES),
        "delete.retention.ms": str(30 * DAY),
        "max.compaction.lag.ms": str(7 * DAY),
    }


def test_a_captured_table_is_one_partition_kept_for_a_week() -> None:
    topic = topics("jinan")["jinan.cdc.public_security.hj.t_czrk"]

    assert (topic.partitions, topic.config) == (1, {"cleanup.policy": "delete", "retention.ms": str(7 * DAY)})


@pytest.mark.parametrize("node", DECLARATIONS.nodes)
def test_names_are_the_nodes_own_and_fit_kafka(node: str) -> None:
    found = [topic.name for topic in topics_of(DECLARATIONS, node)]

    assert len(set(found)) == len(found)
    assert all(name.startswith(f"{node}.") and len(name) <= 249 for name in found)


def test_every_family_has_its_names() -> None:
    assert set(NAMES_OF) == set(names.FAMILIES)


def test_a_key_stays_in_its_partition_for_good() -> None:
    # The published check value of CRC-32. Another function would tear every record's history apart.
    assert names.partition_of(b"123456789", 1 << 32) == 0xCBF43926
    assert names.partition_of(b"341502199003071235", 2) == 1
