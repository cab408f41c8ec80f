"""What the admin side of Kafka is asked for: topics that must exist, and where partitions begin, end and are read to.

Creating is idempotent; a topic that exists with another number of partitions is refused, never changed: its keys would move.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewTopic

from sync_engine.runtime.log import TopicPartition, WorldFailure

logger = logging.getLogger(__name__)

# Published without types.
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]

_REQUEST_SECONDS = 10.0
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
                    raise WorldFailure(f"topic {name} could not be made: {failure.args[0].str()}") from failure
    _wait_until_visible(admin, {name: partitions for name, (partitions, _) in wanted.items()})


def _admin(bootstrap: str, client: Mapping[str, str] | None) -> AdminClient:
    settings: dict[str, Any] = {**(client or {}), "bootstrap.servers": bootstrap, "logger": logger}  # else it writes to stderr
    return AdminClient(settings)


def _existing(admin: AdminClient) -> dict[str, int]:
    try:
        metadata = admin.list_topics(timeout=_REQUEST_SECONDS)
    except ck.KafkaException as failure:
        raise WorldFailure(f"the broker does not tell its topics: {failure.args[0].str()}") from failure
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
            raise WorldFailure(f"topics were made, but are still not to be seen: {', '.join(missing)}")
        time.sleep(0.05)
    _refuse_mismatches(wanted, existing)


class Offsets:
    """Where partitions begin and end and where a group stands, in batches. Keep one: it holds a connection. For any one thread."""

    def __init__(self, bootstrap: str, *, client: Mapping[str, str] | None = None) -> None:
        self._admin = _admin(bootstrap, client)

    def group_offsets(self, group: str) -> dict[TopicPartition, int]:
        """The next offsets the group has committed, of every partition it ever committed. An open transaction's are not waited for."""
        asked = self._admin.list_consumer_group_offsets([ck.ConsumerGroupTopicPartitions(group)], request_timeout=_REQUEST_SECONDS)
        answer = _result(f"the offsets of group {group}", asked[group])
        return {(each.topic, each.partition): each.offset for each in answer.topic_partitions if each.error is None and each.offset >= 0}

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
        asked = self._admin.list_offsets(
            {ck.TopicPartition(topic, partition): spec for topic, partition in partitions},
            isolation_level=isolation,
            request_timeout=_REQUEST_SECONDS,
        )
        return {(at.topic, at.partition): _result(f"the offset of {at.topic}/{at.partition}", each).offset for at, each in asked.items()}


def _result(what: str, asked: "Future[Any]") -> Any:
    try:
        return asked.result()
    except ck.KafkaException as failure:
        raise WorldFailure(f"the broker does not tell {what}: {failure.args[0].str()}") from failure
