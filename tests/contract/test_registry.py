"""One suite over the registry in memory and over the real one: the fake may be trusted where both pass."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import httpx2
import pytest

from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.registry import (
    SCHEMA_ID_MAX,
    FakeRegistry,
    Registry,
    RegistryUnavailable,
    SchemaRefused,
    SchemaRegistry,
    UnknownSchema,
    UnknownSubject,
    canonical,
)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.broker)])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    if request.param == "fake":
        yield FakeRegistry()
        return
    real = SchemaRegistry(request.getfixturevalue("broker").endpoints.registry)
    yield real
    real.close()


@pytest.fixture
def subject() -> str:
    return f"县/民政 {uuid.uuid4().hex[:8]}-value"


def record(name: str, *fields: str) -> str:
    return json.dumps({"type": "record", "name": name, "doc": "姓名", "fields": [{"name": f, "type": "string"} for f in fields]})


def fresh() -> str:
    """A schema that the registry has never seen."""
    return record(f"R{uuid.uuid4().hex}", "a")


def test_what_is_registered_can_be_read_by_its_id(registry: Registry, subject: str) -> None:
    schema = fresh()
    assert json.loads(registry.schema(registry.register(subject, schema))) == json.loads(schema)


def test_registering_twice_gives_the_same_id_and_no_new_version(registry: Registry, subject: str) -> None:
    schema = fresh()
    assert registry.register(subject, schema) == registry.register(subject, schema)
    assert registry.latest(subject).version == 1


def test_the_layout_of_the_text_makes_no_new_schema(registry: Registry, subject: str) -> None:
    schema = fresh()
    assert registry.register(subject, schema) == registry.register(subject, json.dumps(json.loads(schema), indent=2, ensure_ascii=False))
    assert registry.latest(subject).version == 1


def test_one_schema_under_two_subjects_has_one_id(registry: Registry, subject: str) -> None:
    # True while Apicurio's interface speaks of content ids (its default), which is what its Avro converter writes with use-id=contentId.
    schema = fresh()
    assert registry.register(subject, schema) == registry.register(subject + "2", schema)


def test_a_changed_schema_has_its_own_id_and_is_the_latest(registry: Registry, subject: str) -> None:
    name = f"R{uuid.uuid4().hex}"
    first = registry.register(subject, record(name, "a"))
    second = registry.register(subject, record(name, "a", "b"))
    assert first != second
    latest = registry.latest(subject)
    assert (latest.subject, latest.version, latest.id) == (subject, 2, second)
    assert latest.schema == registry.schema(second)


def test_registering_an_older_schema_again_does_not_make_it_the_latest(registry: Registry, subject: str) -> None:
    name = f"R{uuid.uuid4().hex}"
    older = registry.register(subject, record(name, "a"))
    registry.register(subject, record(name, "a", "b"))
    assert registry.register(subject, record(name, "a")) == older
    assert registry.latest(subject).version == 2


@pytest.mark.parametrize("schema_id", [0, 2**31 - 7, SCHEMA_ID_MAX, SCHEMA_ID_MAX + 1, 2**32 - 1, -1])
def test_an_id_that_was_never_given_out_is_unknown(registry: Registry, schema_id: int) -> None:
    with pytest.raises(UnknownSchema) as caught:
        registry.schema(schema_id)
    assert caught.value.schema_id == schema_id


def test_a_subject_without_a_schema_is_unknown(registry: Registry, subject: str) -> None:
    with pytest.raises(UnknownSubject, match="民政"):
        registry.latest(subject)


@pytest.mark.parametrize("text", ["{not json", '{"type": "record", "name": "R"}', '{"type": "no such type"}'])
def test_what_is_no_schema_is_refused_and_leaves_no_trace(registry: Registry, subject: str, text: str) -> None:
    with pytest.raises(SchemaRefused):
        registry.register(subject, text)
    with pytest.raises(UnknownSubject):
        registry.latest(subject)


def test_a_primitive_is_a_schema(registry: Registry, subject: str) -> None:
    assert registry.schema(registry.register(subject, '"string"')) == '"string"'


# --- only the real one can show


@pytest.mark.broker
def test_ids_are_the_same_for_a_client_that_comes_later(broker: LocalStack, subject: str) -> None:
    schema = fresh()
    schema_id = SchemaRegistry(broker.endpoints.registry).register(subject, schema)
    assert json.loads(SchemaRegistry(broker.endpoints.registry).schema(schema_id)) == json.loads(schema)


@pytest.mark.broker
def test_the_ids_are_the_content_ids_that_the_avro_converter_writes(broker: LocalStack, subject: str) -> None:
    """With Apicurio's legacy id mode the same number would name another schema: records would be decoded wrongly, not refused."""
    registry, schema = SchemaRegistry(broker.endpoints.registry), canonical(fresh())
    ids = []
    for artifact in (uuid.uuid4().hex, uuid.uuid4().hex):
        headers = {"Content-Type": "application/json", "X-Registry-ArtifactType": "AVRO", "X-Registry-ArtifactId": artifact}
        made = httpx2.post(f"{broker.endpoints.registry_native}/groups/default/artifacts", content=schema.encode(), headers=headers).json()
        ids.append((made["contentId"], made["globalId"]))
    (content_id, first_global_id), (again, second_global_id) = ids
    assert content_id == again
    assert first_global_id != second_global_id
    assert registry.schema(content_id) == schema
    assert registry.register(subject, schema) == content_id


@pytest.mark.broker
def test_a_change_that_the_subject_forbids_is_refused(broker: LocalStack, subject: str) -> None:
    registry = SchemaRegistry(broker.endpoints.registry)
    name = f"R{uuid.uuid4().hex}"
    registry.register(subject, record(name, "a"))
    rule = httpx2.put(f"{broker.endpoints.registry}/config/{quote(subject, safe='')}", json={"compatibility": "BACKWARD"})
    assert rule.status_code == 200
    with pytest.raises(SchemaRefused, match="ncompatible"):
        registry.register(subject, record(name, "b"))


@pytest.mark.broker
def test_many_who_register_a_new_subject_at_once_all_get_its_id(broker: LocalStack) -> None:
    """As workers do that start together. Several rounds: not each of them meets within the registry."""
    for _ in range(5):
        new, schema = f"race-{uuid.uuid4().hex[:8]}", fresh()
        clients = [SchemaRegistry(broker.endpoints.registry) for _ in range(8)]
        with ThreadPoolExecutor(len(clients)) as pool:
            ids = set(pool.map(lambda client, name=new, text=schema: client.register(name, text), clients))  # type: ignore[misc]
        assert len(ids) == 1


@pytest.mark.broker
def test_a_wrong_path_of_the_real_one_is_weather(broker: LocalStack, subject: str) -> None:
    wrong = SchemaRegistry(broker.endpoints.registry + "/nowhere")
    for ask in (lambda: wrong.schema(1), lambda: wrong.latest(subject), lambda: wrong.register(subject, fresh())):
        with pytest.raises(RegistryUnavailable, match="the address"):
            ask()


# --- bad weather, by a scripted server


class Scripted:
    def __init__(self, answer: httpx2.Response | Exception) -> None:
        self.answer, self.asked = answer, 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return httpx2.Response(self.answer.status_code, content=self.answer.content)

    def registry(self, url: str = "http://registry/apis/ccompat/v7") -> SchemaRegistry:
        return SchemaRegistry(url, transport=httpx2.MockTransport(self))


WEATHER: dict[str, httpx2.Response | Exception] = {
    "refused": httpx2.ConnectError("connection refused"),
    "hangs": httpx2.ReadTimeout(""),
    "broken": httpx2.RemoteProtocolError("disconnected"),
    "starting": httpx2.Response(503, text="wait"),
    "fails": httpx2.Response(500, json={"error_code": 50001, "message": "the store is away"}),
    "not allowed": httpx2.Response(401, json={"error_code": 40101, "message": "no"}),
    "too many": httpx2.Response(429, json={"error_code": 42901, "message": "slow down"}),
    "a page that is not there": httpx2.Response(404, html="<html>not found</html>"),
    "a path that is not there": httpx2.Response(404, json={"error_code": 404, "message": "HTTP 404 Not Found"}),
    "something else answers": httpx2.Response(200, html="<html>welcome</html>"),
    "a redirect": httpx2.Response(302),
    "a conflict within": httpx2.Response(409, json={"status": 409, "title": "conflict"}),
}


@pytest.mark.parametrize("weather", WEATHER)
def test_everything_but_the_word_of_the_registry_is_weather(weather: str) -> None:
    registry = Scripted(WEATHER[weather]).registry()
    asks: tuple[Callable[[], object], ...] = (
        lambda: registry.schema(1),
        lambda: registry.latest("s"),
        lambda: registry.register("s", '"int"'),
    )
    for ask in asks:
        with pytest.raises(RegistryUnavailable, match="http://registry/apis/ccompat/v7/"):
            ask()


def test_a_conflict_within_is_asked_again_until_the_registry_has_decided() -> None:
    answers = [httpx2.Response(409, json={"error_code": 409}), httpx2.Response(409, text="locked"), httpx2.Response(200, json={"id": 7})]
    registry = SchemaRegistry("http://registry/", transport=httpx2.MockTransport(lambda request: answers.pop(0)))
    assert registry.register("s", '"int"') == 7


def test_the_fake_can_be_away_and_come_back() -> None:
    fake = FakeRegistry()
    schema_id = fake.register("s", '"int"')
    fake.away = True
    for ask in (lambda: fake.schema(schema_id), lambda: fake.latest("s"), lambda: fake.register("s", '"int"')):
        with pytest.raises(RegistryUnavailable):
            ask()
    fake.away = False
    assert fake.schema(schema_id) == '"int"'


@pytest.mark.parametrize("code", [40401, 40402])
def test_a_subject_without_versions_is_unknown_too(code: int) -> None:
    with pytest.raises(UnknownSubject):
        Scripted(httpx2.Response(404, json={"error_code": code, "message": "m"})).registry().latest("s")


def test_a_schema_is_fetched_once_and_a_missing_one_is_asked_for_again() -> None:
    server = Scripted(httpx2.Response(404, json={"error_code": 40403, "message": "Schema not found"}))
    registry = server.registry()
    for _ in range(2):
        with pytest.raises(UnknownSchema):
            registry.schema(7)
    server.answer = httpx2.Response(200, json={"schema": '"int"'})
    assert [registry.schema(7) for _ in range(3)] == ['"int"'] * 3
    assert server.asked == 3


def test_an_id_that_cannot_be_one_is_not_asked_for() -> None:
    # Four bytes of a broken record: to wait for an answer about them would stop the partition for ever.
    server = Scripted(httpx2.ConnectError("refused"))
    for schema_id in (-1, SCHEMA_ID_MAX + 1):
        with pytest.raises(UnknownSchema):
            server.registry().schema(schema_id)
    assert server.asked == 0


def test_the_password_of_the_address_is_used_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["Authorization"])
        return httpx2.Response(500)

    registry = SchemaRegistry("http://li:hunter2@registry", transport=httpx2.MockTransport(answer))
    with pytest.raises(RegistryUnavailable) as caught:
        registry.schema(1)
    assert seen[0].startswith("Basic ")
    assert "hunter2" not in str(caught.value) + repr(registry) + caplog.text
