"""When a finished snapshot may end what it did not renew: when a cut that began after it has passed ingest. Pure.

Ingest sweeps a table at its last READ; a table that was empty, or whose last row could not be read, has none. The heartbeat table always
has a row: its READ carries the snapshot's position, and the first beat of the stream comes after everything that the snapshot read.
"""

from sync_engine.model.claim import Position


class Sweeps:
    """The snapshots of one node's departments. Repeating a sweep is harmless, so nothing here must outlive a restart."""

    def __init__(self) -> None:
        self._read: dict[str, Position] = {}
        self._after_ms: dict[str, int] = {}

    def snapshot_read(self, source: str, position: Position) -> None:
        """The department's beat was READ by a snapshot at `position`."""
        if position > self._read.get(source, (0, 0, 0, 0, 0)):
            self._read[source] = position
            self._after_ms.pop(source, None)

    def beat(self, source: str, watermark_ms: int) -> None:
        """A beat of the stream: the first one after a READ is what must have passed."""
        if source in self._read:
            self._after_ms.setdefault(source, watermark_ms)

    def passed(self, source: str, watermark_ms: int) -> Position | None:
        """All that was captured before the beat of `watermark_ms` is in claim: the position to sweep at, once per snapshot."""
        if watermark_ms < self._after_ms.get(source, watermark_ms + 1):
            return None
        del self._after_ms[source]
        return self._read.pop(source)
