"""The schema registry as the engine needs it: the text of a schema by its id, and an id for a schema of ours.

It decides what is bad data (the registry says that it has no such schema) and what is bad weather (everything else that goes wrong:
the batch waits). The surprise: a 404 alone is not "no such schema". A wrong address answers 404 too, and would empty a topic into the
dead letters; so the registry's own error code is asked for. And an id that no registry can give out is bad data without asking.
"""

from __future__ import annotations

import json
import time
from typing import Protocol, TypeVar
from urllib.parse import quote

import avro.errors
import avro.schema
import httpx2
import msgspec

from sync_engine.runtime.log import WorldFailure

T = TypeVar("T")

# Ids are positive Java ints in the Confluent interface; what is beyond comes from four bytes that were never an id.
SCHEMA_ID_MAX = 2**31 - 1
_NO_SUCH_SUBJECT, _NO_SUCH_VERSION, _NO_SUCH_SCHEMA = 40401, 40402, 40403
_INCOMPATIBLE, _INVALID = 409, 422

TIMEOUT_SECONDS = 5.0  # below the shortest session timeout of a consumer: the loop blocks while it asks


class RegistryUnavailable(WorldFailure):
    """Bad weather: no answer, or none that a registry gives. The same question may be answered later."""


class UnknownSchema(Exception):
    """Bad data: the registry answers, and no schema has this id."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"the registry has no schema with the id {schema_id}")
        self.schema_id = schema_id


class UnknownSubject(Exception):
    """The registry answers, and nothing was ever registered under this subject."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"the registry has no subject {subject!r}; register a schema under it first")
        self.subject = subject


class SchemaRefused(Exception):
    """The registry will not take the schema: it is no Avro, or the subject's compatibility rule forbids the change."""

    def __init__(self, subject: str, why: str) -> None:
        super().__init__(f"the registry refuses the schema for {subject!r}: {why}")
        self.subject = subject


class Registered(msgspec.Struct, frozen=True):
    """A schema in the registry. `id` is global; `version` counts up from 1 within the subject."""

    subject: str
    version: int
    id: int
    schema: str


class Registry(Protocol):
    """What the real one and the fake one promise; `tests/contract/test_registry.py` holds both to it."""

    def schema(self, schema_id: int) -> str:
        """The text of the schema. Raises UnknownSchema, RegistryUnavailable."""

    def register(self, subject: str, schema: str) -> int:
        """The id of this schema, the same each time and under every subject. Raises SchemaRefused, RegistryUnavailable."""

    def latest(self, subject: str) -> Registered:
        """The newest version; to register an older text again does not make it the newest. Raises UnknownSubject, RegistryUnavailable."""


def canonical(schema: str) -> str:
    """The schema without insignificant blanks. Apicurio gives an id to each *text*, so two layouts would get two ids. Raises ValueError."""
    return json.dumps(json.loads(schema), separators=(",", ":"), ensure_ascii=False)


class _Id(msgspec.Struct, frozen=True):
    id: int


class _Schema(msgspec.Struct, frozen=True):
    schema: str


class _Error(msgspec.Struct, frozen=True):
    error_code: int
    message: str = ""


_UNEXPLAINED = _Error(_INCOMPATIBLE, "409 without a registry's word on it")
"""What Apicurio answers beside the Confluent interface's own errors when two write at once."""
_ASKED_AGAIN = (0.0, 0.05, 0.1, 0.2)


class SchemaRegistry:
    """A Confluent-compatible registry at `url` (Apicurio: …/apis/ccompat/v7). Synchronous: asked once per schema, not per record.

    `transport`: of httpx2, for tests. User and password may stand in the address. What was fetched is kept for ever: the text behind an
    id never changes, unless the registry itself is lost, and then every process that has read from it must start again.
    """

    def __init__(self, url: str, *, transport: httpx2.BaseTransport | None = None, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        address = httpx2.URL(url if url.endswith("/") else url + "/")
        # httpx logs the address of each request: the password must not stay in it. No proxy of the environment: it is a neighbour.
        auth = (address.username, address.password) if address.userinfo else None
        self._url = address.copy_with(userinfo=b"")
        self._http = httpx2.Client(base_url=self._url, auth=auth, transport=transport, timeout=timeout_seconds, trust_env=False)
        self._texts: dict[int, str] = {}

    def __repr__(self) -> str:
        return f"SchemaRegistry({str(self._url)!r})"

    def close(self) -> None:
        self._http.close()

    def schema(self, schema_id: int) -> str:
        text = self._texts.get(schema_id)
        if text is None:
            if not 0 <= schema_id <= SCHEMA_ID_MAX:
                raise UnknownSchema(schema_id)
            answer = self._ask("GET", f"schemas/ids/{schema_id}")
            if isinstance(answer, _Error):
                raise UnknownSchema(schema_id) if answer.error_code == _NO_SUCH_SCHEMA else self._no_registry(answer)
            text = self._texts[schema_id] = self._read(answer, _Schema).schema
        return text

    def register(self, subject: str, schema: str) -> int:
        try:
            body = {"schema": canonical(schema), "schemaType": "AVRO"}
        except ValueError as error:
            raise SchemaRefused(subject, f"it is not JSON: {error}") from None
        path = f"subjects/{quote(subject, safe='')}/versions"
        answer = self._ask("POST", path, body)
        for pause_seconds in _ASKED_AGAIN:
            if not isinstance(answer, _Error) or _family(answer.error_code) != _INCOMPATIBLE:
                break
            # Also said to whoever comes later when several register a new subject at once. A schema that is refused is refused again.
            time.sleep(pause_seconds)
            answer = self._ask("POST", path, body)
        if isinstance(answer, _Error):
            # 409 and 422, or with two more digits (42201: invalid schema).
            if _family(answer.error_code) in (_INCOMPATIBLE, _INVALID) and answer != _UNEXPLAINED:
                raise SchemaRefused(subject, answer.message)
            raise self._no_registry(answer)
        return self._read(answer, _Id).id

    def latest(self, subject: str) -> Registered:
        answer = self._ask("GET", f"subjects/{quote(subject, safe='')}/versions/latest")
        if isinstance(answer, _Error):
            known = answer.error_code not in (_NO_SUCH_SUBJECT, _NO_SUCH_VERSION)
            raise self._no_registry(answer) if known else UnknownSubject(subject)
        return self._read(answer, Registered)

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> bytes | _Error:
        """The content of a 2xx answer, or what the registry says is wrong. Raises RegistryUnavailable for what a registry does not say."""
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json", "Accept": "application/vnd.schemaregistry.v1+json"}
        try:
            answer = self._http.request(method, path, content=content, headers=headers)
        except httpx2.RequestError as error:
            why = str(error) or type(error).__name__
            raise RegistryUnavailable(f"the schema registry at {self._url} does not answer: {why}") from error
        if answer.is_success:
            return answer.content
        try:
            refusal = msgspec.json.decode(answer.content, type=_Error)
        except msgspec.DecodeError:
            refusal = None
        if answer.status_code == _INCOMPATIBLE and (refusal is None or _family(refusal.error_code) != _INCOMPATIBLE):
            return _UNEXPLAINED
        if refusal is None or _family(refusal.error_code) not in (404, _INCOMPATIBLE, _INVALID):
            raise RegistryUnavailable(
                f"the schema registry at {self._url} answers {answer.status_code}; look at its log and at the address"
            )
        return refusal

    def _no_registry(self, answer: _Error) -> RegistryUnavailable:
        return RegistryUnavailable(f"{self._url} does not answer as a schema registry does ({answer.error_code}); check the address")

    def _read(self, content: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise RegistryUnavailable(f"{self._url} does not answer as a schema registry does ({error}); check the address") from None


def _family(error_code: int) -> int:
    return error_code // 100 if error_code > 999 else error_code


class FakeRegistry:
    """The same promises in memory. `away` = True makes every question end in RegistryUnavailable."""

    def __init__(self) -> None:
        self.away = False
        self._texts: list[str] = []
        self._versions: dict[str, list[str]] = {}

    def schema(self, schema_id: int) -> str:
        self._answer()
        if not 1 <= schema_id <= len(self._texts):
            raise UnknownSchema(schema_id)
        return self._texts[schema_id - 1]

    def register(self, subject: str, schema: str) -> int:
        self._answer()
        try:
            text = canonical(schema)
            avro.schema.parse(text)
        except (ValueError, avro.errors.AvroException) as error:
            raise SchemaRefused(subject, str(error)) from None
        for known in (self._texts, self._versions.setdefault(subject, [])):
            if text not in known:
                known.append(text)
        return self._texts.index(text) + 1

    def latest(self, subject: str) -> Registered:
        self._answer()
        versions = self._versions.get(subject)
        if not versions:
            raise UnknownSubject(subject)
        return Registered(subject, len(versions), self._texts.index(versions[-1]) + 1, versions[-1])

    def _answer(self) -> None:
        if self.away:
            raise RegistryUnavailable("the schema registry is away")
