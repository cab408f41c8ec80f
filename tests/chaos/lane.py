"""The resolve stage of one node in a process of its own, which stops or dies at a named step. It says on stdout what it does, a line each.

python -m tests.chaos.lane ORDERS   (JSON of the class below; what it is told later comes on stdin)

It is runtime/lane without Faust: bad weather is waited out, MustRestart leaves the process. The surprise: nothing of the engine is changed;
the log, its producer, the store and the stage are wrapped, and every wrapper passes on all that it does not know.
"""

import ctypes
import faulthandler
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from sync_engine.model.outcome import DeadLetter, Emit
from sync_engine.model.record import Record
from sync_engine.runtime.clock import SystemClock
from sync_engine.runtime.kafka import KafkaLog
from sync_engine.runtime.log import MustRestart, TopicPartition, WorldFailure
from sync_engine.runtime.loop import BatchLoop
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.schemas import AvroCodec, all_schemas
from sync_engine.runtime.store import RocksStore
from sync_engine.topology import group_of, resolve_stage
from tests.chaos.catalogue import ENTITY, declarations_of

EXIT_RESTART = 75
PR_SET_PDEATHSIG = 1
NO_SUCH_PARTITION = 99
BACKOFF_SECONDS = 0.1

DECIDED, PRODUCED, OFFSETS_SENT, COMMITTED = "decided", "produced", "offsets-sent", "committed"
"""Steps of a batch that has outputs: before its transaction, twice inside it, and before the local write."""
RESTORING, ASKING_ENDS = "restoring", "asking-ends"
"""Steps beside the batch: after some records of a changelog were folded in; before the ends of partitions are asked for."""

REMEMBERED_STATES = 40
"""Few, so that states leave the memory at any time."""

PAUSE, KILL, FLUSH_AND_KILL, SPOIL, FAIL = "pause", "kill", "flush-and-kill", "spoil", "fail"


class Trap(msgspec.Struct):
    """What happens when the lane gets to a step for the (skip + 1)th time; only once."""

    step: str
    action: str = PAUSE
    skip: int = 0


class Orders(msgspec.Struct, kw_only=True):
    bootstrap: str
    registry: str
    node: str
    instance: str
    folder: str
    session_ms: int
    batch_records: int
    traps: list[Trap] = []
    stumbles_over: str | None = None
    """A key at which the stage raises what nobody foresaw."""


class Told:
    """What the test says: `trap` is obeyed at once, all else by the lane's thread."""

    def __init__(self, traps: Sequence[Trap]) -> None:
        self.traps = {trap.step: trap for trap in traps}
        self.others: queue.Queue[str] = queue.Queue()
        self.flush: Callable[[], None] = lambda: None
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            word, _, rest = line.strip().partition(" ")
            if word == "trap":
                trap = msgspec.json.decode(rest, type=Trap)
                self.traps[trap.step] = trap
                say("trap is set")
            else:
                self.others.put(word)
        os._exit(1)  # the test is gone

    def reach(self, step: str) -> str | None:
        """The lane is at `step`. Returns what the caller is to do about it."""
        trap = self.traps.get(step)
        if trap is None:
            return None
        if trap.skip > 0:
            trap.skip -= 1
            return None
        del self.traps[step]
        say(f"at {step}")
        if trap.action == FLUSH_AND_KILL:
            self.flush()
        if trap.action in (KILL, FLUSH_AND_KILL):
            os.kill(os.getpid(), signal.SIGKILL)
        if trap.action == PAUSE:
            assert self.others.get() == "go-on"
        return trap.action


class SteppedProducer:
    """The log's producer. Before a step is reached, what was produced has reached the broker."""

    def __init__(self, producer: Any, told: Told) -> None:
        self._producer, self._told = producer, told
        self.has_outputs = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def send_offsets_to_transaction(self, *arguments: Any) -> None:
        self._reach(PRODUCED)
        self._producer.send_offsets_to_transaction(*arguments)

    def commit_transaction(self, *arguments: Any) -> None:
        self._reach(OFFSETS_SENT)
        self._producer.commit_transaction(*arguments)

    def _reach(self, step: str) -> None:
        if self.has_outputs and step in self._told.traps:
            assert self._producer.flush(10) == 0
            self._told.reach(step)


class SteppedLog:
    """The log. Says which partitions come and go; gives changelogs in small pieces, so that there is a middle of a restore."""

    def __init__(self, log: KafkaLog, told: Told, dead_topic: str) -> None:
        self._log, self._told, self._dead_topic = log, told, dead_topic
        self._producer: Any = SteppedProducer(log._producer, told)
        log._producer = self._producer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def subscribe(self, topics: Sequence[str], on_assign: Callable[[Any], None], on_revoke: Callable[[Any], None]) -> None:
        def assigned(partitions: list[TopicPartition]) -> None:
            on_assign(partitions)
            for _, partition in partitions:
                say(f"assigned {partition}")

        def revoked(partitions: list[TopicPartition]) -> None:
            on_revoke(partitions)
            for _, partition in partitions:
                say(f"revoked {partition}")

        self._log.subscribe(topics, assigned, revoked)

    def commit(self, emits: Sequence[Emit], offsets: Mapping[TopicPartition, int]) -> None:
        self._producer.has_outputs = bool(emits)
        if emits and self._told.reach(DECIDED) == SPOIL:
            emits = [*emits, Emit(self._dead_topic, b"", b"", NO_SUCH_PARTITION)]
        self._log.commit(emits, offsets)
        if emits:
            self._told.reach(COMMITTED)

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        if self._told.reach(ASKING_ENDS) == FAIL:
            raise WorldFailure("the broker does not tell the ends")
        return self._log.end_offsets(partitions)

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[list[Record]]:
        for records in self._log.read(partition, start, end):
            for first in range(0, len(records), 20):
                yield records[first : first + 20]
                self._told.reach(RESTORING)


class FlushableStore:
    """A store that can be made to bring to disk now what it would have there some time later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store = RocksStore(path)
        self._is_open = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def close(self) -> None:
        self._is_open = False
        self._store.close()

    def flush(self) -> None:
        if self._is_open:
            self._store.close()
            self._store = RocksStore(self._path)


class Stumbling:
    """A stage with a bug that shows at one key, and says in its exception what it must not."""

    def __init__(self, stage: Any, key: bytes) -> None:
        self._stage, self._key = stage, key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage, name)

    def decide(self, record: Record, view: Any, now_ms: int) -> Any:
        if record.key == self._key:
            raise ValueError(f"nobody foresaw {record.key!r} {record.value!r}")
        return self._stage.decide(record, view, now_ms)


class SayingWatch:
    def committed(self, stage: str, records: int, emits: int, letters: Sequence[DeadLetter]) -> None:
        if records or emits:
            say(f"committed {records} {emits}")

    def aborted(self, stage: str) -> None:
        say("aborted")

    def restored(self, stage: str, records: int) -> None:
        say(f"restored {records}")


def make_loop(orders: Orders, told: Told) -> BatchLoop:
    declarations = declarations_of(orders.node)
    schemas = all_schemas(declarations)
    group = group_of(orders.node, f"resolve.{ENTITY['entity']}")
    stores: dict[int, FlushableStore] = {}

    def open_store(partition: int) -> Any:
        stores[partition] = FlushableStore(Path(orders.folder) / str(partition))
        return stores[partition]

    stage: Any = resolve_stage(declarations, orders.node, ENTITY["entity"], 1, AvroCodec(SchemaRegistry(orders.registry), schemas))
    if orders.stumbles_over is not None:
        stage = Stumbling(stage, orders.stumbles_over.encode())
    log: Any = KafkaLog(
        orders.bootstrap,
        group,
        f"{group}.{orders.instance}",
        session_timeout_ms=orders.session_ms,
        transaction_timeout_ms=orders.session_ms,
    )
    stepped: Any = SteppedLog(log, told, f"{orders.node}.dead")
    codec = AvroCodec(SchemaRegistry(orders.registry), schemas)
    loop = BatchLoop(
        orders.node,
        stage,
        stepped,
        codec,
        open_store,
        SystemClock(),
        SayingWatch(),
        batch_records=orders.batch_records,
        remembered_states=REMEMBERED_STATES,
    )

    def flush() -> None:
        for overlay in loop._overlays.values():
            overlay.write({})
        for store in stores.values():
            store.flush()

    told.flush = flush
    return loop


def run(orders: Orders) -> None:
    told = Told(orders.traps)
    loop = weathering(lambda: make_loop(orders, told))
    weathering(loop.start)
    say("started")
    while True:
        weathering(lambda: loop.run_once(0.05))
        try:
            command = told.others.get_nowait()
        except queue.Empty:
            continue
        if command == "flush":
            told.flush()
            say("flushed")
        elif command == "stop":
            say("closing")
            loop.close()
            return


def weathering(call: Callable[[], Any]) -> Any:
    wait = threading.Event()
    while True:
        try:
            return call()
        except WorldFailure as failure:
            say(f"weather {failure}")
            wait.wait(BACKOFF_SECONDS)
        except MustRestart as reason:
            leave(str(reason))


def leave(why: str) -> NoReturn:
    say(f"must-restart {why}")
    os._exit(EXIT_RESTART)


def say(line: str) -> None:
    os.write(_TEST, line.replace("\n", " ").encode() + b"\n")


def as_child() -> Orders:
    """Make this process one that a test listens to, and that ends with the test."""
    global _TEST
    _TEST = os.dup(1)
    os.dup2(2, 1)  # what is logged must not come between
    faulthandler.register(signal.SIGUSR1)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return msgspec.json.decode(sys.argv[1], type=Orders)


_TEST = 1

if __name__ == "__main__":
    run(as_child())
