"""Deliveries into a Kafka topic, on any cluster: an idempotent producer outside our transaction, every delivery report awaited.

The key is the entity key, the headers hold the webhook id and the version. An acknowledgement that was lost brings a record twice, with
the same id. The surprise: what is unanswered may still arrive, but before anything that is sent later, so versions rise within a producer;
across a takeover the reader's own look at the version is what guards.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import confluent_kafka as ck

from sync_engine.model.declaration import TopicTarget
from sync_engine.model.names import partition_of
from sync_engine.model.stage import Answer, Request
from sync_engine.runtime.push import ID
from sync_engine.runtime.target import REFUSED

VERSION = "version"
_GIVE_UP_MS = 15_000
"""When librdkafka itself gives up on what is in flight: no sooner than the longest request."""
_REFUSED = frozenset(
    {ck.KafkaError.MSG_SIZE_TOO_LARGE, ck.KafkaError.INVALID_MSG, ck.KafkaError.INVALID_RECORD, ck.KafkaError.POLICY_VIOLATION}
)
_WORDS: Mapping[int, str] = {
    ck.KafkaError.UNKNOWN_TOPIC_OR_PART: "the topic or its partition does not exist",
    ck.KafkaError._UNKNOWN_TOPIC: "the topic does not exist",
    ck.KafkaError._UNKNOWN_PARTITION: "the topic has fewer partitions than declared",
    ck.KafkaError.TOPIC_AUTHORIZATION_FAILED: "the topic may not be written",
    ck.KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the cluster may not be written",
    ck.KafkaError._AUTHENTICATION: "the brokers refuse the credentials",
    ck.KafkaError._MSG_TIMED_OUT: "no answer of the brokers",
    ck.KafkaError._PURGE_QUEUE: "no answer of the brokers",
    ck.KafkaError._ALL_BROKERS_DOWN: "no broker can be reached",
    ck.KafkaError.MSG_SIZE_TOO_LARGE: "the record is larger than the topic takes",
}
logger = logging.getLogger("sync_engine.runtime.kafka")  # what the clients say by themselves goes one way


class TopicWriter:
    """`Target` over a topic. For one thread."""

    def __init__(self, topic: TopicTarget, bootstrap: str, client: Mapping[str, str], version_of: Callable[[bytes], int]) -> None:
        """`client` = what every client of these brokers needs (TLS, SASL). `version_of` = the version that a body is of."""
        self._topic, self._version_of = topic, version_of
        self._config = {
            **client,
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0,
            "compression.type": "lz4",
            "message.timeout.ms": _GIVE_UP_MS,
            "allow.auto.create.topics": False,
            "logger": logger,
        }
        self._producer: ck.Producer | None = None

    def deliver(self, requests: Sequence[Request]) -> Sequence[Answer]:
        answers: list[Answer | None] = [None] * len(requests)
        limit = max((request.timeout_seconds for request in requests), default=0.0)
        deadline = time.monotonic() + limit
        try:
            producer = self._open()
        except ck.KafkaException as failure:
            return [_failed(failure.args[0])] * len(requests)
        fatal = False
        for number, request in enumerate(requests):

            def report(error: ck.KafkaError | None, _: object, number: int = number) -> None:
                nonlocal fatal
                fatal = fatal or (error is not None and error.fatal())
                answers[number] = Answer(True, None, "acknowledged by all replicas in sync") if error is None else _failed(error)

            try:
                producer.produce(
                    self._topic.name,
                    key=request.key,
                    value=request.body,
                    partition=partition_of(request.key, self._topic.partitions),
                    headers=[(ID, request.webhook_id.encode()), (VERSION, str(self._version_of(request.body)).encode())],
                    on_delivery=report,
                )
            except ck.KafkaException as failure:
                report(failure.args[0], None)
            except BufferError:
                answers[number] = Answer(False, None, "not sent: others are waiting for these brokers")
        while None in answers and (left := deadline - time.monotonic()) > 0:
            producer.poll(min(left, 0.1))
        if None in answers:
            # What was not sent yet is not to be sent behind the stage's back; what is in flight may still arrive.
            producer.purge(in_queue=True, in_flight=False)
            producer.poll(0)
        if fatal:
            self.close()
        return [answer or Answer(False, None, f"no answer within {limit:g} s") for answer in answers]

    def _open(self) -> ck.Producer:
        if self._producer is None:
            self._producer = ck.Producer(self._config)
        return self._producer

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(ck.KafkaException):
                producer.purge()
                producer.poll(0)


def _failed(error: ck.KafkaError) -> Answer:
    code = error.code()
    # The name of the error alone: its text is the world's, and may hold anything.
    return Answer(False, REFUSED if code in _REFUSED else None, _WORDS.get(code) or f"the brokers do not take it: {error.name()}")
