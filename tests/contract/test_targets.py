"""One suite for every target: a webhook, a Kafka topic, a table in PostgreSQL and in MariaDB, each the real thing, behind what breaks it.

Where a Kafka or a database is to be away, the target is pointed through a door that a test may shut or hold.
"""

import asyncio
import base64
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import confluent_kafka as ck
import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.mysql import pymysql

from sync_engine.deliver.payload import Row
from sync_engine.deliver.stage import DeliverStage
from sync_engine.model.declaration import TableTarget, TopicTarget
from sync_engine.model.stage import Answer, Request
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.push import ID, WebhookPusher
from sync_engine.runtime.receiver import Receiver
from sync_engine.runtime.table_target import DRIVERS, TableWriter, upsert, upsert_all
from sync_engine.runtime.target import Target, WebhookTarget
from sync_engine.runtime.topic_target import TopicWriter
from sync_engine.runtime.topics import create_topics
from sync_engine.setting_kinds import Secret
from tests.cases.test_deliver_cases import BEGAN_MS, RECEIPTS, SUBSCRIBER, codec, parked, put
from tests.fakes.lane import FakeLane

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
PERSON = "张伟"
DATABASES = [pytest.param(name, marks=pytest.mark.stack) for name in ("postgres", "mariadb")]


class Place(Protocol):
    """A receiver, with what a test does to it and sees of it."""

    target: Target

    def again(self) -> Target:
        """A target as a process that was started again has it."""

    def body(self, key: str, version: int) -> bytes: ...

    def versions(self) -> dict[str, int]:
        """What a receiver that heeds the versions now has."""

    def away(self) -> None: ...

    def slow(self) -> None: ...

    def back(self) -> None: ...

    def close(self) -> None: ...


class Door:
    """A TCP forwarder on a thread of its own: open, shut (refuses) or held (takes, and says nothing)."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._open = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.open()

    def open(self) -> None:
        self._run(self._begin())

    def shut(self) -> None:
        self._run(self._end())

    def hold(self) -> None:
        self._loop.call_soon_threadsafe(self._open.clear)

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _begin(self) -> None:
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._meet, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(*self._to)
        self._writers |= {writer, there[1]}
        await asyncio.gather(self._pass(reader, there[1]), self._pass(there[0], writer), return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


class WebhookPlace:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._receiver = Receiver([SECRET])
        self._run(self._receiver.__aenter__())
        self._pusher = WebhookPusher()
        self.target: Target = self.again()

    def again(self) -> Target:
        return WebhookTarget(self._pusher, self._receiver.url, [Secret(SECRET)], self._loop, lambda: int(time.time() * 1000))

    def body(self, key: str, version: int) -> bytes:
        return msgspec.json.encode({"data": {"entity": "person", "key": key, "version": version}})

    def versions(self) -> dict[str, int]:
        return {key: version for (_, key), version in self._receiver.versions.items()}

    def away(self) -> None:
        self._receiver.reset()

    def slow(self) -> None:
        self._receiver.hang()

    def back(self) -> None:
        self._receiver.work()

    def close(self) -> None:
        self._run(self._pusher.close())
        self._run(self._receiver.__aexit__(None, None, None))

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)


class TablePlace:
    def __init__(self, url: str) -> None:
        given = sa.make_url(url)
        self._name = f"t{uuid.uuid4().hex[:12]}"
        direct = given.set(drivername=DRIVERS[given.drivername])
        self.admin = sa.create_engine(direct)
        schema = "public" if given.drivername == "postgresql" else str(given.database)
        collation = "" if given.drivername == "postgresql" else "COLLATE utf8mb4_bin"
        self.table = TableTarget(f"{schema}.{self._name}", "id", "version", "state", {"name": "xm", "born": "csrq"})
        with self.admin.begin() as connection:
            connection.execute(
                sa.text(
                    f"CREATE TABLE {self.table.name} (id varchar(40) {collation}, version bigint NOT NULL, state varchar(20) NOT NULL,"
                    f" xm varchar(10) UNIQUE, csrq date, zczb numeric(38, 2), CONSTRAINT {self._name}_pkey PRIMARY KEY (id))"
                )
            )
        self.door = Door(str(given.host), given.port or (5432 if given.drivername == "postgresql" else 3306))
        self.url = given.set(host="127.0.0.1", port=self.door.port).render_as_string(hide_password=False)
        self.target: Target = self.again()

    def again(self) -> Target:
        return TableWriter(self.table, Secret(self.url))

    def body(self, key: str, version: int, name: str | None = None, born: str = "1990-01-02") -> bytes:
        return msgspec.json.encode(Row(key, version, {"xm": name, "csrq": born, "state": "live"}))

    def versions(self) -> dict[str, int]:
        with self.admin.begin() as connection:
            return {str(key): int(version) for key, version in connection.execute(sa.text(f"SELECT id, version FROM {self.table.name}"))}

    def away(self) -> None:
        self.door.shut()

    def slow(self) -> None:
        self.door.hold()

    def back(self) -> None:
        self.door.open()

    def close(self) -> None:
        self.door.open()
        self.target.close()
        with self.admin.begin() as connection:
            connection.execute(sa.text(f"DROP TABLE {self.table.name}"))
        self.admin.dispose()
        self.door.shut()


class TopicPlace:
    """The broker is frozen and woken by signals: it tells its own address, so no door stands before it."""

    def __init__(self, broker: LocalStack) -> None:
        self.bootstrap = broker.endpoints.kafka
        self._process = broker.process("kafka")
        self.topic = TopicTarget(f"credit-{uuid.uuid4().hex[:12]}", 2)
        create_topics(self.bootstrap, [(self.topic.name, 2, {})])
        self.target: Target = self.again()

    def again(self) -> Target:
        return TopicWriter(self.topic, self.bootstrap, {}, lambda body: int(msgspec.json.decode(body)["version"]))

    def body(self, key: str, version: int) -> bytes:
        return msgspec.json.encode({"key": key, "version": version})

    def records(self) -> list[ck.Message]:
        consumer = ck.Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader", "enable.partition.eof": True})
        consumer.assign([ck.TopicPartition(self.topic.name, number, 0) for number in range(2)])
        found: list[ck.Message] = []
        ended = 0
        while ended < 2:
            message = consumer.poll(10)
            assert message is not None
            if message.error() is None:
                found.append(message)
            else:
                ended += 1
        consumer.close()
        return found

    def versions(self) -> dict[str, int]:
        kept: dict[str, int] = {}
        for record in self.records():
            key, version = (record.key() or b"").decode(), int(dict(record.headers() or [])["version"])
            kept[key] = max(version, kept.get(key, 0))
        return kept

    def away(self) -> None:
        self._process.freeze()

    slow = away

    def back(self) -> None:
        self._process.thaw()

    def close(self) -> None:
        self.back()
        self.target.close()


@pytest.fixture(
    params=[
        "webhook",
        pytest.param("topic", marks=pytest.mark.broker),
        *DATABASES,
    ]
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    found: Place
    if request.param == "webhook":
        found = WebhookPlace()
    elif request.param == "topic":
        found = TopicPlace(request.getfixturevalue("broker"))
    else:
        found = TablePlace(request.getfixturevalue(request.param))
    yield found
    found.close()


@pytest.fixture(params=DATABASES)
def table(request: pytest.FixtureRequest) -> Iterator[TablePlace]:
    found = TablePlace(request.getfixturevalue(request.param))
    yield found
    found.close()


def asked(place: Place, key: str, version: int, seconds: float = 10.0, body: bytes | None = None) -> Request:
    return Request("credit", key.encode(), 0, f"msg_{key}_{version}", body or place.body(key, version), seconds)


def outcomes(answers: Any) -> list[bool]:
    return [answer.acknowledged for answer in answers]


def try_until(place: Place, target: Target, request: Request) -> None:
    deadline = time.monotonic() + 30
    while not target.deliver([request])[0].acknowledged:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_is_acknowledged_is_there(place: Place) -> None:
    assert outcomes(place.target.deliver([asked(place, f"k{number}", 1) for number in range(50)])) == [True] * 50
    assert place.versions() == {f"k{number}": 1 for number in range(50)}


def test_nothing_is_asked_of_nobody(place: Place) -> None:
    assert list(place.target.deliver([])) == []


def test_duplicates_and_older_versions_never_overwrite_newer(place: Place) -> None:
    for version in (1, 3, 3, 2):
        assert outcomes(place.target.deliver([asked(place, "k", version)])) == [True]
    assert place.versions() == {"k": 3}


def test_a_process_that_is_started_again_goes_on(place: Place) -> None:
    place.target.deliver([asked(place, "k", 1)])
    place.target.close()
    place.target = place.again()
    assert outcomes(place.target.deliver([asked(place, "k", 1), asked(place, "l", 1)])) == [True, True]
    assert place.versions() == {"k": 1, "l": 1}


@pytest.mark.parametrize("how", ["away", "slow"])
def test_who_is_away_or_slow_costs_the_time_asked_for_and_gets_it_later(place: Place, how: str) -> None:
    place.target.deliver([asked(place, "k", 1)])
    getattr(place, how)()
    began = time.monotonic()
    try:
        (answer,) = place.target.deliver([asked(place, "k", 2, 0.5)])
        assert (answer.acknowledged, answer.status) == (False, None)
        assert PERSON not in answer.why and "k" not in answer.why.split()
        assert time.monotonic() - began < 2
    finally:
        place.back()
    try_until(place, place.target, asked(place, "k", 2))
    assert place.versions() == {"k": 2}


# --- what a table refuses


@pytest.mark.stack
def test_a_row_that_is_refused_holds_back_itself_alone(table: TablePlace) -> None:
    requests = [
        asked(table, "a", 1, body=table.body("a", 1, PERSON)),
        asked(table, "b", 1, body=table.body("b", 1, PERSON * 20)),
        asked(table, "c", 1, body=table.body("c", 1, born="no day")),
        asked(table, "d", 1, body=table.body("d", 1, PERSON)),
        asked(table, "e", 1),
    ]
    answers = table.target.deliver(requests)
    assert outcomes(answers) == [True, False, False, False, True]
    assert [answer.status for answer in answers] == [None, 422, 422, 422, None]
    assert not any(PERSON in answer.why or "no day" in answer.why for answer in answers)


@pytest.mark.stack
def test_a_decimal_is_kept_to_the_digit(table: TablePlace) -> None:
    digits = "123456789012345678901234567890123456.12"
    target = TableWriter(replace(table.table, columns={"capital": "zczb"}), Secret(table.url))
    row = Row("k", 1, {"zczb": digits, "state": "live"})

    assert outcomes(target.deliver([asked(table, "k", 1, body=msgspec.json.encode(row))])) == [True]
    target.close()

    with table.admin.begin() as connection:
        assert str(connection.execute(sa.text(f"SELECT zczb FROM {table.table.name}")).scalar()) == digits


@pytest.mark.stack
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("DROP COLUMN xm", "a declared column does not exist"),
        ("RENAME", "the table does not exist"),
        ("DROP PRIMARY KEY", "the key column is no primary key and has no unique index"),
    ],
)
def test_a_table_that_is_not_as_declared_is_a_failure_of_the_endpoint(table: TablePlace, change: str, why: str) -> None:
    schema, _, name = table.table.name.partition(".")
    rename, back = f"RENAME TO {schema}.gone", f"RENAME TO {table.table.name}"
    changes = {"DROP PRIMARY KEY": "DROP PRIMARY KEY", "RENAME": rename}
    if table.admin.dialect.name == "postgresql":
        changes, back = {"DROP PRIMARY KEY": f"DROP CONSTRAINT {name}_pkey", "RENAME": "RENAME TO gone"}, f"RENAME TO {name}"
    with table.admin.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table.table.name} {changes.get(change, change)}"))
    assert list(table.target.deliver([asked(table, "k", 1)])) == [Answer(False, None, why)]
    if change == "RENAME":
        with table.admin.begin() as connection:
            connection.execute(sa.text(f"ALTER TABLE {schema}.gone {back}"))


@pytest.mark.stack
def test_a_key_column_of_mariadb_that_takes_different_keys_for_equal_is_a_failure_of_the_endpoint(mariadb: str) -> None:
    table = TablePlace(mariadb)
    with table.admin.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table.table.name} MODIFY id varchar(40) COLLATE utf8mb4_general_ci"))
    (answer,) = table.target.deliver([asked(table, "k", 1)])
    assert (answer.acknowledged, answer.status, "binary collation" in answer.why) == (False, None, True)
    with table.admin.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {table.table.name} MODIFY id varchar(40) COLLATE utf8mb4_bin"))
    assert outcomes(table.target.deliver([asked(table, "k", 1)])) == [True]
    table.close()


def test_the_version_guards_every_column_and_on_mariadb_is_assigned_last() -> None:
    table = TableTarget("gov.person", "id", "v", "state", {"name": "xm"})
    newer = "VALUES(id) = gov.person.id AND VALUES(v) > coalesce(gov.person.v, -1)"
    assert str(upsert(table, "mysql").compile(dialect=pymysql.dialect(is_mariadb=True))) == (
        "INSERT INTO gov.person (id, v, xm, state) VALUES (%s, %s, %s, %s) ON DUPLICATE KEY UPDATE "
        + ", ".join(f"{column} = if({newer}, VALUES({column}), gov.person.{column})" for column in ("xm", "state", "v"))
    )
    assert str(upsert(table, "postgresql").compile(dialect=postgresql.dialect())).endswith(" WHERE excluded.v > coalesce(gov.person.v, -1)")
    of_many = str(upsert_all(table).compile(dialect=postgresql.dialect()))
    assert of_many.endswith(" SET v = excluded.v, xm = excluded.xm, state = excluded.state WHERE excluded.v > coalesce(gov.person.v, -1)")


@pytest.mark.stack
def test_what_a_table_misses_while_it_is_away_is_parked_and_comes_later(table: TablePlace) -> None:
    """The deliver stage and the table together: through an outage and a restart, the newest version of every record."""
    subscriber = replace(
        SUBSCRIBER, kind="table", table=replace(table.table, columns=dict(zip(SUBSCRIBER.items[:2], ("xm", "csrq"), strict=False)))
    )
    table.table = subscriber.table or table.table
    table.target.close()
    table.target = table.again()
    lane = FakeLane(
        subscriber.node, lambda: DeliverStage(subscriber, codec()), codec(), [RECEIPTS], perform=lambda asked: table.target.deliver(asked)
    )
    put(lane, {"key": "A", "version": 1})
    lane.turn(BEGAN_MS)
    table.away()
    for key, version in (("A", 2), ("B", 1), ("A", 3)):
        put(lane, {"key": key, "version": version})
        lane.turn(BEGAN_MS + 1_000)
    assert {key: one["version"] for key, one in parked(lane, {}).items()} == {"A": 3, "B": 1}
    table.back()
    lane.restart()
    for seconds in range(10, 4_000, 100):
        lane.turn(BEGAN_MS + seconds * 1000)
    assert (parked(lane, {}), table.versions()) == ({}, {"A": 3, "B": 1})


# --- what a topic gets


@pytest.mark.broker
def test_a_topic_gets_the_key_and_the_headers_in_rising_versions(broker: LocalStack) -> None:
    place = TopicPlace(broker)
    for version in range(1, 20):
        assert outcomes(place.target.deliver([asked(place, "k", version)])) == [True]
    records = place.records()
    assert {record.key() for record in records} == {b"k"}
    assert [dict(record.headers() or []) for record in records] == [
        {ID: f"msg_k_{version}".encode(), "version": str(version).encode()} for version in range(1, 20)
    ]
    place.close()


@pytest.mark.broker
def test_a_topic_that_is_not_there_is_a_failure_of_the_endpoint(broker: LocalStack) -> None:
    writer = TopicWriter(TopicTarget("nowhere-at-all", 1), broker.endpoints.kafka, {}, lambda body: 1)
    (answer,) = writer.deliver([Request("credit", b"k", 0, "msg", b"{}", 5.0)])
    assert (answer.acknowledged, answer.status) == (False, None)
    writer.close()


# --- one does not hold up the others


def test_a_dead_subscriber_does_not_slow_the_others() -> None:
    """Each lane calls its target in a thread of its own: while one waits out its time, another delivers all it has."""
    dead, well = WebhookPlace(), WebhookPlace()
    dead.slow()
    waiting = threading.Thread(target=lambda: dead.target.deliver([asked(dead, f"k{number}", 1, 3.0) for number in range(100)]))
    waiting.start()
    began = time.monotonic()
    for version in range(1, 21):
        assert outcomes(well.target.deliver([asked(well, "k", version)])) == [True]
    took = time.monotonic() - began
    assert waiting.is_alive() and took < 2
    waiting.join()
    dead.back()
    dead.close()
    well.close()
