"""A typed, asynchronous client of the Kafka Connect REST interface, usable without the rest of the engine.

It decides which answers are worth another attempt and what a person should do about the others. It knows nothing of Debezium.
The surprise: a worker that is starting answers 404 (a page, not Connect's JSON) for everything, so a 404 is "no such connector"
only when Connect itself says so; and a 409 is nearly always "a rebalance is in progress", which passes.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, unquote

import httpx2
from msgspec import DecodeError, Struct, field, json

T = TypeVar("T")

# --- secrets are not shown -----------------------------------------------------------------------------------------------------

MASK = "****"
_SENSITIVE = (
    r"(?:password|passwd|passphrase|pwd|secret|token|credential|jaas|user\.info"
    r"|api[._-]?key|access[._-]?key|private[._-]?key|keystore\.key)"
)
_SENSITIVE_KEY = re.compile(_SENSITIVE, re.IGNORECASE)
# `${file:/path:key}`, `${env:NAME}` … name where a secret is kept; they are no secret and a reader needs to see them.
_REFERENCE = re.compile(r"\$\{[\w.-]+:[^{}]*\}")
_SENSITIVE_TEXT = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|$)", re.DOTALL), MASK),
    (re.compile(r"(//[^/\s:@]*):[^/\s]+@"), rf"\1:{MASK}@"),
    (re.compile(rf"(Invalid value ).*?( for configuration [\w.-]*{_SENSITIVE})", re.DOTALL | re.IGNORECASE), rf"\1{MASK}\2"),
    (
        re.compile(
            rf"""([\w.-]*{_SENSITIVE}[\w.-]*["']?\s*(?:=|:(?=\s*["']))\s*)(?!["']?\$\{{)("[^"]*"|'[^']*'|[^\s,;&"'}}]+)""",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)


def mask(key: str, value: str) -> str:
    """The value as it may be shown: masked if the key looks like a secret's, unless the value only refers to one."""
    if _SENSITIVE_KEY.search(key):
        return value if not value or _REFERENCE.fullmatch(value) else MASK
    return mask_text(value)


def mask_text(text: str, sent: Mapping[str, str | None] | None = None) -> str:
    """Free text (an error, a trace) without what looks like a secret, nor any secret of the configuration that was `sent`."""
    for key, value in (sent or {}).items():
        if value and mask(key, value) == MASK:
            text = text.replace(value, MASK)
    for pattern, replacement in _SENSITIVE_TEXT:
        text = pattern.sub(replacement, text)
    return text


class MaskedText(str):
    """Text from Connect in which secrets were masked when it was read; the original is not kept."""

    __slots__ = ()


class ConnectorConfig(Mapping[str, str]):
    """A connector's settings. Looking one up gives the value as it is (a plan compares them); shown as a whole they are masked.

    Not a dict, because loggers and pretty-printers open a dict without asking its repr.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str | None]) -> None:
        self._values = {key: value for key, value in values.items() if value is not None}  # to Connect, null is a missing key

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def display(self) -> dict[str, str]:
        return {key: mask(key, value) for key, value in self.items()}

    def __repr__(self) -> str:
        return f"ConnectorConfig({self.display()!r})"


def _decode_own(kind: type[Any], value: Any) -> Any:
    if kind is ConnectorConfig:
        return ConnectorConfig(value)
    return MaskedText(mask_text(value)) if kind is MaskedText else value


# --- what Connect answers: unknown fields are ignored, unknown states are kept as they are ------------------------------------


class ServerInfo(Struct, frozen=True):
    version: str
    commit: str
    kafka_cluster_id: str


class Health(Struct, frozen=True):
    """`status` is `healthy`, `starting` or `unhealthy` in Kafka 4.1; other words are kept."""

    status: str
    message: str = ""


class InstanceStatus(Struct, frozen=True):
    state: str
    worker_id: str | None = None
    trace: MaskedText | None = None
    version: str | None = None


class TaskStatus(InstanceStatus, frozen=True, kw_only=True):
    id: int


class ConnectorStatus(Struct, frozen=True):
    name: str
    connector: InstanceStatus
    tasks: tuple[TaskStatus, ...] = ()
    type: str | None = None

    @property
    def states(self) -> frozenset[str]:
        """The states of the connector and of all its tasks: a connector can be RUNNING while its only task is FAILED."""
        return frozenset({self.connector.state, *(task.state for task in self.tasks)})

    @property
    def cause(self) -> str | None:
        """The first line of the first trace of what is FAILED, or None. A RESTARTING task still carries its old trace."""
        traces = (part.trace for part in (self.connector, *self.tasks) if part.state == "FAILED" and part.trace)
        return next((trace.splitlines()[0] for trace in traces), None)


class TaskId(Struct, frozen=True):
    connector: str
    task: int


class TaskInfo(Struct, frozen=True):
    id: TaskId
    config: ConnectorConfig


class ConnectorInfo(Struct, frozen=True):
    name: str
    config: ConnectorConfig
    tasks: tuple[TaskId, ...] = ()
    type: str | None = None


class ConnectorEntry(Struct, frozen=True):
    """One connector in a list; what was not asked for is None."""

    status: ConnectorStatus | None = None
    info: ConnectorInfo | None = None


class Applied(Struct, frozen=True):
    created: bool
    info: ConnectorInfo


class ConnectorOffset(Struct, frozen=True):
    """A place in a source: `offset` None removes it in `alter_offsets`."""

    partition: dict[str, object]
    offset: dict[str, object] | None


class Plugin(Struct, frozen=True):
    class_name: str = field(name="class")
    type: str
    version: str | None = None


class Logger(Struct, frozen=True):
    level: str | None = None
    last_modified: int | None = None


class Validation(Struct, frozen=True):
    """`errors`: setting -> what is wrong with it. The values are left out: they would be the secrets that were sent."""

    error_count: int
    errors: dict[str, tuple[str, ...]]


class _Offsets(Struct, frozen=True):
    offsets: tuple[ConnectorOffset, ...]


class _Topics(Struct, frozen=True):
    topics: tuple[str, ...]


class _Message(Struct, frozen=True):
    message: MaskedText | None = None


class _ValidatedValue(Struct, frozen=True):
    name: str
    errors: tuple[MaskedText, ...] = ()


class _ValidatedSetting(Struct, frozen=True):
    value: _ValidatedValue


class _Validated(Struct, frozen=True):
    error_count: int
    configs: tuple[_ValidatedSetting, ...] = ()


# --- what can go wrong ----------------------------------------------------------------------------------------------------------


class KafkaConnectError(Exception):
    """Every error of this client: what happened, why, what to do. No part of it holds a secret."""

    def __init__(self, what: str, why: str, advice: str) -> None:
        super().__init__(f"{what}: {why.rstrip('. ')}. {advice}")
        self.what, self.why, self.advice = what, why, advice


class ConnectUnreachable(KafkaConnectError):
    """Nothing that speaks Connect's language answered: down, still starting, or another service at that address."""


class RebalanceInProgress(KafkaConnectError):
    """Still a 409 after the last attempt."""


class ConnectorNotFound(KafkaConnectError):
    """Connect says that it has no such connector or task."""


class ConnectorExists(KafkaConnectError):
    """`create` met a connector of the same name."""


class ConnectorNotSettled(KafkaConnectError):
    """The wanted state was not reached in time."""


class ConnectRefused(KafkaConnectError):
    """Connect understood and said no. `status`: HTTP; `message`: its words, masked."""

    def __init__(self, what: str, status: int, message: str, advice: str) -> None:
        super().__init__(what, f"{status}: {message}", advice)
        self.status, self.message = status, message


_ADVICE = (  # (in Connect's message, or the status) -> what to do; the first that fits
    ("STOPPED state", "Call stop(name), wait with settle(name, 'STOPPED'), then change the offsets."),
    ("configuration is invalid", "Correct the named settings; validate(config) lists them one by one."),
    ("Failed to find any class", "Put the plugin into plugin.path of every worker and restart them; plugins() lists what is there."),
    ("HTTP 404", "This version of Kafka Connect does not know the call; server() tells the version."),
    ("timed out", "The worker is busy or waits for Kafka: look at its log, then try again."),
    ("401", "Give the user and the password of the REST interface in the address."),
    ("403", "The user may not do this, or the worker's settings forbid it."),
    ("", "Look for the same words in the worker's log."),
)

# --- the client -----------------------------------------------------------------------------------------------------------------


class Retry(Struct, frozen=True):
    """How often and how long to wait. The default gives up after 16 s of waiting: long enough for a rebalance, too short for a start."""

    attempts: int = 8
    first_seconds: float = 0.2
    most_seconds: float = 5.0

    def waits(self) -> Iterator[float]:
        return (min(self.first_seconds * 2**n, self.most_seconds) for n in range(self.attempts - 1))


# Connect itself gives up on a request after 90 s and then says why: wait longer than that, or its reason is lost.
ANSWER_SECONDS = 95.0
CONNECT_SECONDS = 5.0
# In these the request never reached the server, so every call may be repeated. After the others only those that are idempotent.
_NEVER_ARRIVED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_BROKE_OFF = (httpx2.NetworkError, httpx2.RemoteProtocolError)


class ConnectClient:
    """The REST interface of one Connect cluster. Any worker will do: it forwards to the leader.

    `base_url`: http(s)://host:port, with user:password@ where basic authentication is on. `transport`: of httpx2, for tests.
    `sleep` and `clock` (seconds, monotonic) are passed in so that nothing has to wait. Every method raises KafkaConnectError.
    A proxy named in the environment is not used: configurations pass through here.
    """

    def __init__(
        self,
        base_url: str,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        verify: ssl.SSLContext | bool = True,
        answer_seconds: float = ANSWER_SECONDS,
        retry: Retry = Retry(),  # noqa: B008  (frozen)
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        url = httpx2.URL(base_url if base_url.endswith("/") else base_url + "/")
        # httpx logs the address of each request: the password must not stay in it.
        auth = (url.username, url.password) if url.userinfo else None
        self._url = url.copy_with(userinfo=b"")
        self._retry, self._sleep, self._clock = retry, sleep, clock
        self._http = httpx2.AsyncClient(
            base_url=self._url,
            auth=auth,
            transport=transport,
            verify=verify,
            timeout=httpx2.Timeout(answer_seconds, connect=CONNECT_SECONDS),
            trust_env=False,
        )

    def __repr__(self) -> str:
        return f"ConnectClient({str(self._url)!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    # the worker

    async def server(self) -> ServerInfo:
        return _read(ServerInfo, await self._call("GET", ""))

    async def health(self) -> Health:
        """One attempt, since "not yet" is an answer here; `starting` also before the worker has its routes. Kafka 3.9 or newer."""
        answer = await self._send("GET", "health")
        try:
            return json.decode(answer.content, type=Health)  # the same shape with 200, 500 and 503
        except DecodeError:
            try:
                _check(self._what("GET", "health"), answer)
            except ConnectUnreachable as problem:
                return Health("starting", problem.why)
            return _read(Health, answer)

    async def plugins(self, *, connectors_only: bool = True) -> tuple[Plugin, ...]:
        query = {"connectorsOnly": _flag(connectors_only)}
        return _read(tuple[Plugin, ...], await self._call("GET", "connector-plugins", query=query))

    async def validate(self, config: Mapping[str, str]) -> Validation:
        """Asks the plugin named by `connector.class`. Debezium's plugins try to reach the database here, which takes seconds."""
        path = f"connector-plugins/{quote(config['connector.class'], safe='')}/config/validate"
        found = _read(_Validated, await self._call("PUT", path, body=dict(config), config=config))
        wrong = {
            setting.value.name: tuple(mask_text(error, config) for error in setting.value.errors)
            for setting in found.configs
            if setting.value.errors
        }
        return Validation(found.error_count, wrong)

    async def loggers(self) -> dict[str, Logger]:
        return _read(dict[str, Logger], await self._call("GET", "admin/loggers"))

    async def set_log_level(self, logger: str, level: str, *, whole_cluster: bool = True) -> None:
        query = {"scope": "cluster" if whole_cluster else "worker"}
        await self._call("PUT", f"admin/loggers/{quote(logger, safe='')}", query=query, body={"level": level})

    # connectors

    async def names(self) -> tuple[str, ...]:
        return tuple(sorted(_read(tuple[str, ...], await self._call("GET", "connectors"))))

    async def connectors(self, *expand: str) -> dict[str, ConnectorEntry]:
        """All connectors by name; `expand`: "status", "info" (both if none is named)."""
        query = {"expand": list(expand or ("status", "info"))}
        return _read(dict[str, ConnectorEntry], await self._call("GET", "connectors", query=query))

    async def create(self, name: str, config: Mapping[str, str], *, initial_state: str = "RUNNING") -> ConnectorInfo:
        """Raises ConnectorExists. `initial_state`: RUNNING, PAUSED or STOPPED (offsets can be set before the first read)."""
        _path(name)
        body: dict[str, object] = {"name": name, "config": dict(config)}
        if initial_state != "RUNNING":
            body["initial_state"] = initial_state  # Kafka 3.7 or newer (KIP-980); an older worker refuses the word
        return _read(ConnectorInfo, await self._call("POST", "connectors", name=name, body=body, config=config, repeatable=False))

    async def put_config(self, name: str, config: Mapping[str, str]) -> Applied:
        """Creates or replaces; idempotent. Connect restarts the tasks even if nothing differs: compare with `config` first."""
        answer = await self._call("PUT", _path(name, "config"), name=name, body=dict(config), config=config)
        return Applied(answer.status_code == 201, _read(ConnectorInfo, answer))

    async def patch_config(self, name: str, changes: Mapping[str, str | None]) -> ConnectorInfo:
        """Sets some settings and removes those whose value is None (KIP-477)."""
        return _read(ConnectorInfo, await self._call("PATCH", _path(name, "config"), name=name, body=dict(changes), config=changes))

    async def config(self, name: str) -> ConnectorConfig:
        return _read(ConnectorConfig, await self._call("GET", _path(name, "config"), name=name))

    async def info(self, name: str) -> ConnectorInfo:
        return _read(ConnectorInfo, await self._call("GET", _path(name), name=name))

    async def status(self, name: str) -> ConnectorStatus:
        """Raises ConnectorNotFound also for a moment after the connector was made: no worker has reported on it yet."""
        return _read(ConnectorStatus, await self._call("GET", _path(name, "status"), name=name))

    async def delete(self, name: str) -> bool:
        """False if there was none, which is also what a repeated attempt meets after a broken connection."""
        try:
            await self._call("DELETE", _path(name), name=name)
        except ConnectorNotFound:
            return False
        return True

    async def pause(self, name: str) -> None:
        """Accepted, not done: wait with `settle`. A paused source connector goes on holding its replication slot."""
        await self._call("PUT", _path(name, "pause"), name=name)

    async def resume(self, name: str) -> None:
        await self._call("PUT", _path(name, "resume"), name=name)

    async def stop(self, name: str) -> None:
        """Ends the tasks and keeps the configuration; only then can offsets be changed. Accepted, not done: see `settle`."""
        await self._call("PUT", _path(name, "stop"), name=name)

    async def restart(self, name: str, *, include_tasks: bool = True, only_failed: bool = False) -> ConnectorStatus | None:
        """Returns what is RESTARTING; None for the connector alone. Connect's own default leaves failed tasks failed: ours does not."""
        query = {"includeTasks": _flag(include_tasks), "onlyFailed": _flag(only_failed)}
        answer = await self._call("POST", _path(name, "restart"), name=name, query=query, repeatable=False)
        return _read(ConnectorStatus, answer) if answer.content else None

    async def settle(self, name: str, state: str, *, within_seconds: float = 60.0, poll_seconds: float = 0.5) -> ConnectorStatus:
        """Waits until the connector and all its tasks are in `state`: RUNNING needs at least one task, STOPPED needs none.

        Raises ConnectorNotSettled, with the first line of a FAILED task's trace, when the time is over.
        """
        end, seen = self._clock() + within_seconds, "no status yet"
        while True:
            try:
                status = await self.status(name)
            except ConnectorNotFound as error:
                seen = error.why
            else:
                if status.states == {state} and (not status.tasks if state == "STOPPED" else bool(status.tasks)):
                    return status
                seen = f"{', '.join(sorted(status.states))}, {len(status.tasks)} task(s); {status.cause or 'no trace'}"
            if self._clock() >= end:
                advice = (
                    "Read the trace in status(name); after the cause is gone, restart(name, only_failed=True). Without a task yet: making"
                    " the slot waits for the department's open transactions, pg_stat_activity tells whose; it goes on by itself."
                )
                raise ConnectorNotSettled(f"{name} is not {state} after {within_seconds:g} s", seen, advice)
            await self._sleep(poll_seconds)

    # tasks, topics, offsets

    async def tasks(self, name: str) -> tuple[TaskInfo, ...]:
        return _read(tuple[TaskInfo, ...], await self._call("GET", _path(name, "tasks"), name=name))

    async def task_status(self, name: str, task: int) -> TaskStatus:
        return _read(TaskStatus, await self._call("GET", _path(name, f"tasks/{task}/status"), name=name))

    async def restart_task(self, name: str, task: int) -> None:
        await self._call("POST", _path(name, f"tasks/{task}/restart"), name=name, repeatable=False)

    async def topics(self, name: str) -> tuple[str, ...]:
        """The topics written or read since the last reset; empty, not an error, for a connector that does not exist."""
        found = _read(dict[str, _Topics], await self._call("GET", _path(name, "topics"), name=name))
        return tuple(sorted(topic for entry in found.values() for topic in entry.topics))

    async def reset_topics(self, name: str) -> None:
        await self._call("PUT", _path(name, "topics/reset"), name=name)

    async def offsets(self, name: str) -> tuple[ConnectorOffset, ...]:
        return _read(_Offsets, await self._call("GET", _path(name, "offsets"), name=name)).offsets

    async def alter_offsets(self, name: str, offsets: Collection[ConnectorOffset]) -> str:
        """The connector must be STOPPED, else ConnectRefused. Returns Connect's own words: some plugins keep offsets elsewhere too."""
        body = _Offsets(tuple(offsets))
        return _read(_Message, await self._call("PATCH", _path(name, "offsets"), name=name, body=body)).message or ""

    async def reset_offsets(self, name: str) -> str:
        """Forgets every offset: a source reads from its beginning again. The connector must be STOPPED."""
        return _read(_Message, await self._call("DELETE", _path(name, "offsets"), name=name)).message or ""

    # one call

    async def _call(
        self,
        method: str,
        path: str,
        *,
        name: str | None = None,
        query: Mapping[str, str | Sequence[str]] | None = None,
        body: object = None,
        config: Mapping[str, str | None] | None = None,
        repeatable: bool = True,
    ) -> httpx2.Response:
        """The answer of 200–299. `name`: a 404 is about this connector; `config`: its secrets are masked in errors."""
        waits = self._retry.waits()
        while True:
            try:
                answer = await self._send(method, path, query, body)
                _check(self._what(method, path), answer, name, config)
                return answer
            except KafkaConnectError as problem:
                wait = next(waits, None)
                if wait is None or not _passes(problem, repeatable):
                    raise
                await self._sleep(wait)

    def _what(self, method: str, path: str) -> str:
        return f"{method} {self._url}{unquote(path)}"

    async def _send(
        self, method: str, path: str, query: Mapping[str, str | Sequence[str]] | None = None, body: object = None
    ) -> httpx2.Response:
        content = None if body is None else json.encode(body)
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        try:
            return await self._http.request(method, path, params=query, content=content, headers=headers)
        except httpx2.RequestError as error:
            why = mask_text(str(error)) or re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
            advice = "Check the address, that the worker runs, and that the network allows it."
            raise ConnectUnreachable(self._what(method, path), why, advice) from error


def _check(what: str, answer: httpx2.Response, name: str | None = None, config: Mapping[str, str | None] | None = None) -> None:
    """Raises what an answer other than 2xx means. Connect's own errors are JSON with a message, a proxy's are not."""
    status = answer.status_code
    if answer.is_success:
        return
    try:
        message = json.decode(answer.content, type=_Message, dec_hook=_decode_own).message
    except DecodeError:
        message = None
    if message is None and status in (404, 502, 503, 504):
        why = f"{status} without a word from Connect: it is starting, or it is not Connect"
        raise ConnectUnreachable(what, why, "Wait until health() says healthy, or check the address and what stands before it.")
    text = mask_text(message or answer.reason_phrase, config)
    if status == 409 and "already exists" in text:
        raise ConnectorExists(what, text, "Use put_config(name, config) to replace its settings.")
    if status == 409:
        raise RebalanceInProgress(what, text, "Try again in a minute; if it stays so, look for a worker that joins and leaves.")
    if status == 404 and name is not None and not text.startswith("HTTP 404"):
        raise ConnectorNotFound(what, text, "names() lists the connectors of this cluster.")
    if status == 500 and "forward REST request" in text:
        raise ConnectUnreachable(what, text, "A worker cannot reach the leader: check rest.advertised.host.name of the workers.")
    raise ConnectRefused(what, status, text, next(advice for words, advice in _ADVICE if words in f"{status} {text}"))


def _passes(problem: KafkaConnectError, repeatable: bool) -> bool:
    """Whether the same call may succeed a moment later and does no harm if the first one did arrive."""
    if isinstance(problem, RebalanceInProgress):
        return True  # refused before it had any effect
    if not isinstance(problem, ConnectUnreachable):
        return False
    cause = problem.__cause__
    if isinstance(cause, _NEVER_ARRIVED):
        return True
    # A read that timed out has had more than the 90 s in which Connect answers: another attempt would only hide that.
    return repeatable and (cause is None or isinstance(cause, _BROKE_OFF))


def _read(kind: type[T], answer: httpx2.Response) -> T:
    try:
        return json.decode(answer.content, type=kind, dec_hook=_decode_own)
    except DecodeError as error:
        what = f"{answer.request.method} {unquote(str(answer.request.url))}"
        # The text of a ValidationError names the field, never its value.
        raise ConnectUnreachable(what, f"the answer is not Connect's: {error}", "Check that the address is that of Connect.") from None


def _path(name: str, rest: str = "") -> str:
    # Connect takes such a name in POST /connectors, and then no call can reach the connector: its web server refuses these escapes.
    if not name or name in (".", "..") or re.search(r"[/\\%\x00-\x1f]", name):
        why = "a name that is empty or has / \\ % or a control character cannot be reached in a URL"
        raise ConnectRefused(f"connector {name!r}", 400, why, "Use letters, digits, . _ and -.")
    return f"connectors/{quote(name, safe='')}" + (f"/{rest}" if rest else "")


def _flag(value: bool) -> str:
    return "true" if value else "false"
