"""Which failed captures to start again now: Kafka Connect leaves a failed task failed until somebody restarts it.

Pure. What the world did (a registry that was away when a new schema came) heals with the first try after its return; what only a person
can mend is tried twice a minute. The surprise: a restart that seems to help counts as one only after it has held for a while.
"""

from collections.abc import Collection

FIRST_WAIT_MS, LONGEST_WAIT_MS = 5_000, 30_000
HELD_MS = 60_000


class CaptureWatch:
    """The captures of one node, by connector name."""

    def __init__(self) -> None:
        self._tries: dict[str, int] = {}
        self._tried_ms: dict[str, int] = {}

    def judge(self, failed: Collection[str], now_ms: int) -> list[str]:
        """Those of the failed connectors whose turn it is; to be called for each look, with all that are failed."""
        for connector in [*self._tries]:
            if connector not in failed and now_ms - self._tried_ms[connector] >= HELD_MS:
                del self._tries[connector], self._tried_ms[connector]
        turn = [connector for connector in sorted(failed) if now_ms >= self._due_ms(connector)]
        for connector in turn:
            self._tries[connector] = self._tries.get(connector, 0) + 1
            self._tried_ms[connector] = now_ms
        return turn

    def tries(self, connector: str) -> int:
        """How often it was started again since it last ran well."""
        return self._tries.get(connector, 0)

    def _due_ms(self, connector: str) -> int:
        tries = self.tries(connector)
        return 0 if tries == 0 else self._tried_ms[connector] + min(FIRST_WAIT_MS * 2 ** (tries - 1), LONGEST_WAIT_MS)
