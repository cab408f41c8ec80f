"""Live views in Redis: the last status of every node, for dashboards. Refills within a beat; nothing rests on it.

Redis away: the view is missing, the engine goes on, one line says so.
"""

from typing import Any

import msgspec
import redis.asyncio
import structlog

TTL_SECONDS = 15
"""A node that publishes nothing for so long is not there to be looked at."""

logger = structlog.get_logger()


class Views:
    def __init__(self, url: str, node: str) -> None:
        self._redis: Any = redis.asyncio.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
        self._key = f"sync-engine:status:{node}"
        self._away = False

    async def publish(self, status: dict[str, Any]) -> None:
        """Write the status; never raises for a Redis that is away."""
        try:
            await self._redis.set(self._key, msgspec.json.encode(status), ex=TTL_SECONDS)
            self._away = False
        except (redis.exceptions.RedisError, OSError) as failure:
            if not self._away:
                logger.warning("no live views", why=type(failure).__name__)
            self._away = True
