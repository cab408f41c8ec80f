"""The brake: a source of whose last records too many had to be put aside is held, before its faults fill the dead letters. Pure.

A window is kept per captured topic, a hold is of a whole source: what its tables say belongs together. A window lives as long as the
process: one that begins again knows nothing of the records before.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

WINDOW_RECORDS = 1_000
MOST_DEAD = max(50, WINDOW_RECORDS * 5 // 100)
"""So many of the window's records may be put aside; one more trips the brake."""


class Window(NamedTuple):
    """The last records of one topic: how many there were in all, and which of them were put aside."""

    seen: int = 0
    """Negative while records are let through without being weighed."""
    dead: tuple[int, ...] = ()
    tripped: int = 0
    """How many had been put aside when it tripped; 0: it has not."""

    def after(self, verdicts: Sequence[bool]) -> "Window":
        """With the verdicts of its next records, True for one that is put aside."""
        seen, dead, tripped = self.seen, list(self.dead), self.tripped
        for is_dead in verdicts:
            seen += 1
            if is_dead and seen > 0:
                dead = [*(one for one in dead if one > seen - WINDOW_RECORDS), seen]
                tripped = tripped or (len(dead) if len(dead) > MOST_DEAD else 0)
        return Window(seen, tuple(dead), tripped)


class Brake:
    """The windows of one worker. `weigh` a batch; `keep` what was weighed when it is committed, `drop` it when it is not."""

    def __init__(self, captured: Mapping[str, str]) -> None:
        """`captured` = topic -> source, of all that the node's sources say."""
        self.captured = captured
        self._windows: dict[str, Window] = {}
        self._weighed: dict[str, Window] = {}

    def weigh(self, batch: Sequence[tuple[str, bool]]) -> Mapping[str, tuple[str, int]]:
        """Each record's topic, and whether it is put aside. Returns the sources that must be held: topic and letters in its window."""
        verdicts: dict[str, list[bool]] = {}
        for topic, is_dead in batch:
            if topic in self.captured:
                verdicts.setdefault(topic, []).append(is_dead)
        self._weighed = {topic: self._windows.get(topic, Window()).after(those) for topic, those in verdicts.items()}
        return {self.captured[topic]: (topic, window.tripped) for topic, window in self._weighed.items() if window.tripped}

    def keep(self) -> None:
        self._windows.update(self._weighed)
        self._weighed = {}

    def drop(self) -> None:
        self._weighed = {}

    def begin_anew(self, source: str) -> None:
        """The source was released: a whole window of records is let through, what is still bad to the dead letters; then as ever.

        They do not count later either: who released it has decided about them.
        """
        for topic in (topic for topic, other in self.captured.items() if other == source):
            self._windows[topic] = Window(seen=-WINDOW_RECORDS)
