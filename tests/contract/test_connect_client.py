"""The client of Kafka Connect: its manners against a scripted server, its words against a real one.

What the scripted server answers was copied from Kafka Connect 4.3.1, the page of a starting worker included.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest

from sync_engine.runtime import connect
from sync_engine.runtime.connect import ConnectClient, ConnectorConfig, Retry, mask, mask_text
from sync_engine.runtime.localstack import LocalStack

RUNNING = {"name": "c", "connector": {"state": "RUNNING", "worker_id": "w:1"}, "tasks": [{"id": 0, "state": "RUNNING", "worker_id": "w:1"}]}
STARTING_PAGE = httpx2.Response(404, html="<html><title>Error 404 Not Found</title></html>")
REBALANCE = "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway."

Answer = httpx2.Response | Exception


class Scripted:
    """A server that gives the answers one by one (the last one for ever) and notes what it was asked and how long was slept."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[httpx2.Request] = []
        self.slept: list[float] = []
        self.seconds = 0.0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def client(self, retry: Retry = Retry(attempts=3), url: str = "http://connect:8083") -> ConnectClient:  # noqa: B008  (frozen)
        return ConnectClient(url, transport=httpx2.MockTransport(self), retry=retry, sleep=self.sleep, clock=lambda: self.seconds)


def said(status: int, message: str) -> httpx2.Response:
    return httpx2.Response(status, json={"error_code": status, "message": message})


def ok(body: object = None) -> httpx2.Response:
    return httpx2.Response(202) if body is None else httpx2.Response(200, json=body)


# --- attempts


async def test_a_rebalance_is_waited_for_with_growing_pauses() -> None:
    server = Scripted(said(409, REBALANCE), said(409, REBALANCE), ok(RUNNING))
    assert (await server.client().status("c")).states == {"RUNNING"}
    assert server.slept == [0.2, 0.4]


async def test_a_rebalance_that_does_not_end_is_an_error_that_says_so() -> None:
    server = Scripted(said(409, REBALANCE))
    with pytest.raises(connect.RebalanceInProgress, match=r"PUT http://connect:8083/connectors/c/pause: .*rebalance was underway\. Try"):
        await server.client().pause("c")
    assert len(server.asked) == 3


async def test_the_pauses_stop_growing() -> None:
    assert list(Retry(attempts=8).waits()) == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_a_rebalance_is_waited_for_even_by_a_call_that_is_not_idempotent() -> None:
    server = Scripted(said(409, REBALANCE), ok())
    assert await server.client().restart("c", include_tasks=False) is None
    assert len(server.asked) == 2


BROKEN: dict[str, tuple[Answer, bool, bool]] = {
    "refused": (httpx2.ConnectError("connection refused"), True, True),
    "broken off": (httpx2.ReadError("reset by peer"), True, False),
    "ended early": (httpx2.RemoteProtocolError("server disconnected"), True, False),
    "no answer in time": (httpx2.ReadTimeout(""), False, False),
    "starting": (STARTING_PAGE, True, False),
    "proxy": (httpx2.Response(502, html="<html>Bad gateway</html>"), True, False),
    "no way to the leader": (said(500, "IO Error trying to forward REST request: Connection refused"), True, False),
    "busy": (said(500, "Request timed out. The worker is currently starting"), False, False),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_only_what_does_no_harm_twice_is_tried_twice(case: str) -> None:
    failure, idempotent_again, other_again = BROKEN[case]
    for call, again in (("stop", idempotent_again), ("restart", other_again)):
        server = Scripted(failure)
        with pytest.raises(connect.KafkaConnectError):
            await getattr(server.client(), call)("c")
        assert len(server.asked) == (3 if again else 1), (case, call)


async def test_a_connection_that_breaks_is_named_with_the_address_and_what_to_do() -> None:
    with pytest.raises(connect.ConnectUnreachable, match=r"GET http://connect:8083/: read timeout\. Check the address") as caught:
        await Scripted(httpx2.ReadTimeout("")).client().server()
    assert isinstance(caught.value.__cause__, httpx2.ReadTimeout)


# --- what an answer means

MEANINGS: dict[str, tuple[httpx2.Response, type[connect.KafkaConnectError], str]] = {
    "no such connector": (said(404, "Connector c not found"), connect.ConnectorNotFound, "names()"),
    "no status yet": (said(404, "No status found for connector c"), connect.ConnectorNotFound, "names()"),
    "an old Connect": (said(404, "HTTP 404 Not Found"), connect.ConnectRefused, "does not know the call"),
    "a worker that starts": (STARTING_PAGE, connect.ConnectUnreachable, "health()"),
    "not stopped": (said(400, "Connectors must be in the STOPPED state before"), connect.ConnectRefused, "Call stop(name)"),
    "bad settings": (said(400, "Connector configuration is invalid and contains"), connect.ConnectRefused, "validate(config)"),
    "not allowed": (httpx2.Response(401, text="no"), connect.ConnectRefused, "user and the password"),
    "anything else": (said(500, "boom"), connect.ConnectRefused, "worker's log"),
    "a redirect": (httpx2.Response(301, headers={"Location": "http://elsewhere/"}), connect.ConnectRefused, "worker's log"),
    "not Connect at all": (httpx2.Response(200, html="<html>hello</html>"), connect.ConnectUnreachable, "address is that of Connect"),
}


@pytest.mark.parametrize("case", MEANINGS)
async def test_each_answer_has_one_error_that_says_what_to_do(case: str) -> None:
    answer, error, advice = MEANINGS[case]
    with pytest.raises(error) as caught:
        await Scripted(answer).client().offsets("c")
    assert type(caught.value) is error
    assert advice in str(caught.value)
    assert "GET http://connect:8083/connectors/c/offsets: " in str(caught.value)


async def test_a_refusal_carries_status_and_message() -> None:
    with pytest.raises(connect.ConnectRefused) as caught:
        await Scripted(said(400, "no tasks.max")).client().config("c")
    assert (caught.value.status, caught.value.message) == (400, "no tasks.max")


async def test_creating_what_exists_is_not_mistaken_for_a_rebalance() -> None:
    server = Scripted(said(409, "Connector c already exists"))
    with pytest.raises(connect.ConnectorExists):
        await server.client().create("c", {"connector.class": "X"})
    assert len(server.asked) == 1


async def test_deleting_what_is_gone_is_no_error() -> None:
    assert await Scripted(httpx2.ReadError("reset"), said(404, "Connector c not found")).client().delete("c") is False
    assert await Scripted(httpx2.Response(204)).client().delete("c") is True


async def test_states_that_we_do_not_know_are_kept_and_unknown_fields_ignored() -> None:
    status = {
        "name": "c",
        "connector": {"state": "HIBERNATING", "worker_id": "w", "mood": 1},
        "tasks": [{"id": 0, "state": "DREAMING"}],
        "type": "portal",
        "new": {},
    }
    found = await Scripted(ok(status)).client().status("c")
    assert found.states == {"HIBERNATING", "DREAMING"}
    assert found.type == "portal"


async def test_the_cause_is_that_of_a_failed_task_not_the_old_trace_of_one_that_restarts() -> None:
    def status(state: str) -> httpx2.Response:
        trace = "java.lang.Boom: slot is active\n\tat Some.java"
        return ok({**RUNNING, "tasks": [{"id": 0, "state": state, "trace": trace}]})

    assert (await Scripted(status("FAILED")).client().status("c")).cause == "java.lang.Boom: slot is active"
    assert (await Scripted(status("RESTARTING")).client().status("c")).cause is None


@pytest.mark.parametrize(("status", "word"), [(200, "healthy"), (503, "starting"), (500, "unhealthy")])
async def test_health_answers_instead_of_failing(status: int, word: str) -> None:
    server = Scripted(httpx2.Response(status, json={"status": word, "message": "m"}))
    assert (await server.client().health()) == connect.Health(word, "m")
    assert len(server.asked) == 1


async def test_a_worker_without_routes_is_starting_and_an_old_one_is_refused() -> None:
    assert (await Scripted(STARTING_PAGE).client().health()).status == "starting"
    with pytest.raises(connect.ConnectRefused):
        await Scripted(said(404, "HTTP 404 Not Found")).client().health()
    with pytest.raises(connect.ConnectUnreachable):
        await Scripted(httpx2.Response(200, html="<html>")).client().health()


# --- what is asked

CALLS: dict[str, tuple[Callable[[ConnectClient], Coroutine[Any, Any, object]], str, bytes]] = {
    "restart": (lambda c: c.restart("c", only_failed=True), "POST /connectors/c/restart?includeTasks=true&onlyFailed=true", b""),
    "names that need escapes": (lambda c: c.stop("民政 a?b"), "PUT /connectors/%E6%B0%91%E6%94%BF%20a%3Fb/stop", b""),
    "log level": (lambda c: c.set_log_level("a.b", "DEBUG"), "PUT /admin/loggers/a.b?scope=cluster", b'{"level":"DEBUG"}'),
    "restart of one task": (lambda c: c.restart_task("c", 1), "POST /connectors/c/tasks/1/restart", b""),
    "resetting topics": (lambda c: c.reset_topics("c"), "PUT /connectors/c/topics/reset", b""),
    "resuming": (lambda c: c.resume("c"), "PUT /connectors/c/resume", b""),
}


@pytest.mark.parametrize("case", CALLS)
async def test_each_call_asks_what_connect_expects(case: str) -> None:
    call, line, body = CALLS[case]
    server = Scripted(ok())
    await call(server.client())
    request = server.asked[0]
    assert f"{request.method} {request.url.raw_path.decode()}" == line
    assert request.content == body


async def test_a_stopped_connector_can_be_created_and_a_running_one_says_nothing_that_an_old_connect_does_not_know() -> None:
    server = Scripted(ok({"name": "c", "config": {}}))
    await server.client().create("c", {"a": "b"}, initial_state="STOPPED")
    await server.client().create("c", {"a": "b"})
    assert [request.content for request in server.asked] == [
        b'{"name":"c","config":{"a":"b"},"initial_state":"STOPPED"}',
        b'{"name":"c","config":{"a":"b"}}',
    ]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a%b", "a\nb"])
async def test_a_name_that_no_url_can_reach_is_refused_before_it_is_made(name: str) -> None:
    server = Scripted(ok())
    for call in (server.client().create(name, {}), server.client().delete(name)):
        with pytest.raises(connect.ConnectRefused, match="cannot be reached"):
            await call
    assert not server.asked


# --- waiting for a state


async def test_settle_waits_for_the_first_status_the_first_task_and_the_state() -> None:
    server = Scripted(said(404, "No status found for connector c"), ok({**RUNNING, "tasks": []}), ok(RUNNING))
    assert (await server.client().settle("c", "RUNNING", poll_seconds=0.5)).tasks
    assert server.slept == [0.5, 0.5]


async def test_stopped_means_that_no_task_is_left() -> None:
    left = {"name": "c", "connector": {"state": "STOPPED"}, "tasks": [{"id": 0, "state": "STOPPED"}]}
    server = Scripted(ok(left), ok({**left, "tasks": []}))
    await server.client().settle("c", "STOPPED")
    assert len(server.asked) == 2


async def test_settle_gives_up_in_time_and_tells_the_cause() -> None:
    failed = {**RUNNING, "tasks": [{"id": 0, "state": "FAILED", "trace": "Boom: no slot\n\tat x"}]}
    server = Scripted(ok(failed))
    with pytest.raises(connect.ConnectorNotSettled, match=r"c is not RUNNING after 2 s: FAILED, RUNNING, 1 task\(s\); Boom: no slot"):
        await server.client().settle("c", "RUNNING", within_seconds=2, poll_seconds=1)
    assert server.slept == [1, 1]


# --- secrets

CONFIG = {
    "database.hostname": "db",
    "database.password": "hunter2",
    "database.user": "dbz",
    "value.converter": "io.x.AvroConverter",
    "message.key.columns": "a.b:id",
    "producer.override.sasl.jaas.config": 'x required username="u" password="hunter2";',
    "ssl.keystore.key": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
    "ssl.keystore.location": "/etc/k.jks",
    "database.password.file": "${file:/run/secrets/db:password}",
    "registry.url": "http://li:hunter2@registry/apis",
    "jdbc": "jdbc:postgresql://h/d?user=a&password=hunter2&ssl=true",
    "empty.secret": "",
}


def test_every_secret_is_masked_and_nothing_else_is() -> None:
    shown = ConnectorConfig(CONFIG).display()
    assert "hunter2" not in str(shown)
    for key in ("database.hostname", "database.user", "value.converter", "message.key.columns", "ssl.keystore.location"):
        assert shown[key] == CONFIG[key]
    assert shown["database.password.file"] == CONFIG["database.password.file"]
    assert shown["registry.url"] == "http://li:****@registry/apis"
    assert shown["jdbc"] == "jdbc:postgresql://h/d?user=a&password=****&ssl=true"
    assert shown["empty.secret"] == ""


def test_a_reference_with_something_around_it_is_not_trusted_to_be_one() -> None:
    assert mask("db.password", "${file:/a:b}hunter2") == "****"


async def test_a_config_can_be_compared_but_not_printed() -> None:
    found = await Scripted(ok(CONFIG)).client().config("c")
    assert found["database.password"] == "hunter2"
    assert found == CONFIG
    info = await Scripted(ok({"name": "c", "config": {**CONFIG, "gone": None}})).client().info("c")
    assert "gone" not in info.config
    for shown in (repr(found), str(found), f"{found}", repr(info), repr([info])):
        assert "hunter2" not in shown


async def test_no_error_repeats_a_secret_that_was_sent() -> None:
    sent = {"connector.class": "X", "x.password": "hunter2", "y": "plain"}
    server = Scripted(said(400, "Invalid value hunter2 for configuration q: bad. Also plain. hunter2 is in no dictionary"))
    for call in (
        server.client().put_config("c", sent),
        server.client().patch_config("c", {**sent, "z.token": None}),
        server.client().create("c", sent),
        server.client().validate(sent),
    ):
        with pytest.raises(connect.ConnectRefused) as caught:
            await call
        assert "hunter2" not in str(caught.value) + repr(caught.value) + caught.value.message
        assert "plain" in str(caught.value)


async def test_validation_tells_the_errors_and_never_the_values() -> None:
    value = {"name": "x.password", "value": "hunter2", "errors": ["hunter2 is too short"], "visible": True}
    fine = {"name": "y", "value": "1", "errors": []}
    server = Scripted(ok({"name": "X", "error_count": 1, "configs": [{"definition": {}, "value": v} for v in (value, fine)]}))
    found = await server.client().validate({"connector.class": "X", "x.password": "hunter2"})
    assert found.errors == {"x.password": ("**** is too short",)}


@pytest.mark.parametrize(
    "text",
    [
        "Invalid value hunter2 for configuration database.password: too short",
        "Invalid value -----x\nhunter2 for configuration ssl.keystore.key: no PEM",
        'could not use {"password": "hunter2"}',
        "password=hunter2, user=a",
        "sasl.jaas.config = 'hunter2'",
        "cannot connect to postgres://a:x@hunter2@h/d",
        "API_KEY=hunter2",
    ],
)
def test_a_trace_is_masked_where_it_looks_like_a_secret(text: str) -> None:
    assert "hunter2" not in mask_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "FATAL: password authentication failed for user dbz",
        "Invalid value x for configuration tasks.max: Not a number",
        "token: expected",
        "password=${file:/run/db:pw}",
    ],
)
def test_ordinary_words_of_an_error_stay_readable(text: str) -> None:
    assert mask_text(text) == text


async def test_a_trace_is_masked_before_anyone_can_print_it() -> None:
    failed = {**RUNNING, "tasks": [{"id": 0, "state": "FAILED", "trace": "Boom: password=hunter2"}]}
    assert "hunter2" not in repr(await Scripted(ok(failed)).client().status("c"))


async def test_the_password_of_the_address_is_used_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    server = Scripted(said(500, "boom"))
    client = server.client(url="http://li:hunter2@connect:8083")
    with pytest.raises(connect.ConnectRefused) as caught:
        await client.server()
    assert server.asked[0].headers["Authorization"].startswith("Basic ")
    assert "hunter2" not in str(caught.value) + repr(client) + caplog.text


# --- the real one: one life of a connector, then what only a real server can refuse

T = TypeVar("T")


@pytest.fixture
async def real(stack: LocalStack) -> AsyncIterator[ConnectClient]:
    async with ConnectClient(stack.endpoints.connect) as client:
        yield client


@pytest.fixture
async def captured(stack: LocalStack, real: ConnectClient) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """A table with one row, and the name (with a blank and Chinese characters) and settings of a connector for it, not made yet."""
    word = f"client_{uuid.uuid4().hex[:8]}"
    database = urlsplit(stack.endpoints.postgres)
    with psycopg.connect(stack.endpoints.postgres, autocommit=True) as session:
        session.execute(f"CREATE TABLE public.{word} (id int PRIMARY KEY)")
        session.execute(f"INSERT INTO public.{word} VALUES (1)")
        name = f"民政 {word}"
        yield (
            name,
            {
                "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
                "tasks.max": "1",
                "database.hostname": str(database.hostname),
                "database.port": str(database.port or 5432),
                "database.user": str(database.username),
                "database.password": database.password or "hunter2",
                "database.dbname": database.path.lstrip("/"),
                "plugin.name": "pgoutput",
                "slot.name": word,
                "slot.drop.on.stop": "true",
                "publication.name": word,
                "publication.autocreate.mode": "filtered",
                "table.include.list": f"public.{word}",
                "topic.prefix": word,
                # The broker creates no topics by itself; without this the connector says RUNNING and waits for its topic for ever.
                "topic.creation.default.partitions": "1",
                "topic.creation.default.replication.factor": "1",
                "key.converter": "org.apache.kafka.connect.json.JsonConverter",
                "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            },
        )
        await real.delete(name)
        slot = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
        await seen(lambda: asyncio.to_thread(session.execute, slot, [word]), lambda _: not _slots(session, word))
        session.execute(f"DROP PUBLICATION IF EXISTS {word}")
        session.execute(f"DROP TABLE public.{word}")


def _slots(session: psycopg.Connection[Any], word: str) -> list[Any]:
    return session.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [word]).fetchall()


async def seen(look: Callable[[], Awaitable[T]], wanted: Callable[[T], object]) -> T:
    """What `look` gives as soon as it is `wanted`: Connect reports on its tasks through a topic, later than it acts."""
    async with asyncio.timeout(60):
        while not wanted(found := await look()):  # noqa: ASYNC110  (what happens, happens in another process)
            await asyncio.sleep(0.2)
    return found


@pytest.mark.stack
async def test_a_connector_lives_is_stopped_moved_and_deleted(real: ConnectClient, captured: tuple[str, dict[str, str]]) -> None:
    name, config = captured
    assert (await real.health()).status == "healthy"
    assert (await real.server()).version
    assert config["connector.class"] in {plugin.class_name for plugin in await real.plugins()}
    assert (await real.validate({**config, "name": name})).errors == {}

    assert (await real.put_config(name, config)).created is True
    await real.settle(name, "RUNNING")
    assert (await real.put_config(name, config)).created is False
    assert await real.config(name) == {**config, "name": name}
    assert name in await real.names()
    entry = (await real.connectors())[name]
    assert entry.status is not None
    assert entry.info is not None
    assert entry.info.type == "source"

    topic = f"{config['topic.prefix']}.{config['table.include.list']}"
    assert await seen(lambda: real.topics(name), bool) == (topic,)
    await real.reset_topics(name)
    with pytest.raises(connect.ConnectRefused, match="STOPPED") as caught:
        await real.reset_offsets(name)
    assert caught.value.status == 400

    await real.pause(name)
    await seen(lambda: real.status(name), lambda status: status.connector.state == "PAUSED")
    await real.resume(name)
    assert (await real.settle(name, "RUNNING")).type == "source"
    await real.stop(name)
    await real.settle(name, "STOPPED")
    offsets = await seen(lambda: real.offsets(name), bool)  # at the latest, a task that ends commits them
    assert "successfully" in await real.alter_offsets(name, offsets)
    assert await real.offsets(name) == offsets
    assert "successfully" in await real.reset_offsets(name)
    assert await real.offsets(name) == ()

    assert await real.delete(name) is True
    assert await real.delete(name) is False


@pytest.mark.stack
async def test_a_failed_task_is_seen_restarted_and_explained(real: ConnectClient, captured: tuple[str, dict[str, str]]) -> None:
    name, config = captured
    cast = {
        "transforms": "cast",
        "transforms.cast.type": "org.apache.kafka.connect.transforms.Cast$Value",
        "transforms.cast.spec": "op:int32",
    }
    info = await real.create(name, {**config, **cast}, initial_state="STOPPED")
    assert info.name == name
    await real.settle(name, "STOPPED")
    with pytest.raises(connect.ConnectorExists):
        await real.create(name, config)
    await real.resume(name)

    status = await seen(lambda: real.status(name), lambda status: "FAILED" in status.states)
    assert status.connector.state == "RUNNING"
    assert "error handler" in str(status.cause)
    assert (await real.task_status(name, 0)).trace
    assert [task.id for task in await real.tasks(name)] == [connect.TaskId(name, 0)]
    with pytest.raises(connect.ConnectorNotSettled, match="error handler"):
        await real.settle(name, "RUNNING", within_seconds=0)

    plan = await real.restart(name, only_failed=True)
    assert plan is not None
    assert "RESTARTING" in plan.states
    await seen(lambda: real.status(name), lambda status: "FAILED" in status.states)
    assert await real.restart(name, include_tasks=False) is None
    await real.restart_task(name, 0)

    gone = dict.fromkeys(cast)
    assert "transforms" not in (await real.patch_config(name, gone)).config
    await real.settle(name, "RUNNING")


@pytest.mark.stack
async def test_what_connect_refuses_is_named_without_the_password(real: ConnectClient, captured: tuple[str, dict[str, str]]) -> None:
    name, config = captured
    with pytest.raises(connect.ConnectRefused, match=r"(?s)configuration is invalid.*tasks\.max") as caught:
        await real.put_config(
            name, {**config, "tasks.max": "many", "database.password": "s3cret-of-mine", "errors.tolerance": "s3cret-of-mine"}
        )
    assert "s3cret-of-mine" not in str(caught.value)
    wrong = await real.validate({**config, "name": name, "database.dbname": "nowhere"})
    assert wrong.error_count == len(wrong.errors) > 0
    with pytest.raises(connect.ConnectRefused, match=r"plugin\.path"):
        await real.put_config(name, {**config, "connector.class": "no.Such"})
    for call in (real.status, real.config, real.info, real.pause, real.stop, real.tasks, real.offsets, real.restart):
        with pytest.raises(connect.ConnectorNotFound):
            await call("nobody")
    assert await real.topics("nobody") == ()


@pytest.mark.stack
async def test_the_web_server_of_connect_still_cannot_reach_what_we_refuse(stack: LocalStack) -> None:
    async with httpx2.AsyncClient(base_url=stack.endpoints.connect) as raw:
        for name in ("a%2Fb", "a%5Cb", "a%25b"):
            assert (await raw.get(f"/connectors/{name}/status")).status_code == 400, name


@pytest.mark.stack
async def test_log_levels_can_be_read_and_changed(real: ConnectClient) -> None:
    logger = "org.apache.kafka.connect.runtime.rest"
    await real.set_log_level(logger, "WARN", whole_cluster=False)
    assert (await real.loggers())[logger].level == "WARN"
    await real.set_log_level(logger, "INFO")
    await seen(real.loggers, lambda loggers: loggers[logger].level == "INFO")
