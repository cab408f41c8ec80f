"""Which dead letters stand, by department. One stands until a null of its key says that it was put back or given up.

Pure. What cannot be told to a department of this node (a neighbour's claim, a fault behind ingest) counts under "".
"""

from collections import Counter
from collections.abc import Mapping

ELSEWHERE = ""


class Letters:
    """The dead letters of one node."""

    def __init__(self, captured: Mapping[str, str]) -> None:
        """`captured` = topic -> department id, of all that the node's departments say."""
        self._captured = captured
        self._standing: dict[bytes, str] = {}
        self._counts: Counter[str] = Counter()

    def read(self, key: bytes, topic: str | None) -> None:
        """A record of the dead topic. `topic` = where the letter stood, None for a null."""
        before = self._standing.pop(key, None)
        if before is not None:
            self._counts[before] -= 1
        if topic is not None:
            source = self._standing[key] = self._captured.get(topic, ELSEWHERE)
            self._counts[source] += 1

    def count(self, source: str) -> int:
        return self._counts[source]
