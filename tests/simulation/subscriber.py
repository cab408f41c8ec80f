"""The other side of a delivery: takes it or not, and keeps what its versions did."""

import json
import random
from collections.abc import Sequence
from typing import Any

from sync_engine.model.stage import Answer, Request


class Platform:
    """Delivery is at least once: what a batch sent that was never committed may be sent again, and so may what stands
    before it in that batch.

    Everything else rises: below a version whose batch was committed nothing ever comes.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.fails = True
        self.last: dict[str, dict[str, Any]] = {}
        """key -> the payload with the greatest version."""
        self.settled: dict[str, int] = {}
        """key -> the greatest version that came in a batch that was committed."""
        self.back = 0
        """How often a version came after a greater one, of a batch that nobody had committed."""
        self.regressions: list[tuple[str, int, int]] = []

    def take(self, requests: Sequence[Request]) -> tuple[list[Answer], dict[str, int]]:
        """The answers, and what was received: settled as soon as the batch is committed."""
        received: dict[str, int] = {}
        answers = []
        for request in requests:
            status = self._chance.choice((204, 204, 204, 400, 429, 503, None)) if self.fails else 204
            is_lost = self.fails and status is None and self._chance.random() < 0.5
            if status == 204 or is_lost:
                self._receive(request.body, received)
            answers.append(Answer(status == 204, status, "" if status == 204 else "failed"))
        return answers, received

    def settle(self, received: dict[str, int]) -> None:
        for key, version in received.items():
            self.settled[key] = max(version, self.settled.get(key, 0))

    def _receive(self, body: bytes, received: dict[str, int]) -> None:
        event = json.loads(body)
        data = event["data"] | {"type": event["type"]}
        key, version = data["key"], data["version"]
        if version < self.settled.get(key, 0):
            self.regressions.append((key, self.settled[key], version))
        newest = self.last.get(key)
        if newest is None or version >= newest["version"]:
            self.last[key] = data
        else:
            self.back += 1
        received[key] = max(version, received.get(key, 0))
