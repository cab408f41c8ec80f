"""What `runtime.log.Log` promises, over Kafka in memory and over a broker. What only one of them can show stands at the end."""

import signal
import threading
import time
from collections.abc import Iterator
from zlib import crc32

import confluent_kafka as ck
import pytest

from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.runtime.kafka import KafkaLog
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.log import BatchAborted, MustRestart, TopicPartition, WorldFailure
from tests.contract.log_worlds import PATIENCE_SECONDS, SESSION_MS, Child, FakeWorld, KafkaWorld, Lane, World, seen, take, until
from tests.fakes.log import FakeLog, Fate

NO_SUCH_PARTITION = 99


@pytest.fixture(params=["fake", pytest.param("kafka", marks=pytest.mark.broker)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made: FakeWorld | KafkaWorld
    made = FakeWorld() if request.param == "fake" else KafkaWorld(request.getfixturevalue("broker").endpoints.kafka)
    yield made
    made.close()


def fill(world: World, topic: str, values: range, partition: int = 0) -> None:
    """One committed transaction."""
    writer = world.writer()
    for value in values:
        writer.put(topic, b"k", b"%d" % value, partition)
    writer.end(True)


def values(records: list) -> list[int]:  # type: ignore[type-arg]
    return [int(record.value) for record in records]


# --- taking ---


def test_records_come_as_they_were_written(world: World) -> None:
    source, target, group = world.topic(), world.topic(), world.name()
    fill(world, source, range(1))
    lane = Lane(world.lane(group), [source])
    take(lane.log, 1)
    written = [
        Emit(target, b"key", b"value", 0, (("name", b"one"), ("name", b"two"), ("empty", b""))),
        Emit(target, b"erased", None, 0),
        Emit(target, None, b"", 0),
    ]
    lane.log.commit(written, {(source, 0): 1})

    other = Lane(world.lane(world.name()), [target])
    records = take(other.log, 3)

    assert [(record.key, record.value, tuple(record.headers)) for record in records] == [
        (emit.key, emit.value, emit.headers) for emit in written
    ]
    assert [(record.topic, record.partition, record.offset) for record in records] == [(target, 0, 0), (target, 0, 1), (target, 0, 2)]
    assert all(record.timestamp_ms > 1_600_000_000_000 for record in records)


def test_ten_thousand_records_keep_their_order(world: World) -> None:
    source, target = world.topic(), world.topic()
    fill(world, source, range(1))
    lane = Lane(world.lane(world.name()), [source])
    take(lane.log, 1)
    lane.log.commit([Emit(target, b"k", b"%d" % value, 0) for value in range(10_000)], {(source, 0): 1})

    assert values(take(Lane(world.lane(world.name()), [target]).log, 10_000)) == list(range(10_000))


def test_no_more_records_are_taken_than_asked_for(world: World) -> None:
    source = world.topic()
    fill(world, source, range(10))
    lane = Lane(world.lane(world.name()), [source])

    first = until(lambda: lane.log.take(3, 0.1), "a batch")

    assert len(first) <= 3
    assert values(first + take(lane.log, 10 - len(first), max_records=3)) == list(range(10))


def test_aborted_records_are_never_taken(world: World) -> None:
    source = world.topic()
    fill(world, source, range(2))
    aborted = world.writer()
    aborted.put(source, b"k", b"666")
    aborted.end(False)
    fill(world, source, range(2, 4))

    assert values(take(Lane(world.lane(world.name()), [source]).log, 4)) == [0, 1, 2, 3]


def test_an_open_transaction_holds_back_what_stands_behind_it(world: World) -> None:
    source = world.topic()
    fill(world, source, range(1))
    lane = Lane(world.lane(world.name()), [source])
    writer = world.writer()
    writer.put(source, b"k", b"1")
    fill(world, source, range(2, 3))

    assert values(take(lane.log, 1)) == [0]
    assert lane.log.take(10, 0.3) == []
    writer.end(True)
    assert values(take(lane.log, 2)) == [1, 2]


def test_a_topic_that_is_made_later_is_picked_up(world: World) -> None:
    early, late = world.topic(), world.name()
    lane = Lane(world.lane(world.name()), [early, late]).join(1)
    world.create(late)
    fill(world, late, range(1))

    assert [record.topic for record in take(lane.log, 1)] == [late]


# --- committing ---


def test_records_and_offsets_are_committed_together(world: World) -> None:
    source, target, group = world.topic(), world.topic(), world.name()
    fill(world, source, range(3))
    log = Lane(world.lane(group), [source]).log
    records = take(log, 3)
    log.commit([Emit(target, b"k", record.value, 0) for record in records[:2]], {(source, 0): 2})

    assert log.committed([(source, 0)]) == {(source, 0): 2}
    assert values(seen(log, target)) == [0, 1]
    log.close()
    assert values(take(Lane(world.lane(group), [source]).log, 1)) == [2]


def test_an_aborted_batch_leaves_nothing_and_comes_again(world: World) -> None:
    source, target = world.topic(), world.topic()
    fill(world, source, range(3))
    log = Lane(world.lane(world.name()), [source]).log
    first = take(log, 3)

    with pytest.raises(BatchAborted):
        log.commit([Emit(target, b"k", b"1", 0), Emit(target, b"k", b"2", NO_SUCH_PARTITION)], {(source, 0): 3})
    assert seen(log, target) == []
    assert log.committed([(source, 0)]) == {(source, 0): 0}

    log.rewind()
    assert log.positions() == {(source, 0): 0}
    assert take(log, 3) == first
    log.commit([Emit(target, b"k", b"3", 0)], {(source, 0): 3})
    assert values(seen(log, target)) == [3]


def test_a_caller_that_forgets_to_rewind_loses_nothing(world: World) -> None:
    source, target = world.topic(), world.topic()
    fill(world, source, range(3))
    log = Lane(world.lane(world.name()), [source]).log
    first = take(log, 3)
    with pytest.raises(BatchAborted):
        log.commit([Emit(target, b"k", b"2", NO_SUCH_PARTITION)], {(source, 0): 3})

    assert take(log, 3) == first


def test_rewinding_forgets_what_was_fetched_ahead(world: World) -> None:
    source, target = world.topic(), world.topic()
    fill(world, source, range(1))
    feeder = Lane(world.lane(world.name()), [source]).log
    take(feeder, 1)
    feeder.commit([Emit(target, b"k", b"%d" % value, 0) for value in range(5_000)], {(source, 0): 1})
    log = Lane(world.lane(world.name()), [target]).log
    first = until(lambda: log.take(100, 0.1), "a batch")
    log.commit([], {(target, 0): first[-1].offset + 1})
    until(lambda: log.take(100, 0.1), "another batch")

    log.rewind()

    assert values(take(log, 5_000 - len(first))) == list(range(len(first), 5_000))


def test_a_record_without_a_partition_goes_by_its_key(world: World) -> None:
    source, target = world.topic(), world.topic(partitions=3)
    fill(world, source, range(1))
    log = Lane(world.lane(world.name()), [source]).log
    take(log, 1)
    keys = [b"%d" % number for number in range(30)]

    log.commit([Emit(target, key, b"v") for key in keys] + [Emit(target, None, b"no key")], {(source, 0): 1})

    assert log.partitions(target) == 3
    for partition in range(3):
        expected = [key for key in keys if crc32(key) % 3 == partition] + [None] * (partition == 0)
        assert [record.key for record in seen(log, target, partition)] == expected


def test_a_topic_that_is_not_there_is_bad_weather(world: World) -> None:
    source = world.topic()
    fill(world, source, range(1))
    log = Lane(world.lane(world.name()), [source]).log
    first = take(log, 1)

    with pytest.raises(WorldFailure, match="does not exist"):
        log.commit([Emit("nowhere", b"k", b"v")], {(source, 0): 1})

    log.rewind()
    assert take(log, 1) == first


@pytest.mark.parametrize("offsets", [{}, {("another", 0): 1}], ids=["none", "not ours"])
def test_a_transaction_moves_offsets_of_ours(world: World, offsets: dict[TopicPartition, int]) -> None:
    source, target = world.topic(), world.topic()
    log = Lane(world.lane(world.name()), [source]).join(1).log

    with pytest.raises(ValueError, match="offsets"):
        log.commit([Emit(target, b"k", b"v", 0)], offsets)
    assert seen(log, target) == []


# --- positions, ends, reading ---


def test_positions_pass_the_markers_at_the_end(world: World) -> None:
    source = world.topic(partitions=2)
    fill(world, source, range(3))
    aborted = world.writer()
    aborted.put(source, b"k", b"666")
    aborted.end(False)
    log = Lane(world.lane(world.name()), [source]).log
    assert values(take(log, 3)) == [0, 1, 2]

    # 3 records and their marker, an aborted one and its marker; nothing was ever written to the other.
    until(lambda: not log.take(10, 0.1) and log.positions() == {(source, 0): 6, (source, 1): 0}, "the positions at the end")


def test_positions_never_pass_what_was_taken(world: World) -> None:
    source = world.topic()
    fill(world, source, range(10))
    log = Lane(world.lane(world.name()), [source]).log

    first = until(lambda: log.take(4, 0.1), "a batch")

    assert log.positions() == {(source, 0): first[-1].offset + 1}


def test_positions_begin_where_the_group_has_committed(world: World) -> None:
    source, group = world.topic(), world.name()
    fill(world, source, range(3))
    log = Lane(world.lane(group), [source]).log
    take(log, 3)
    log.commit([], {(source, 0): 4})
    log.close()
    writer = world.writer()
    writer.put(source, b"k", b"held back: nothing can be taken")

    successor = Lane(world.lane(group), [source])
    assert successor.log.positions() == {}
    successor.join(1)
    assert successor.log.positions() == {(source, 0): 4}
    writer.end(False)


def test_ends_count_open_transactions(world: World) -> None:
    source = world.topic()
    fill(world, source, range(2))
    log = world.lane(world.name())
    until(lambda: log.end_offsets([(source, 0)]) == {(source, 0): 3}, "the marker")
    writer = world.writer()
    writer.put(source, b"k", b"2")

    assert log.end_offsets([(source, 0)]) == {(source, 0): 4}
    writer.end(False)
    until(lambda: log.end_offsets([(source, 0)]) == {(source, 0): 5}, "the marker")


def test_committed_is_the_beginning_at_first(world: World) -> None:
    source = world.topic(partitions=2)

    assert world.lane(world.name()).committed([(source, 0), (source, 1)]) == {(source, 0): 0, (source, 1): 0}
    assert world.lane(world.name()).committed([]) == {}


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "aborted"])
def test_committed_waits_for_an_open_transaction(world: World, commit: bool) -> None:
    source, group = world.topic(), world.name()
    log = world.lane(group)
    writer = world.writer()
    writer.move(group, {(source, 0): 5})
    found: list[dict[TopicPartition, int]] = []
    asker = threading.Thread(target=lambda: found.append(log.committed([(source, 0)])), daemon=True)
    asker.start()
    asker.join(0.5)
    assert found == []

    writer.end(commit)
    asker.join(PATIENCE_SECONDS)
    assert found == [{(source, 0): 5 if commit else 0}]


def test_reading_goes_from_start_to_end(world: World) -> None:
    source = world.topic()
    fill(world, source, range(3))  # 0 to 2, marker 3
    fill(world, source, range(4, 6))  # 4 and 5, marker 6
    log = world.lane(world.name())

    def read(start: int, end: int) -> list[int]:
        return [record.offset for records in log.read((source, 0), start, end) for record in records]

    assert read(0, 7) == [0, 1, 2, 4, 5]
    assert read(1, 5) == [1, 2, 4]
    assert read(3, 4) == []
    assert read(6, 7) == []
    assert read(7, 7) == []


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "aborted"])
def test_reading_waits_for_an_open_transaction(world: World, commit: bool) -> None:
    source = world.topic()
    fill(world, source, range(2))
    writer = world.writer()
    writer.put(source, b"k", b"2")
    log = world.lane(world.name())
    end = log.end_offsets([(source, 0)])[source, 0]
    found: list[int] = []
    halfway, done = threading.Event(), threading.Event()

    def read() -> None:
        for records in log.read((source, 0), 0, end):
            found.extend(values(records))
            halfway.set()
        done.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert halfway.wait(PATIENCE_SECONDS)
    assert not done.wait(0.5)
    assert found == [0, 1]

    writer.end(commit)
    assert done.wait(PATIENCE_SECONDS)
    reader.join()
    assert found == ([0, 1, 2] if commit else [0, 1])


# --- the group ---


def test_partitions_are_told_before_their_records_and_at_the_end(world: World) -> None:
    source = world.topic(partitions=2)
    for partition in range(2):
        fill(world, source, range(3), partition)
    lane = Lane(world.lane(world.name()), [source])
    assert lane.told == []

    # Long enough for records to come in the call that joins the group, if they could.
    records = until(lambda: lane.log.take(100, 2.0), "records")
    assert {(record.topic, record.partition) for record in records} <= lane.partitions
    take(lane.log, 6 - len(records))
    lane.log.close()

    assert [what for what, _ in lane.told] == ["assign", "revoke"]
    assert lane.told[0][1] == lane.told[1][1] == [(source, 0), (source, 1)]


def test_a_failed_assignment_is_tried_again_before_any_record(world: World) -> None:
    source = world.topic()
    fill(world, source, range(3))
    log = world.lane(world.name())
    told: list[list[TopicPartition]] = []

    def on_assign(partitions: list[TopicPartition]) -> None:
        told.append(partitions)
        if len(told) < 3:
            raise WorldFailure("the changelog is away")

    log.subscribe([source], on_assign, lambda partitions: None)
    for attempt in (1, 2):
        with pytest.raises(WorldFailure, match="changelog"):
            until(lambda: log.take(10, 0.1), "never")
        assert len(told) == attempt

    assert values(take(log, 3)) == [0, 1, 2]
    assert told == [[(source, 0)]] * 3


def test_a_second_member_gets_its_share_after_the_first_gave_it_back(world: World) -> None:
    source, group = world.topic(partitions=4), world.name()
    first = Lane(world.lane(group), [source]).join(4)
    second = Lane(world.lane(group), [source])

    def shared() -> bool:
        for lane in (first, second):
            lane.log.take(1, 0.1)
            assert not (first.partitions & second.partitions), "both have it"
        return len(first.partitions) == len(second.partitions) == 2

    until(shared, "two partitions each")
    assert first.told[1] == ("revoke", sorted(second.partitions))

    # What is ours may be committed with the share as it is now: the group's generation has moved on.
    kept = min(first.partitions)
    first.log.commit([], {kept: 0})
    second.log.close()
    until(lambda: first.log.take(1, 0.1) or len(first.partitions) == 4, "all partitions again")


def test_a_successor_goes_on_where_the_group_has_committed(world: World) -> None:
    source, target, group = world.topic(), world.topic(), world.name()
    fill(world, source, range(4))
    first = Lane(world.lane(group), [source])
    take(first.log, 4)
    first.log.commit([Emit(target, b"k", b"0", 0)], {(source, 0): 1})
    second = Lane(world.lane(group), [source])
    first.log.close()

    assert values(take(second.log, 3)) == [1, 2, 3]


# --- pausing ---


def test_a_paused_partition_stands_still_while_the_others_go_on(world: World) -> None:
    bad, good, target = world.topic(), world.topic(), world.topic()
    log = Lane(world.lane(world.name()), [bad, good]).join(2).log
    fill(world, bad, range(5))
    take(log, 5)
    log.rewind()
    log.pause([(bad, 0)])
    fill(world, good, range(3))
    fill(world, bad, range(5, 8))

    assert {record.topic for record in take(log, 3)} == {good}
    assert log.take(10, 0.3) == []
    assert log.positions()[bad, 0] == 0
    log.commit([Emit(target, b"k", b"1", 0)], {(good, 0): 3, (bad, 0): 0})
    assert log.committed([(bad, 0)]) == {(bad, 0): 0}

    log.resume([(bad, 0)])
    assert values(take(log, 8)) == list(range(8))


def test_what_was_taken_of_a_partition_before_its_pause_comes_again_if_it_was_not_committed(world: World) -> None:
    """As the brake does it: the batch is given up, then the partition is paused; nothing of it may be passed over."""
    bad, target = world.topic(), world.topic()
    fill(world, bad, range(6))
    log = Lane(world.lane(world.name()), [bad]).log
    take(log, 6)
    log.commit([], {(bad, 0): 2})
    log.rewind()
    log.commit([Emit(target, b"k", b"held", 0)], {(bad, 0): 2})
    log.pause([(bad, 0)])

    assert log.take(10, 0.3) == []
    log.rewind()
    assert log.take(10, 0.3) == []
    log.resume([(bad, 0)])
    assert values(take(log, 4)) == [2, 3, 4, 5]


def test_a_partition_goes_on_at_its_committed_offset_wherever_it_was_paused(world: World) -> None:
    source = world.topic()
    fill(world, source, range(6))
    log = Lane(world.lane(world.name()), [source]).log
    take(log, 6)
    log.commit([], {(source, 0): 2})
    log.pause([(source, 0)])
    assert log.take(10, 0.3) == []

    log.resume([(source, 0)])
    assert log.positions() == {(source, 0): 2}
    assert values(take(log, 4)) == [2, 3, 4, 5]


def test_what_was_fetched_ahead_of_a_pause_is_not_taken(world: World) -> None:
    source = world.topic()
    fill(world, source, range(2_000))
    log = Lane(world.lane(world.name()), [source]).log
    first = until(lambda: log.take(100, 0.1), "a batch")
    log.commit([], {(source, 0): len(first)})
    log.pause([(source, 0)])

    assert [log.take(100, 0.1) for _ in range(3)] == [[], [], []]
    log.resume([(source, 0)])
    assert values(take(log, 2_000 - len(first))) == list(range(len(first), 2_000))


def test_a_partition_that_is_paused_when_it_is_assigned_gives_nothing_until_it_is_resumed(world: World) -> None:
    bad, good = world.topic(), world.topic()
    for topic in (bad, good):
        fill(world, topic, range(3))
    log = world.lane(world.name())
    log.subscribe([bad, good], lambda partitions: log.pause([each for each in partitions if each[0] == bad]), lambda partitions: None)

    assert {record.topic for record in take(log, 3)} == {good}
    assert log.take(10, 0.3) == []
    log.resume([(bad, 0)])
    assert values(take(log, 3)) == [0, 1, 2]


def test_a_pause_outlasts_a_rebalance_for_whoever_keeps_the_partition_and_for_nobody_else(world: World) -> None:
    topic, group = world.topic(partitions=2), world.name()
    first = Lane(world.lane(group), [topic]).join(2)
    first.log.pause([(topic, 0), (topic, 1)])
    for partition in (0, 1):
        fill(world, topic, range(1), partition)
    second = Lane(world.lane(group), [topic])
    taken: list[Record] = []

    def shared() -> bool:
        assert first.log.take(10, 0.1) == [], "it is paused"
        taken.extend(second.log.take(10, 0.1))
        return len(taken) == 1

    until(shared, "a partition of the second's own")
    assert first.log.take(10, 0.3) == []
    kept = min(first.partitions)
    second.log.close()
    until(lambda: taken.extend(first.log.take(10, 0.1)) or (len(first.partitions) == 2 and len(taken) == 2), "the other one is given back")
    assert all(record.partition != kept[1] for record in taken)
    first.log.resume([kept])
    assert [record.partition for record in take(first.log, 1)] == [kept[1]]


# --- fencing ---


def test_whoever_has_the_same_transactional_id_is_fenced(world: World) -> None:
    source, target, one_id = world.topic(), world.topic(), world.name()
    fill(world, source, range(1))
    old = Lane(world.lane(world.name(), one_id), [source])
    take(old.log, 1)
    new = world.lane(world.name(), one_id)

    with pytest.raises(MustRestart):
        old.log.commit([Emit(target, b"k", b"zombie", 0)], {(source, 0): 1})
    assert seen(new, target) == []


def test_a_member_that_was_thrown_out_commits_nothing(world: World) -> None:
    """Its transactional id is its own and nobody fences it: only the group does (KIP-447), and the check of our own membership."""
    source, target, group = world.topic(), world.topic(), world.name()
    fill(world, source, range(2))
    zombie = Lane(world.lane(group), [source])
    take(zombie.log, 2)
    world.throw_out(zombie.log)
    successor = Lane(world.lane(group), [source])
    assert values(take(successor.log, 2)) == [0, 1]
    successor.log.commit([Emit(target, b"k", b"1", 0)], {(source, 0): 2})

    with pytest.raises(BatchAborted):
        zombie.log.commit([Emit(target, b"k", b"666", 0)], {(source, 0): 1})
    assert values(seen(successor.log, target)) == [1]
    assert successor.log.committed([(source, 0)]) == {(source, 0): 2}

    until(lambda: zombie.log.take(1, 0.1) or not zombie.partitions, "the news of its loss")
    assert zombie.told[-1] == ("revoke", [(source, 0)])


# --- what only a broker can show ---


@pytest.fixture
def kafka(broker: LocalStack) -> Iterator[KafkaWorld]:
    world = KafkaWorld(broker.endpoints.kafka)
    yield world
    world.close()


@pytest.mark.broker
@pytest.mark.parametrize("command", ["go on", "when you know"], ids=["at once", "when its threads know of its loss"])
def test_a_frozen_lane_commits_nothing_when_it_thaws(kafka: KafkaWorld, command: str) -> None:
    """Two states: as a member that is none any more, and with its place given up by its own threads, which the lane has not heard of."""
    source, target, group = kafka.topic(), kafka.topic(), kafka.name()
    fill(kafka, source, range(1))
    with Child(kafka.bootstrap, group, kafka.name(), source, target) as zombie:
        assert zombie.says() == "took"
        zombie.signal(signal.SIGSTOP)
        successor = Lane(kafka.lane(group), [source])
        assert values(take(successor.log, 1)) == [0]
        successor.log.commit([Emit(target, b"k", b"1", 0)], {(source, 0): 2})
        zombie.signal(signal.SIGCONT)
        zombie.tell(command)

        assert zombie.says() in ("aborted", "must restart")
    assert values(seen(successor.log, target)) == [1]
    assert successor.log.committed([(source, 0)]) == {(source, 0): 2}


@pytest.mark.broker
def test_an_empty_membership_is_never_sent(kafka: KafkaWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker would take it: it means a writer without a group."""
    source, target, group = kafka.topic(), kafka.topic(), kafka.name()
    fill(kafka, source, range(1))
    log = Lane(kafka.lane(group), [source]).log
    take(log, 1)
    with monkeypatch.context() as patched:
        patched.setattr(log, "_consumer", ck.Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group}))
        with pytest.raises(BatchAborted, match="no longer a member"):
            log.commit([Emit(target, b"k", b"666", 0)], {(source, 0): 1})

    assert seen(log, target) == []
    assert log.committed([(source, 0)]) == {(source, 0): 0}


@pytest.mark.broker
@pytest.mark.parametrize("same_id", [False, True], ids=["other transactional id", "same transactional id"])
def test_a_lane_killed_before_its_commit_leaves_nothing(kafka: KafkaWorld, same_id: bool) -> None:
    source, target, group, transactional_id = kafka.topic(), kafka.topic(), kafka.name(), kafka.name()
    fill(kafka, source, range(1))
    with Child(kafka.bootstrap, group, transactional_id, source, target) as child:
        assert child.says() == "took"
        child.tell("go on")
        assert child.says() == "produced"
    killed = time.monotonic()
    reader = kafka.lane(kafka.name())
    assert reader.end_offsets([(target, 0)]) == {(target, 0): 1}, "its record is there, and open"

    successor = Lane(kafka.lane(group, transactional_id if same_id else None), [source])
    assert values(take(successor.log, 1)) == [0]
    # One session until it has the partition, or as long until the transaction is over; the broker looks for those once a second.
    assert time.monotonic() - killed < SESSION_MS / 1000 * 1.5 + 3
    assert seen(reader, target) == []
    successor.log.commit([Emit(target, b"k", b"1", 0)], {(source, 0): 1})
    assert values(seen(reader, target)) == [1]


@pytest.mark.broker
def test_a_lane_killed_between_batches_is_followed_without_waiting(kafka: KafkaWorld) -> None:
    """A transaction that ended holds nobody back: the successor waits for the session alone."""
    source, target, group = kafka.topic(), kafka.topic(), kafka.name()
    fill(kafka, source, range(1))
    with Child(kafka.bootstrap, group, kafka.name(), source, target) as child:
        assert child.says() == "took"
        child.tell("go on")
        assert child.says() == "produced"
        child.tell("go on")
        assert child.says() == "committed"
        assert child.says() == "committed offset 1"
    fill(kafka, source, range(1, 2))

    successor = Lane(kafka.lane(group), [source])
    assert values(take(successor.log, 1)) == [1]
    assert values(seen(successor.log, target)) == [666]


@pytest.mark.broker
def test_a_record_that_is_too_large_aborts_its_batch(kafka: KafkaWorld) -> None:
    source, target = kafka.topic(), kafka.topic()
    fill(kafka, source, range(1))
    log = Lane(kafka.lane(kafka.name()), [source]).log
    take(log, 1)

    with pytest.raises(BatchAborted, match="MSG_SIZE_TOO_LARGE"):
        log.commit([Emit(target, b"k", b"1", 0), Emit(target, b"k", bytes(17_000_000), 0)], {(source, 0): 1})
    assert seen(log, target) == []


@pytest.mark.broker
def test_a_broker_that_is_back_within_the_transaction_costs_nothing(kafka: KafkaWorld, broker: LocalStack) -> None:
    source, target = kafka.topic(), kafka.topic()
    fill(kafka, source, range(2))
    log = Lane(kafka.lane(kafka.name()), [source]).log
    take(log, 2)
    broker.process("kafka").signal(signal.SIGSTOP)
    threading.Timer(1.5, broker.process("kafka").signal, [signal.SIGCONT]).start()

    log.commit([Emit(target, b"k", b"1", 0)], {(source, 0): 2})

    assert values(seen(log, target)) == [1]


@pytest.mark.broker
def test_a_broker_that_is_away_for_long_costs_the_batch_and_nothing_else(kafka: KafkaWorld, broker: LocalStack) -> None:
    source, target, group, transactional_id = kafka.topic(), kafka.topic(), kafka.name(), kafka.name()
    fill(kafka, source, range(2))
    log = Lane(kafka.lane(group, transactional_id), [source]).log
    first = take(log, 2)
    log.commit([Emit(target, b"k", b"1", 0)], {(source, 0): 0})
    broker.process("kafka").signal(signal.SIGSTOP)
    try:
        with pytest.raises(BatchAborted):
            log.commit([Emit(target, b"k", b"2", 0)], {(source, 0): 2})
        with pytest.raises(WorldFailure):
            log.rewind()
    finally:
        broker.process("kafka").signal(signal.SIGCONT)

    def taken_again() -> bool:
        nonlocal log
        try:
            return log.take(10, 0.1) == first
        except WorldFailure:
            return False
        except MustRestart:  # meanwhile the coordinator itself has ended the transaction, and has fenced its writer
            log = Lane(kafka.lane(group, transactional_id), [source]).log
            return False

    until(taken_again, "the same records")
    log.commit([Emit(target, b"k", b"3", 0)], {(source, 0): 2})
    assert values(seen(log, target)) == [1, 3]


@pytest.mark.broker
def test_no_broker_at_the_start_is_said_clearly() -> None:
    with pytest.raises(WorldFailure, match="no transaction coordinator within 1 s"):
        KafkaLog("127.0.0.1:1", "group", "id", start_seconds=1)


@pytest.mark.broker
def test_a_transaction_may_not_be_open_longer_than_a_session() -> None:
    with pytest.raises(ValueError, match="transaction_timeout_ms"):
        KafkaLog("127.0.0.1:1", "group", "id", session_timeout_ms=6_000, transaction_timeout_ms=6_001)


# --- what only the fake can show: the switches that tests of the loop use ---


def batch_in_hand() -> tuple[FakeWorld, FakeLog, str, str]:
    world = FakeWorld()
    source, target = world.topic(), world.topic()
    fill(world, source, range(1))
    log = world.lane(world.name())
    Lane(log, [source])
    assert values(take(log, 1)) == [0]
    return world, log, source, target


@pytest.mark.broker
def test_a_call_that_does_not_come_back_is_told_from_another_thread(broker: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka#5456: send_offsets_to_transaction may block for ever, its timeout notwithstanding."""
    world = KafkaWorld(broker.endpoints.kafka)
    source = world.topic()
    fill(world, source, range(2))
    log = Lane(world.lane(world.name()), [source]).log
    take(log, 2)
    held, released = threading.Event(), threading.Event()

    class Stuck:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def send_offsets_to_transaction(self, *arguments: object) -> None:
            held.set()
            released.wait(PATIENCE_SECONDS)
            real.send_offsets_to_transaction(*arguments)

    real, log._producer = log._producer, Stuck()
    lane = threading.Thread(target=log.commit, args=([], {(source, 0): 2}))
    lane.start()
    held.wait(PATIENCE_SECONDS)
    assert log.overdue() is None, "its time is not over"
    clock = time.monotonic
    monkeypatch.setattr("sync_engine.runtime.kafka.time.monotonic", lambda: clock() + 3_600)
    assert log.overdue() == "send_offsets_to_transaction"
    monkeypatch.undo()
    released.set()
    lane.join()

    assert log.overdue() is None
    assert log.committed([(source, 0)]) == {(source, 0): 2}
    world.close()


@pytest.mark.parametrize(
    ("fate", "error", "visible"),
    [(Fate.ABORTED, BatchAborted, []), (Fate.UNKNOWN_ABORTED, MustRestart, []), (Fate.UNKNOWN_COMMITTED, MustRestart, [1])],
)
def test_a_fate_befalls_one_commit(fate: Fate, error: type[Exception], visible: list[int]) -> None:
    world, log, source, target = batch_in_hand()
    log.next_commit = fate

    with pytest.raises(error):
        log.commit([Emit(target, b"k", b"1", 0)], {(source, 0): 1})
    assert values(world.broker.records(target)) == visible
    assert log.committed([(source, 0)]) == {(source, 0): len(visible)}
    log.commit([Emit(target, b"k", b"2", 0)], {(source, 0): 1})
    assert values(world.broker.records(target)) == [*visible, 2]


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "aborted"])
def test_a_commit_left_open_holds_back_records_and_offsets(commit: bool) -> None:
    world, log, source, target = batch_in_hand()
    world.broker.patience_seconds = 0.01
    log.next_commit = Fate.OPEN
    with pytest.raises(MustRestart):
        log.commit([Emit(target, b"k", b"1", 0)], {(source, 0): 1})
    other = world.lane(log.group)

    with pytest.raises(WorldFailure, match="open transaction"):
        other.committed([(source, 0)])
    with pytest.raises(WorldFailure, match="open transaction"):
        seen(other, target)
    world.broker.end_open(commit)
    assert other.committed([(source, 0)]) == {(source, 0): int(commit)}
    assert values(seen(other, target)) == [1] * commit


def test_a_successor_with_the_same_id_ends_what_was_left_open() -> None:
    world, log, source, target = batch_in_hand()
    log.next_commit = Fate.OPEN
    with pytest.raises(MustRestart):
        log.commit([Emit(target, b"k", b"1", 0)], {(source, 0): 1})

    assert seen(world.lane(log.group, log.transactional_id), target) == []


def test_a_fake_broker_that_is_away_costs_the_batch_and_nothing_else() -> None:
    world, log, source, target = batch_in_hand()
    world.broker.away = True
    with pytest.raises(BatchAborted):
        log.commit([Emit(target, b"k", b"1", 0)], {(source, 0): 1})
    with pytest.raises(WorldFailure):
        log.rewind()
    assert log.take(10, 0) == []

    world.broker.away = False
    assert values(take(log, 1)) == [0]
    assert world.broker.records(target) == []


def test_what_retention_took_is_passed_over() -> None:
    world, log, source, _ = batch_in_hand()
    fill(world, source, range(1, 3))
    world.broker.forget_before(source, 0, 3)

    assert world.lane(world.name()).committed([(source, 0)]) == {(source, 0): 3}
    assert [record.offset for record in seen(log, source)] == [3]
