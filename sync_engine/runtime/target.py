"""Where deliveries go: one seam for webhooks, topics and tables, called in the lane's own thread.

A target tries each request once and says what it was worth; when to try again is the deliver stage's business. Whatever the world does
is an answer, and no answer takes much longer than its request allows: so a receiver that is dead or slow costs its own lane alone.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from sync_engine.model.stage import Answer, Request
from sync_engine.runtime.push import WebhookPusher
from sync_engine.setting_kinds import Secret

REFUSED = 422
"""The status of one record that a topic or a table does not take: as with a webhook, it holds back itself alone."""


class Target(Protocol):
    """One subscriber's place."""

    def deliver(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """One attempt of each, of different keys; the answers in their order. Raises nothing that the receiver causes."""

    def close(self) -> None:
        """Ends connections without waiting for anybody."""


class WebhookTarget:
    """Signed pushes by the pusher that all webhooks of a process share, on the event loop that it lives in."""

    def __init__(
        self,
        pusher: WebhookPusher,
        url: str,
        secrets: Sequence[Secret],
        loop: asyncio.AbstractEventLoop,
        now_ms: Callable[[], int],
        delivered: Callable[[bool, float], None] = lambda acknowledged, seconds: None,
    ) -> None:
        """`delivered` is told of every attempt: whether it was acknowledged, and how long it took."""
        self._pusher, self._url, self._loop, self._now_ms, self._delivered = pusher, url, loop, now_ms, delivered
        self._secrets = [secret.reveal() for secret in secrets]

    def deliver(self, requests: Sequence[Request]) -> Sequence[Answer]:
        return asyncio.run_coroutine_threadsafe(self._push_all(requests), self._loop).result()

    async def _push_all(self, requests: Sequence[Request]) -> Sequence[Answer]:
        return await asyncio.gather(*(self._push(request) for request in requests))

    async def _push(self, request: Request) -> Answer:
        began = time.monotonic()
        result = await self._pusher.push(
            self._url,
            self._secrets,
            request.webhook_id,
            self._now_ms() // 1000,
            request.body,
            timeout_seconds=request.timeout_seconds,
        )
        self._delivered(result.acknowledged, time.monotonic() - began)
        return Answer(result.acknowledged, result.status, result.why, result.retry_after_seconds, result.disable)

    def close(self) -> None:
        return  # the pusher is shared
