"""What the admin side of Kafka is asked for: topics that must exist, and where partitions begin, end and are read to.

Creating is idempotent; a topic that exists with another number of partitions is refused, never changed: its keys would move.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewTopic

from sync_engine.fault import Message
from sync_engine.runtime.log import TopicPartition, WorldFailure

logger = logging.getLogger("sync_engine.runtime.kafka")  # what the clients say by themselves goes one way

# Published without types.
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]

_REQUEST_SECONDS = 10.0
_MOVING = frozenset({ck.KafkaError.NOT_COORDINATOR, ck.KafkaError.COORDINATOR_LOAD_IN_PROGRESS, ck.KafkaError.COORDINATOR_NOT_AVAILABLE})
"""A group's coordinator is changing brokers, or its topic has just been made. The client does not wait for that by itself."""
_VISIBLE_SECONDS = 15.0
"""How long a broker may take until it tells of a topic that the controller has just made."""


class TopicMismatch(Exception):
    """Topics exist, but not as declared: all of them, one a line. A person must decide; see docs on changing partitions."""


def create_topics(
    bootstrap: str,
    topics: Iterable[tuple[str, int, Mapping[str, str]]],
    *,
    replication: int = -1,
    client: Mapping[str, str] | None = None,
) -> None:
    """Make the (name, partitions, config) that do not exist and wait until all are there. -1: the broker's default replication.

    Raises TopicMismatch, before anything is made, and WorldFailure. Does not touch the config of topics that exist: `plan` tells.
    """
    admin = _admin(bootstrap, client)
    wanted = {name: (partitions, dict(config)) for name, partitions, config in topics}
    _refuse_mismatches({name: partitions for name, (partitions, _) in wanted.items()}, _existing(admin))
    missing = [
        NewTopic(name, num_partitions=partitions, replication_factor=replication, config=config)
        for name, (partitions, config) in wanted.items()
        if name not in _existing(admin)
    ]
    if missing:
        for name, made in admin.create_topics(missing, operation_timeout=_REQUEST_SECONDS, request_timeout=_REQUEST_SECONDS).items():
            try:
                made.result()
            except ck.KafkaException as failure:
                # Somebody else made it meanwhile; whether as declared is checked below.
                if failure.args[0].code() != ck.KafkaError.TOPIC_ALREADY_EXISTS:
                    raise WorldFailure(Message("topic {name} could not be made: {why}", name=name, why=failure.args[0].str())) from failure
    _wait_until_visible(admin, {name: partitions for name, (partitions, _) in wanted.items()})


def describe_topics(
    bootstrap: str, topics: Iterable[str], *, client: Mapping[str, str] | None = None
) -> dict[str, tuple[int, dict[str, str]]]:
    """(partitions, config, defaults included) of those of the topics that exist. Raises WorldFailure."""
    admin = _admin(bootstrap, client)
    existing = _existing(admin)
    asked = {name: ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics if name in existing}
    if not asked:
        return {}
    answers = admin.describe_configs([*asked.values()], request_timeout=_REQUEST_SECONDS)
    found = {}
    for name, resource in asked.items():
        entries = _result(f"the config of topic {name}", answers[resource])
        found[name] = (existing[name], {key: entry.value for key, entry in entries.items()})
    return found


def alter_topics(bootstrap: str, configs: Mapping[str, Mapping[str, str]], *, client: Mapping[str, str] | None = None) -> None:
    """Set these settings of these topics, and leave the others as they are. Raises WorldFailure."""
    admin = _admin(bootstrap, client)
    resources = [
        ConfigResource(
            ConfigResource.Type.TOPIC,
            name,
            incremental_configs=[ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()],
        )
        for name, config in configs.items()
    ]
    if resources:
        for resource, done in admin.incremental_alter_configs(resources, request_timeout=_REQUEST_SECONDS).items():
            _result(f"whether the config of {resource.name} was changed", done)


def _admin(bootstrap: str, client: Mapping[str, str] | None) -> AdminClient:
    settings: dict[str, Any] = {**(client or {}), "bootstrap.servers": bootstrap, "logger": logger}  # else it writes to stderr
    return AdminClient(settings)


def _existing(admin: AdminClient) -> dict[str, int]:
    try:
        metadata = admin.list_topics(timeout=_REQUEST_SECONDS)
    except ck.KafkaException as failure:
        raise WorldFailure(Message("the broker does not tell its topics: {why}", why=failure.args[0].str())) from failure
    return {name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.error is None}


def _refuse_mismatches(wanted: Mapping[str, int], existing: Mapping[str, int]) -> None:
    wrong = [
        f"topic {name} has {existing[name]} partitions, declared are {partitions}"
        for name, partitions in sorted(wanted.items())
        if existing.get(name, partitions) != partitions
    ]
    if wrong:
        raise TopicMismatch("\n".join(wrong))


def _wait_until_visible(admin: AdminClient, wanted: Mapping[str, int]) -> None:
    deadline = time.monotonic() + _VISIBLE_SECONDS
    while missing := sorted(wanted.keys() - (existing := _existing(admin)).keys()):
        if time.monotonic() > deadline:
            raise WorldFailure(Message("topics were made, but are still not to be seen: {topics}", topics=", ".join(missing)))
        time.sleep(0.05)
    _refuse_mismatches(wanted, existing)


class Offsets:
    """Where partitions begin and end and where groups stand, in batches. Keep one: it holds connections. For one thread."""

    def __init__(self, bootstrap: str, *, client: Mapping[str, str] | None = None) -> None:
        self._common = {**(client or {}), "bootstrap.servers": bootstrap}
        self._admin = _admin(bootstrap, client)
        self._groups: dict[str, ck.Consumer] = {}
        self._asked: dict[TopicPartition, None] = {}

    def group_offsets(self, group: str, partitions: Sequence[TopicPartition] | None = None) -> dict[TopicPartition, int]:
        """The next offsets the group has committed, where it has. Not waiting for open transactions, so a moment behind a commit.

        `partitions` None: all that this object was ever asked about.
        """
        wanted = [ck.TopicPartition(topic, partition) for topic, partition in (self._asked if partitions is None else partitions)]
        if not wanted:
            return {}
        asker = self._groups.get(group)
        if asker is None:
            asker = self._groups[group] = ck.Consumer({**self._common, **_asking(group)})
        asker.poll(0)  # its log lines
        answers = committed_offsets(asker, wanted, _REQUEST_SECONDS)
        return {(each.topic, each.partition): each.offset for each in answers if each.offset >= 0}

    def list_ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where a reader of committed records can get to now: open transactions, and what stands behind them, do not count."""
        return self._list(partitions, _LATEST, ck.IsolationLevel.READ_COMMITTED)

    def list_open_ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the partitions end, records of open transactions included."""
        return self._list(partitions, _LATEST, ck.IsolationLevel.READ_UNCOMMITTED)

    def list_begins(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The oldest offset still kept."""
        return self._list(partitions, _EARLIEST, ck.IsolationLevel.READ_UNCOMMITTED)

    def _list(self, partitions: Sequence[TopicPartition], spec: OffsetSpec, isolation: ck.IsolationLevel) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        self._admin.poll(0)  # its log lines
        self._asked.update(dict.fromkeys(partitions))
        asked = self._admin.list_offsets(
            {ck.TopicPartition(topic, partition): spec for topic, partition in partitions},
            isolation_level=isolation,
            request_timeout=_REQUEST_SECONDS,
        )
        try:
            return {
                (at.topic, at.partition): _result(f"the offset of {at.topic}/{at.partition}", each).offset for at, each in asked.items()
            }
        except WorldFailure:
            # A broker that was started again leads in a new epoch (FENCED_LEADER_EPOCH): the client asks in the old one until it looks.
            with suppress(ck.KafkaException):
                self._admin.list_topics(timeout=_REQUEST_SECONDS)
            raise

    def close(self) -> None:
        for asker in self._groups.values():
            asker.close()
        self._groups.clear()


def committed_offsets(asker: ck.Consumer, partitions: list[ck.TopicPartition], seconds: float) -> list[ck.TopicPartition]:
    """The offsets of the consumer's group, below zero where it has none. Waits while the coordinator moves. WorldFailure."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answers = asker.committed(partitions, max(deadline - time.monotonic(), 0.1))
            break
        except ck.KafkaException as failure:
            if failure.args[0].code() not in _MOVING or time.monotonic() > deadline:
                raise WorldFailure(Message("the broker does not tell the group's offsets: {why}", why=failure.args[0].str())) from failure
        time.sleep(0.05)
    for answer in answers:
        if answer.error is not None:
            raise WorldFailure(f"the group's offset of {answer.topic}/{answer.partition} is not to be had: {answer.error.str()}")
    return answers


def _asking(group: str) -> dict[str, Any]:
    """A consumer that joins nothing: the admin client's own request for a group's offsets crashes the process while a coordinator moves."""
    return {
        "group.id": group,
        "isolation.level": "read_uncommitted",  # what is committed now; read_committed would wait for open transactions
        "enable.auto.commit": False,
        "allow.auto.create.topics": False,
        "logger": logger,
    }


def _result(what: str, asked: "Future[Any]") -> Any:
    try:
        return asked.result()
    except ck.KafkaException as failure:
        raise WorldFailure(Message("the broker does not tell {what}: {why}", what=Message(what), why=failure.args[0].str())) from failure
