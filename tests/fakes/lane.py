"""One stage in the engine's own loop over Kafka in memory: turned by hand, told the time, restarted with nothing but its topics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sync_engine.model.outcome import DeadLetter
from sync_engine.model.record import Record
from sync_engine.model.stage import Answer, Codec, Request, Stage
from sync_engine.runtime.loop import BatchLoop
from sync_engine.runtime.store import MemoryStore
from tests.fakes.log import FakeBroker, FakeLog


@dataclass
class HandClock:
    ms: int = 0

    def now_ms(self) -> int:
        return self.ms


class Letters:
    """Keeps the dead letters; the rest of what the loop tells is nobody's business here."""

    def __init__(self) -> None:
        self.found: list[DeadLetter] = []

    def committed(self, stage: str, records: int, emits: int, letters: Sequence[DeadLetter]) -> None:
        self.found.extend(letters)

    def aborted(self, stage: str) -> None:
        raise AssertionError("nothing fails in a case")

    def restored(self, stage: str, records: int) -> None:
        return


class FakeLane:
    """`new_stage` is called again at every restart: what a stage keeps in itself is gone then."""

    def __init__(
        self,
        node: str,
        new_stage: Callable[[], Stage],
        codec: Codec,
        outputs: Sequence[str],
        partitions: int = 1,
        perform: Callable[[Sequence[Request]], Sequence[Answer]] | None = None,
    ) -> None:
        self.clock, self.letters, self.broker = HandClock(), Letters(), FakeBroker()
        self._node, self._new_stage, self._codec, self._perform = node, new_stage, codec, perform
        stage = new_stage()
        for topic in (*stage.inputs, *stage.changelogs):
            self.broker.create(topic, partitions)
        for topic in (*outputs, f"{node}.dead"):
            self.broker.create(topic)
        self._start(stage)

    def _start(self, stage: Stage) -> None:
        log = FakeLog(self.broker, f"{self._node}.{stage.name}", stage.name)
        self.stage = stage
        self._loop = BatchLoop(
            self._node, stage, log, self._codec, lambda _: MemoryStore(), self.clock, self.letters, perform=self._perform
        )
        self._loop.start()

    def restart(self) -> None:
        """Another worker takes over: it has the topics and nothing else."""
        self._loop.close()
        self._start(self._new_stage())

    def turn(self, at_ms: int) -> None:
        self.clock.ms = at_ms
        self._loop.run_once()

    def kept(self, topic: str) -> dict[bytes, bytes]:
        """What compaction leaves of a topic."""
        records: dict[bytes, Record] = {}
        for partition in range(len(self.broker.topics[topic])):
            records.update({record.key: record for record in self.broker.records(topic, partition) if record.key is not None})
        return {key: record.value for key, record in records.items() if record.value is not None}
