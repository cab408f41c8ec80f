"""Watermarks by cuts (design: lag that does not lie). Pure: the runtime brings beats, ends and progress.

W(source, place) = every change committed at the source before W, by the source's own clock, is applied at the place. When a beat with
time t is read, all that was committed before it is already in the source's cdc topics; once ingest has passed their ends of that moment,
all of it is in claim; and so on from place to place. The surprise: no marker travels in the data, so it is right when idle, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

TopicPartition = tuple[str, int]
Offsets = Mapping[TopicPartition, int]

CLAIM, GOLDEN = "claim", "golden"


@dataclass(frozen=True)
class Step:
    """How a watermark gets to one place of a node."""

    waits: tuple[tuple[str, tuple[str, ...]], ...]
    """(consumer group, topics): the group must have passed the ends of these topics. Empty: there at once."""
    then: tuple[str, ...] = ()
    """The places that a cut goes on to once it has passed this one."""

    @property
    def topics(self) -> frozenset[str]:
        return frozenset(topic for _, topics in self.waits for topic in topics)


StepOf = Callable[[str, str], Step]
"""(source, place) -> step."""


@dataclass
class Flight:
    """A cut on its way to one place: in flight with its targets, and the newest one waiting behind it."""

    watermark_ms: int | None = None
    targets: dict[TopicPartition, int] = field(default_factory=dict)
    waiting_ms: int | None = None


@dataclass(frozen=True)
class Passed:
    source: str
    place: str
    watermark_ms: int


class Cuts:
    """All cuts of one node. `source` = department id."""

    def __init__(self, step_of: StepOf) -> None:
        self._step_of = step_of
        self._flights: dict[tuple[str, str], Flight] = {}
        self.watermarks: dict[tuple[str, str], int] = {}

    def begin(self, source: str, place: str, watermark_ms: int) -> None:
        """A beat (or a neighbour's statement) of time `watermark_ms` was read: a cut starts towards `place`."""
        flight = self._flights.setdefault((source, place), Flight())
        if watermark_ms <= self.watermarks.get((source, place), -1):
            return
        flight.waiting_ms = max(flight.waiting_ms or 0, watermark_ms)

    def topics_wanted(self) -> set[str]:
        """Topics whose ends the next `advance` will take."""
        return {
            topic
            for (source, place), flight in self._flights.items()
            if flight.watermark_ms is None and flight.waiting_ms is not None
            for topic in self._step_of(source, place).topics
        }

    def groups_wanted(self) -> dict[str, set[str]]:
        """Group -> topics: the progress that the next `advance` will look at."""
        wanted: dict[str, set[str]] = {}
        for (source, place), flight in self._flights.items():
            if flight.watermark_ms is not None or flight.waiting_ms is not None:
                for group, topics in self._step_of(source, place).waits:
                    wanted.setdefault(group, set()).update(topics)
        return wanted

    def advance(self, ends: Offsets, progress: Callable[[str], Offsets]) -> list[Passed]:
        """Take the ends for the cuts that wait, and report those whose group has passed theirs.

        `ends` must have been read after the beats that were begun; `progress(group)` = committed offsets.
        """
        passed: list[Passed] = []
        for (source, place), flight in list(self._flights.items()):
            step = self._step_of(source, place)
            if flight.watermark_ms is None and flight.waiting_ms is not None and _all_known(step, ends):
                flight.watermark_ms, flight.waiting_ms = flight.waiting_ms, None
                flight.targets = {key: end for key, end in ends.items() if key[0] in step.topics}
            if flight.watermark_ms is not None and _is_past(step, progress, flight.targets):
                passed.append(Passed(source, place, flight.watermark_ms))
                self.watermarks[source, place] = max(flight.watermark_ms, self.watermarks.get((source, place), 0))
                for following in step.then:
                    self.begin(source, following, flight.watermark_ms)
                flight.watermark_ms, flight.targets = None, {}
        return passed


def _all_known(step: Step, ends: Offsets) -> bool:
    return {topic for topic, _ in ends}.issuperset(step.topics)


def _is_past(step: Step, progress: Callable[[str], Offsets], targets: Offsets) -> bool:
    # A group that never committed a partition has nothing of it to do only if the partition is empty.
    for group, topics in step.waits:
        at = progress(group)
        if any(end > 0 and at.get(key, -1) < end for key, end in targets.items() if key[0] in topics):
            return False
    return True
