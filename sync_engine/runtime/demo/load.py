"""Load on a running demo: the sample's events at a steady rate, and what the engine makes of them, measured.

Latency is from a change's commit in its department's database to the arrival of its push at the province's webhook, by this machine's
clock.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from statistics import quantiles
from typing import Any

from sync_engine.runtime.demo.player import Connect, Player
from sync_engine.runtime.demo.workload import Event, events

Report = Callable[[Mapping[str, Any]], None]
SETTLE_SECONDS = 10.0
"""So long the pushes of the last changes may take to be counted."""


class History:
    """How many people a demo's departments know and how many events they have seen, in a file: an event happens once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        stored = json.loads(file.read_text()) if file.exists() else {"people": 0, "events": 0}
        self.people: int = stored["people"]
        self.events: int = stored["events"]

    def begin(self, people: int) -> None:
        self.people, self.events = people, 0
        self._keep()

    def happening(self) -> Iterator[Event]:
        """What comes next. An event counts from when it is handed out: one that breaks off is not tried again."""
        for event in islice(events(self.people), self.events, None):
            self.events += 1
            self._keep()
            yield event

    def _keep(self) -> None:
        self._file.write_text(json.dumps({"people": self.people, "events": self.events}))


@dataclass
class Load:
    """One run: `received` is told of every push, `transactions` counts what all nodes have committed to Kafka so far."""

    connect: Connect
    transactions: Callable[[], float]
    changes_per_second: float
    began: float = field(default_factory=time.time)
    latencies: list[float] = field(default_factory=list)  # seconds

    def received(self, payload: Mapping[str, Any]) -> None:
        committed = datetime.fromisoformat(payload["time"]).timestamp()
        if committed >= self.began:
            self.latencies.append(time.time() - committed)

    def run(self, happening: Iterator[Event], seconds: float, stopped: Callable[[float], bool], say: Report) -> None:
        """`say` gets what is known so far about once a second, and the whole at the end."""
        player, told, began, before = Player(self.connect, self.changes_per_second), 0.0, time.monotonic(), self.transactions()

        def waits(for_seconds: float) -> bool:
            nonlocal told
            if time.monotonic() - told > 1:
                told = time.monotonic()
                say(self._report(player, began))
            return stopped(for_seconds)

        player.play(happening, seconds, waits)
        lasted, committed = time.monotonic() - began, self.transactions() - before
        self._settle(stopped)
        say({**self._report(player, began), "seconds": round(lasted, 1), "transactions_per_second": round(committed / lasted, 1)})

    def _settle(self, stopped: Callable[[float], bool]) -> None:
        """Until no push has come for a second."""
        deadline, seen = time.monotonic() + SETTLE_SECONDS, -1
        while seen != (seen := len(self.latencies)) and time.monotonic() < deadline and not stopped(1.0):
            pass

    def _report(self, player: Player, began: float) -> dict[str, Any]:
        percentiles = quantiles(self.latencies, n=100, method="inclusive") if len(self.latencies) > 1 else []
        return {
            "seconds": round(time.monotonic() - began, 1),
            "changes": player.changes,
            "commits": player.transactions,
            "events": dict(player.events.most_common()),
            "pushes": len(self.latencies),
            "p50_seconds": round(percentiles[49], 3) if percentiles else None,
            "p99_seconds": round(percentiles[98], 3) if percentiles else None,
        }
