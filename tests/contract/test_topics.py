"""Creating topics, and the offsets that the lag observer asks for. Over the broker only: there is nothing to decide in them."""

import pytest

from sync_engine.runtime import topics
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.log import WorldFailure
from sync_engine.runtime.tail import KafkaTail
from sync_engine.runtime.topics import Offsets, TopicMismatch, create_topics
from tests.contract.log_worlds import KafkaWorld, Lane, until

pytestmark = pytest.mark.broker


@pytest.fixture
def kafka(broker: LocalStack) -> KafkaWorld:
    return KafkaWorld(broker.endpoints.kafka)


def test_topics_are_made_once(kafka: KafkaWorld) -> None:
    compacted, plain = kafka.name(), kafka.name()
    declared = [(compacted, 3, {"cleanup.policy": "compact"}), (plain, 1, {})]

    create_topics(kafka.bootstrap, declared)
    create_topics(kafka.bootstrap, declared)

    log = kafka.lane(kafka.name())
    assert (log.partitions(compacted), log.partitions(plain)) == (3, 1)
    kafka.close()


def test_every_topic_with_other_partitions_is_named_and_nothing_is_made(kafka: KafkaWorld) -> None:
    one, two, new = kafka.topic(1), kafka.topic(2), kafka.name()

    with pytest.raises(TopicMismatch) as refused:
        create_topics(kafka.bootstrap, [(one, 4, {}), (two, 2, {}), (new, 1, {})])
    assert str(refused.value) == f"topic {one} has 1 partitions, declared are 4"
    with pytest.raises(WorldFailure, match="does not tell"):
        kafka.offsets.list_ends([(new, 0)])

    with pytest.raises(TopicMismatch) as refused:
        create_topics(kafka.bootstrap, [(two, 1, {}), (one, 4, {})])
    assert len(str(refused.value).splitlines()) == 2


def test_a_config_that_the_broker_refuses_is_said(kafka: KafkaWorld) -> None:
    with pytest.raises(WorldFailure, match=r"could not be made.*no\.such\.config"):
        create_topics(kafka.bootstrap, [(kafka.name(), 1, {"no.such.config": "1"})])


def test_offsets_of_a_group_are_all_that_it_committed(kafka: KafkaWorld) -> None:
    one, two, group = kafka.topic(2), kafka.topic(), kafka.name()
    partitions = [(one, 0), (one, 1), (two, 0)]
    assert kafka.offsets.group_offsets(group, partitions) == {}
    log = Lane(kafka.lane(group), [one, two]).join(3).log
    log.commit([], {(one, 1): 0})
    log.commit([], {(two, 0): 5, (one, 1): 7})

    until(lambda: kafka.offsets.group_offsets(group, partitions) == {(one, 1): 7, (two, 0): 5}, "the offsets")
    assert kafka.offsets.group_offsets(group, [(one, 0)]) == {}
    assert kafka.offsets.group_offsets(group) == {}
    kafka.offsets.list_ends([(one, 1)])
    assert kafka.offsets.group_offsets(group) == {(one, 1): 7}
    kafka.close()


def test_ends_of_committed_records_stop_before_an_open_transaction(kafka: KafkaWorld) -> None:
    topic = kafka.topic(2)
    both = [(topic, 0), (topic, 1)]
    writer = kafka.writer()
    writer.put(topic, b"k", b"v", 1)
    writer.end(True)
    until(lambda: kafka.offsets.list_ends(both) == {(topic, 0): 0, (topic, 1): 2}, "the marker")
    writer = kafka.writer()
    writer.put(topic, b"k", b"v", 1)

    assert kafka.offsets.list_ends(both) == {(topic, 0): 0, (topic, 1): 2}
    assert kafka.offsets.list_open_ends(both) == {(topic, 0): 0, (topic, 1): 3}
    assert kafka.offsets.list_begins(both) == {(topic, 0): 0, (topic, 1): 0}
    assert kafka.offsets.list_ends([]) == {}
    writer.end(False)


def test_a_cut_waits_for_what_stands_in_an_open_transaction(kafka: KafkaWorld) -> None:
    """Its offsets may be committed while its marker is on its way to this partition (KIP-98, §5.2): the ends must not stop before it."""
    topic, tail = kafka.topic(), KafkaTail(kafka.bootstrap, kafka.name())
    writer = kafka.writer()
    writer.put(topic, b"k", b"v", 0)

    assert tail.ends([topic]) == {(topic, 0): 1}
    writer.end(True)
    tail.close()


def test_a_pending_offset_is_not_waited_for(kafka: KafkaWorld) -> None:
    """The observer looks at many groups: one with a hanging lane must not stop it."""
    source, group = kafka.topic(), kafka.name()
    log = Lane(kafka.lane(group), [source]).join(1).log
    log.commit([], {(source, 0): 1})
    assert log.committed([(source, 0)]) == {(source, 0): 1}  # waits for the transaction's end, which a commit does not
    writer = kafka.writer()
    writer.move(group, {(source, 0): 2})

    assert kafka.offsets.group_offsets(group, [(source, 0)]) == {(source, 0): 1}
    writer.end(True)
    assert log.committed([(source, 0)]) == {(source, 0): 2}
    assert kafka.offsets.group_offsets(group, [(source, 0)]) == {(source, 0): 2}
    kafka.close()


def test_a_broker_that_is_away_is_bad_weather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_REQUEST_SECONDS", 0.5)
    with pytest.raises(WorldFailure):
        create_topics("127.0.0.1:1", [("topic", 1, {})])
    with pytest.raises(WorldFailure):
        Offsets("127.0.0.1:1").list_ends([("topic", 0)])
    with pytest.raises(WorldFailure):
        Offsets("127.0.0.1:1").group_offsets("group", [("topic", 0)])
