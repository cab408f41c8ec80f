"""`python -m tests.bench.stages [CHANGES]`: what one change costs by step, in one process, without a broker; and the lane but for Kafka.

Steps are timed over batches of 500, whose results are dropped before the next, over states as many as the stream makes: so a step meets the
memory as it does in the engine. CPU time, the best of three rounds. SYNC_ENGINE_CORE=pure measures the pure functions.
"""

import gc
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sync_engine.model import names
from sync_engine.model.core import TOLD
from sync_engine.model.names import partition_of
from sync_engine.model.outcome import DeadLetter, Emit
from sync_engine.model.record import Record
from sync_engine.resolve import plan
from sync_engine.resolve.content import Rules, compile_rules
from sync_engine.resolve.decide import Change, RecordState, decide
from sync_engine.resolve.stage import ResolveStage, State, slot_key
from sync_engine.runtime.log import OnPartitions, TopicPartition
from sync_engine.runtime.loop import BatchLoop
from sync_engine.runtime.schemas import AvroCodec, all_schemas
from sync_engine.runtime.store import RocksStore
from tests.bench.catalogue import ENTITY, Entry, class_of, declarations, entity_type, read_entry
from tests.bench.workload import Change as Said
from tests.bench.workload import Workload, datum

NODE, PARTITIONS, BATCH, LANE_BATCH, ROUNDS = "bench", 4, 500, 2_000, 3
T = TypeVar("T")
Claims = Sequence[tuple[bytes, bytes]]


class Ids:
    """A registry in memory."""

    def __init__(self) -> None:
        self._schemas: list[str] = []

    def register(self, subject: str, schema: str) -> int:
        if schema not in self._schemas:
            self._schemas.append(schema)
        return self._schemas.index(schema)

    def schema(self, schema_id: int) -> str:
        return self._schemas[schema_id]


class Clock:
    """CPU time by step."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = {}

    def each(self, step: str, call: Callable[..., T], arguments: Iterable[tuple[Any, ...]]) -> list[T]:
        given = list(arguments)
        began = time.process_time_ns()
        made = [call(*each) for each in given]
        self.spent[step] = self.spent.get(step, 0) + time.process_time_ns() - began
        return made


def measure_steps(codec: AvroCodec, rules: Rules, claims: Claims) -> dict[str, int]:
    clock, states, encode, decode = (
        Clock(),
        dict[str, RecordState](),
        msgspec.msgpack.Encoder().encode,
        msgspec.msgpack.Decoder(State).decode,
    )
    stage = ResolveStage(NODE, rules, 0, codec, (), lambda *change: ())

    def take_in(key: str, claim: Any) -> Change | None:
        change = decide(rules, 0, key, states.get(key), claim)
        if change is not None:
            states[key] = change.after
        return change

    for first in range(0, len(claims), BATCH):
        batch = claims[first : first + BATCH]
        decoded = clock.each("decode the claim", codec.claim, ((value, NODE) for _, value in batch))
        keys = [key.decode() for key, _ in batch]
        decided = clock.each("decide", take_in, zip(keys, decoded, strict=True))
        done = [(key, change) for key, change in zip(keys, decided, strict=True) if change is not None]
        resolved = clock.each("… of it: content and findings", plan.resolve, ((rules, key, change.after.slots) for key, change in done))
        clock.each("… of it: digest", lambda one: one.content.digest(), ((one,) for one in resolved))
        clock.each("encode golden", codec.encode_golden, ((ENTITY, change.golden) for _, change in done if change.golden))
        clock.each("slot key", slot_key, ((key, slot) for key, change in done for slot in change.slots))
        findings = [(finding, True, 0) for _, change in done for finding in (*change.raised, *change.cleared)]
        clock.each("findings", stage._finding, findings)
        raw = clock.each("state to bytes (when it leaves the memory)", encode, ((State(change.after),) for _, change in done))
        clock.each("state of bytes (when it comes back)", decode, ((each,) for each in raw))
    return clock.spent


class MemoryLog:
    """What a loop needs of a log to decide everything once and write nothing."""

    def __init__(self, batches: Iterable[list[Record]]) -> None:
        self.batches = deque(batches)

    def subscribe(self, topics: Sequence[str], on_assign: OnPartitions, on_revoke: OnPartitions) -> None:
        on_assign([(topics[0], partition) for partition in range(PARTITIONS)])

    def take(self, max_records: int, timeout_seconds: float) -> list[Record]:
        return self.batches.popleft()

    def commit(self, emits: Sequence[Emit], offsets: Mapping[TopicPartition, int]) -> None:
        return

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    end_offsets = committed

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[list[Record]]:
        return iter(())


class Unwatched:
    def committed(self, stage: str, records: int, emits: int, letters: Sequence[DeadLetter]) -> None:
        assert not letters

    def aborted(self, stage: str) -> None:
        return

    def restored(self, stage: str, records: int) -> None:
        return


class Noon:
    def now_ms(self) -> int:
        return 0


def measure_lane(codec: AvroCodec, rules: Rules, claims: Claims) -> int:
    topic = names.claim(NODE, ENTITY)
    records = [Record(topic, partition_of(key, PARTITIONS), at, key, value, (), 0) for at, (key, value) in enumerate(claims)]
    log = MemoryLog(records[first : first + LANE_BATCH] for first in range(0, len(records), LANE_BATCH))
    stage = ResolveStage(NODE, rules, 0, codec, (), lambda *change: ())
    with tempfile.TemporaryDirectory() as folder:
        stores: list[RocksStore] = []

        def open_store(partition: int) -> RocksStore:
            stores.append(RocksStore(Path(folder) / str(partition)))
            return stores[-1]

        loop = BatchLoop(NODE, stage, log, codec, open_store, Noon(), Unwatched())  # type: ignore[arg-type]  # a log in part
        loop.start()
        began = time.process_time_ns()
        while log.batches:
            loop.run_once()
        spent = time.process_time_ns() - began
        for store in stores:
            store.close()
    return spent


def _changes(entry: Entry, count: int) -> list[Said]:
    """About half of them make the records, the others change them."""
    workload = Workload(entry, max(count // 5, 1), 1)
    loaded = [row for rows in workload.load(range(workload.loaded)) for row in rows]
    return [*loaded, *(workload.next() for _ in range(count - len(loaded)))]


def main(count: int) -> None:
    entry = read_entry()
    codec = AvroCodec(Ids(), all_schemas(declarations(entry, NODE, PARTITIONS)))
    claims = [(change.key.encode(), codec.encode(f"sync.{ENTITY}.Claim", datum(change))) for change in _changes(entry, count)]
    rules = compile_rules(entity_type(entry), lambda source: class_of(entry, source))
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    print(f"core: {TOLD}; µs of CPU a change, over {count:,} changes")
    rounds = [measure_steps(codec, rules, claims) for _ in range(ROUNDS)]
    for step in rounds[0]:
        print(f"{step:<44} {min(each[step] for each in rounds) / count / 1000:6.2f}")
    lane = min(measure_lane(codec, rules, claims) for _ in range(ROUNDS))
    print(f"{'the lane: loop, stage and store, without Kafka':<44} {lane / count / 1000:6.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40_000)
