"""A small receiver of webhooks on this machine: the other side of a push in the demo and in tests.

It does what the documentation asks of a department's receiver: check the signature over the bytes, answer quickly, keep the ids, and
look at the version. The surprise: it can be told to be a bad one (fail, hang, break off), and then keeps nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web

from sync_engine.runtime.push import ID, NotVerified, verify

Callback = Callable[[str, dict[str, Any], bool], None]


class _Behaviour(msgspec.Struct, frozen=True):
    """How the next requests are met. `status` None: no answer at all."""

    status: int | None = 204
    headers: dict[str, str] = {}
    breaks: bool = False
    receives: bool = True


class Receiver:
    """Listens on `host`:`port` (0: any free one) between `async with`; its address is `url`.

    `callback(webhook_id, payload, verified)` is called once per request that is not met with a failure. With `verified` False the
    payload is whatever somebody sent ({} if it is no JSON object), and the sender gets 401.
    `secrets`: all that are valid now. `now`: Unix time in seconds. Ids are kept as long as the receiver lives: not for production.
    """

    def __init__(
        self,
        secrets: Sequence[str],
        callback: Callback = lambda webhook_id, payload, verified: None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.secrets = tuple(secrets)
        self.versions: dict[tuple[str, str], int] = {}
        """The highest version received of each (entity, key)."""
        self.requests = 0
        """Every request, also those that were failed, left hanging or not believed."""
        self.received = 0
        self.duplicates = 0
        """Verified requests with an id that had come before: expected now and then, since delivery is at least once."""
        self.regressions = 0
        """Verified requests with a new id and a version that does not rise: never expected, since versions are sent in order."""
        self.unverified = 0
        self._ids: set[str] = set()
        self._callback, self._now = callback, now
        self._behaviour, self._released = _Behaviour(), asyncio.Event()
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}/"

    async def __aenter__(self) -> Self:
        # 20 kB is what a webhook should have; what is much larger is refused with 413.
        application = web.Application(client_max_size=1024**2)
        application.router.add_post("/{path:.*}", self._meet)
        # No grace at the end: whoever still hangs, hangs because it was told to.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._behave(_Behaviour())
        if self._runner is not None:
            await self._runner.cleanup()

    # how to be a bad receiver, and a good one again

    def work(self) -> None:
        """Receives and acknowledges. Whatever hangs is let go, without an answer."""
        self._behave(_Behaviour())

    def fail(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self._behave(_Behaviour(status=status, headers=dict(headers or {}), receives=False))

    def hang(self, *, receives: bool = False) -> None:
        """Never answers. With `receives` the request has its effect all the same: what a sender's timeout cannot know."""
        self._behave(_Behaviour(status=None, receives=receives))

    def reset(self) -> None:
        """Breaks the connection off without an answer."""
        self._behave(_Behaviour(status=None, breaks=True, receives=False))

    def _behave(self, behaviour: _Behaviour) -> None:
        self._released.set()
        self._behaviour, self._released = behaviour, asyncio.Event()

    # one request

    async def _meet(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        behaviour, released = self._behaviour, self._released
        body = await request.read()
        if behaviour.receives and not self._receive(request.headers, body):
            return web.Response(status=401)
        if behaviour.status is None:
            if not behaviour.breaks:
                await released.wait()
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return web.Response(status=behaviour.status, headers=behaviour.headers)

    def _receive(self, headers: Mapping[str, str], body: bytes) -> bool:
        try:
            webhook_id = verify(self.secrets, headers, body, now_seconds=self._now())
        except NotVerified:
            self.unverified += 1
            self._callback(headers.get(ID, ""), _object(body), False)
            return False
        payload = _object(body)
        self.received += 1
        self._count(webhook_id, payload.get("data"))
        self._callback(webhook_id, payload, True)
        return True

    def _count(self, webhook_id: str, data: Any) -> None:
        if webhook_id in self._ids:
            self.duplicates += 1
            return
        self._ids.add(webhook_id)
        match data:
            case {"entity": str(entity), "key": str(key), "version": int(version)}:
                highest = self.versions.get((entity, key))
                if highest is not None and version <= highest:
                    self.regressions += 1
                else:
                    self.versions[entity, key] = version


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
