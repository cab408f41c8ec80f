"""The one loop: runs any stage over a log and a store, in one thread, strictly serial. Its protocol is the engine's promise.

    1  take a batch                                       (librdkafka fetches ahead; nothing is ever decided ahead)
    2  load the state of its keys in one trip
    3  decide record by record, pure, on an overlay       (bad data becomes a dead letter; requests are performed together)
    4  one transaction: outputs, dead letters and the current offsets
    5  after the commit: the overlay is remembered; now and then all that was is written to the local store, in one piece with how far
       into the changelogs it reflects them. What a kill takes is read from these again, as is what the store itself had in memory only.

A lane with a brake (ingest) weighs its dead letters before 4: if it trips, the batch is given up, the source's hold is committed instead,
and the source's partitions stay paused until it is released.

On abort the overlay is dropped and every partition goes back to its committed offset. A fenced writer, a fatal error or an unknown result
of a commit leaves the process (MustRestart): only a restore from the log can tell what happened.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from sync_engine.model import names
from sync_engine.model.outcome import DeadLetter, Emit, Reason
from sync_engine.model.record import Record
from sync_engine.model.stage import Answer, Codec, Request, Stage
from sync_engine.runtime.holds import Holds
from sync_engine.runtime.log import BatchAborted, Log, MustRestart, TopicPartition, WorldFailure
from sync_engine.runtime.store import Store

Perform = Callable[[Sequence[Request]], Sequence[Answer]]
"""Tries every request once, at the same time, and returns an answer for each, in order."""

OpenStore = Callable[[int], Store]
NOTE_OFFSETS_MS = 10_000
NOTE_FOLDED_RECORDS = 200_000
"""Of a restore: a worker that dies in it goes on from there."""
FOLLOW_HOLDS_MS = 1_000
logger = structlog.get_logger()


class Clock(Protocol):
    def now_ms(self) -> int: ...


class Watch(Protocol):
    """Where the loop tells what it did; metrics are made there and nowhere else."""

    def committed(self, stage: str, records: int, emits: int, letters: Sequence[DeadLetter]) -> None:
        """A transaction is committed: a batch, or (of no records) a position alone."""

    def aborted(self, stage: str) -> None: ...

    def restored(self, stage: str, records: int) -> None: ...


class Overlay:
    """One partition's state in a batch: reads fall through to what was loaded or to the store, writes stay here until the commit.

    Committed states are remembered as they are, in two generations, so that a key that is spoken of again is neither read nor decoded. They
    are written when the younger generation is full, so that one that changes often is encoded once.
    """

    def __init__(self, store: Store, state_type: type) -> None:
        self._store = store
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(state_type)
        self._encode = msgspec.msgpack.Encoder().encode
        self._loaded: dict[bytes, Any] = {}
        self._changed: dict[bytes, Any] = {}
        self._recent: dict[bytes, Any] = {}
        self._older: dict[bytes, Any] = {}
        self._unwritten: dict[bytes, Any] = {}
        """Committed and not in the store yet. All of them are in `_recent` too."""

    def load(self, keys: Iterable[bytes]) -> None:
        loaded, recent, older = self._loaded, self._recent, self._older
        unknown: dict[bytes, None] = {}
        for key in keys:
            if key in loaded:
                continue
            if key in recent:
                loaded[key] = recent[key]
            elif key in older:
                loaded[key] = older[key]
            else:
                unknown[key] = None
        if unknown:
            wanted, decode = list(unknown), self._decoder.decode
            for key, raw in zip(wanted, self._store.get_many(wanted), strict=True):
                loaded[key] = None if raw is None else decode(raw)

    def get(self, key: bytes) -> Any:
        if key in self._changed:
            return self._changed[key]
        if key not in self._loaded:
            self.load([key])
        return self._loaded[key]

    def put(self, key: bytes, state: Any) -> None:
        self._changed[key] = state

    def scan(self, after: bytes, limit: int) -> list[tuple[bytes, Any]]:
        """Merges the store's next keys with those changed here. May return fewer than `limit` only at the end."""
        self.write({})
        found = {key: self._decoder.decode(raw) for key, raw in self._store.scan(after, limit)}
        last = max(found) if len(found) == limit else None
        for key, state in self._changed.items():
            if key > after and (last is None or key <= last):
                found[key] = state
        return [(key, found[key]) for key in sorted(found) if found[key] is not None]

    def committed(self, key: bytes) -> Any:
        """As of the last commit, whatever the batch in hand says. From any thread."""
        unwritten = self._unwritten
        if key in unwritten:
            return unwritten[key]
        raw = self._store.get_many([key])[0]
        return None if raw is None else msgspec.msgpack.decode(raw, type=self._decoder.type)

    def apply(self, remembered: int = 0) -> None:
        """The batch is committed. About `remembered` states, those used last, are kept at hand."""
        recent = self._recent
        recent.update(self._loaded)
        recent.update(self._changed)
        self._unwritten.update(self._changed)
        self._loaded, self._changed = {}, {}
        if len(recent) > remembered // 2:
            self.write({})
            self._older, self._recent = recent, {}

    def write(self, offsets: Mapping[str, int]) -> None:
        """Write all that is committed to the store and, per changelog topic, up to where that holds what it says."""
        if self._unwritten or offsets:
            encode = self._encode
            self._store.write({key: None if state is None else encode(state) for key, state in self._unwritten.items()}, offsets)
            self._unwritten = {}  # not emptied: another thread may be looking into it

    def drop(self) -> None:
        """The batch is given up."""
        self.forget()

    def forget(self) -> None:
        """Nothing is at hand any more, and what is committed is in the store."""
        self.write({})
        for states in (self._loaded, self._changed, self._recent, self._older):
            states.clear()


class BatchLoop:
    """Runs one stage. `run_once` is to be called from one thread only, until it raises MustRestart or the caller has had enough."""

    def __init__(
        self,
        node: str,
        stage: Stage,
        log: Log,
        codec: Codec,
        open_store: OpenStore,
        clock: Clock,
        watch: Watch,
        *,
        perform: Perform | None = None,
        holds: Holds | None = None,
        batch_records: int = 1_000,
        quiet_wait_seconds: float = 0.02,
        idle_commit_ms: int = 500,
        remembered_states: int = 20_000,
    ) -> None:
        """`remembered_states`: about how many states, over all partitions, stay decoded between batches.

        `holds`: its brake; a stage without one has None.
        """
        self.stage = stage
        self._log = log
        self._codec = codec
        self._open_store = open_store
        self._clock = clock
        self._watch = watch
        self._perform = perform
        self._holds = holds
        self._paused: set[TopicPartition] = set()
        self._followed_ms: int | None = None
        self._dead_topic = names.dead(node)
        self._batch_records = batch_records
        self._quiet_wait_seconds = quiet_wait_seconds
        self._idle_commit_ms = idle_commit_ms
        self._remembered = remembered_states
        self._overlays: dict[int, Overlay] = {}
        self._stores: dict[int, Store] = {}
        self._next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._last_commit_ms = 0
        self._noted_ms = 0

    def start(self) -> None:
        self._log.subscribe(self.stage.inputs, self._assigned, self._revoked)

    def close(self) -> None:
        if self._next:
            self._note_all()
        self._log.close()
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    @property
    def partitions(self) -> frozenset[TopicPartition]:
        return frozenset(self._next)

    def overdue(self) -> str | None:
        """As `Log.overdue`."""
        return self._log.overdue()

    def peek(self, partition: int, key: bytes) -> Any:
        """The committed state of a key of a partition of ours, None if there is none; KeyError if the partition is not ours.

        A point read: safe from another thread, sees the last commit.
        """
        assert self.stage.state_type is not None, f"{self.stage.name} keeps no state"
        return self._overlays[partition].committed(key)

    # --- partitions come and go: only inside take(), when no batch is in hand ---

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        # First the committed offsets, which wait for pending ones: only then do the ends of the changelogs hold what belongs to them.
        offsets = self._log.committed(partitions)
        if self._holds is not None:
            self._holds.read(self._log)
        if self.stage.state_type is not None:
            try:
                for _, partition in partitions:
                    self._restore(partition, self.stage.state_type)
                    self.stage.open(partition, self._overlays[partition])
            except BaseException:
                self._revoked(partitions)  # we are asked again with the same partitions
                raise
        self._next.update(offsets)
        self._committed.update(offsets)
        self._pause_held()

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        for topic, partition in partitions:
            self._next.pop((topic, partition), None)
            self._committed.pop((topic, partition), None)
            self._paused.discard((topic, partition))
            if (overlay := self._overlays.pop(partition, None)) is not None:
                overlay.write({})
                self.stage.close(partition)
            if (store := self._stores.pop(partition, None)) is not None:
                store.close()

    def _restore(self, partition: int, state_type: type) -> None:
        store = self._stores[partition] = self._open_store(partition)
        ends = self._log.end_offsets([(topic, partition) for topic in self.stage.changelogs])
        local = store.offsets()
        if any(local.get(topic, 0) > end for (topic, _), end in ends.items()):
            # The changelog is shorter than what we have seen of it: it was lost or restored, so our copy is of another log.
            store.wipe()
            local = {}
        overlay = Overlay(store, state_type)
        read = noted = 0
        folded: dict[str, int] = {}
        for topic, records in _in_step({topic: self._log.read((topic, of), local.get(topic, 0), end) for (topic, of), end in ends.items()}):
            self._fold(topic, records, overlay)
            folded[topic] = records[-1].offset + 1
            read += len(records)
            if read - noted >= NOTE_FOLDED_RECORDS:
                overlay.write(folded)
                noted = read
        overlay.write({topic: end for (topic, _), end in ends.items()})
        overlay.forget()
        self._overlays[partition] = overlay
        self._watch.restored(self.stage.name, read)

    def _fold(self, topic: str, records: Sequence[Record], overlay: Overlay) -> None:
        stage = self.stage
        overlay.load(stage.state_key(topic, record.key) for record in records if record.key is not None)
        for record in records:
            if record.key is not None:
                stage.restore(topic, record.key, record.value, record.headers, overlay)
        overlay.apply(self._remembered)

    # --- the batch ---

    def run_once(self, timeout_seconds: float | None = None) -> int:
        """One turn: a batch, or work that is due, or the commit of a position at the end of the log. Returns the number of records decided.

        Raises WorldFailure if the world failed (nothing is lost: the batch comes again) and MustRestart.
        """
        records = self.take(timeout_seconds)
        return self.process(records)

    def take(self, timeout_seconds: float | None = None) -> list[Record]:
        self._follow_holds()
        if timeout_seconds is None:
            timeout_seconds = 0 if any(map(self.stage.has_more, self._overlays)) else self._quiet_wait_seconds
        return self._log.take(self._batch_records, timeout_seconds)

    def process(self, records: Sequence[Record]) -> int:
        try:
            outputs, letters, aside = self._decide(records)
            if self._holds is not None and (holds := self._holds.weigh(records, aside, self._clock.now_ms())):
                self._hold(holds)
                return 0
            if records or outputs or letters:
                self._commit(records, outputs, letters)
            else:
                self._commit_position()
        except WorldFailure:
            self._go_back()
            raise
        return len(records)

    def _decide(self, records: Sequence[Record]) -> tuple[list[Emit], list[DeadLetter], list[Record]]:
        """What is to be written, the dead letters among it, and the records that they were made of."""
        now_ms = self._clock.now_ms()
        stage = self.stage
        if stage.state_type is not None:
            self._load(records)
        emits: list[Emit] = []
        letters: list[DeadLetter] = []
        aside: list[Record] = []
        requests: list[Request] = []
        nothing = _NoState()
        for record in records:
            view = self._overlays[record.partition] if stage.state_type is not None else nothing
            try:
                outputs = stage.decide(record, view, now_ms)
            except WorldFailure:
                raise
            except Exception as error:
                logger.error(
                    "bug", stage=stage.name, topic=record.topic, partition=record.partition, offset=record.offset, kind=_kind(error)
                )
                outputs = [DeadLetter(Reason.BUG, _kind(error))]
            for output in outputs:
                if isinstance(output, Emit):
                    emits.append(output)
                elif isinstance(output, DeadLetter):
                    letters.append(output)
                    aside.append(record)
                    emits.append(self._dead(output.of or record, output, now_ms))
                else:
                    requests.append(output)
        for partition, overlay in self._overlays.items():
            for output in stage.work(partition, overlay, now_ms):
                if isinstance(output, Request):
                    requests.append(output)
                elif isinstance(output, Emit):
                    emits.append(output)
        if requests:
            emits.extend(self._ask(requests))
        return emits, letters, aside

    def _load(self, records: Sequence[Record]) -> None:
        by_partition: dict[int, list[bytes]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).extend(self.stage.keys(record))
        for partition, keys in by_partition.items():
            self._overlays[partition].load(keys)

    def _ask(self, requests: Sequence[Request]) -> Iterable[Emit]:
        assert self._perform is not None, f"{self.stage.name} asks, but nobody was given to perform"
        answers = self._perform(requests)
        now_ms = self._clock.now_ms()
        for request, answer in zip(requests, answers, strict=True):
            yield from self.stage.conclude(request, answer, self._overlays[request.partition], now_ms)

    def _commit(self, records: Sequence[Record], emits: Sequence[Emit], letters: Sequence[DeadLetter]) -> None:
        for record in records:
            self._next[record.topic, record.partition] = record.offset + 1
        ends = self._ends() if self._clock.now_ms() - self._noted_ms > NOTE_OFFSETS_MS else {}
        # Every transaction sends the current offsets, also one without records: the group's fencing of zombies rests on them (KIP-447).
        self._log.commit(emits, dict(self._next))
        self._committed.update(self._next)
        self._last_commit_ms = self._clock.now_ms()
        if self._holds is not None:
            self._holds.keep()
        for overlay in self._overlays.values():
            overlay.apply(self._remembered // len(self._overlays))
        self._watch.committed(self.stage.name, len(records), len(emits), letters)
        self._note(ends)

    def _note(self, ends: Mapping[TopicPartition, int]) -> None:
        if ends:
            self._noted_ms = self._last_commit_ms
            for partition, overlay in self._overlays.items():
                overlay.write({topic: end for (topic, of), end in ends.items() if of == partition})

    def _note_all(self) -> None:
        """Before the end: a worker that comes again with this store then reads nothing of its changelogs."""
        try:
            if ends := self._ends():
                self._log.commit([], dict(self._next))
                self._note(ends)
        except (WorldFailure, MustRestart) as failure:
            logger.info("offsets not noted", stage=self.stage.name, why=str(failure))

    def _ends(self) -> Mapping[TopicPartition, int]:
        """Where the changelogs end before a commit; the commit's success says that nobody but us had written to them.

        Asked for afterwards they might hold a successor's records: of a worker that was frozen just then. What was written since is folded
        in once more at a restore, which changes nothing.
        """
        if not self._overlays:
            return {}
        try:
            return self._log.end_offsets([(topic, partition) for topic in self.stage.changelogs for partition in self._overlays])
        except WorldFailure as failure:
            logger.info("offsets not noted", stage=self.stage.name, why=str(failure))
            return {}

    def _commit_position(self) -> None:
        """Commit the position at the end of the log, past the last transaction's marker: lag is counted from committed offsets."""
        if self._clock.now_ms() - self._last_commit_ms < self._idle_commit_ms or not self._next:
            return
        positions = {key: offset for key, offset in self._log.positions().items() if key in self._next}
        ahead = {key: offset for key, offset in positions.items() if offset > self._committed.get(key, 0)}
        self._last_commit_ms = self._clock.now_ms()
        if ahead:
            self._next.update(ahead)
            self._log.commit([], dict(self._next))
            self._committed.update(self._next)
            self._watch.committed(self.stage.name, 0, 0, [])

    def _go_back(self) -> None:
        for partition, overlay in self._overlays.items():
            overlay.drop()
            self.stage.open(partition, overlay)
        self._next = dict(self._committed)
        if self._holds is not None:
            self._holds.drop()
        self._log.rewind()
        self._watch.aborted(self.stage.name)

    # --- the brake ---

    def _hold(self, holds: Sequence[Emit]) -> None:
        """Give the batch up and commit the holds, at the offsets as they were; the next `take` pauses, or takes nothing."""
        self._go_back()
        self._log.commit(holds, dict(self._next))
        self._last_commit_ms = self._clock.now_ms()
        self._followed_ms = None
        logger.warning("held", stage=self.stage.name, sources=[(hold.key or b"").decode() for hold in holds])

    def _follow_holds(self) -> None:
        """Pause what has been held meanwhile, here or by another worker; go on with what a person has released."""
        now_ms = self._clock.now_ms()
        if self._holds is None or (self._followed_ms is not None and now_ms - self._followed_ms < FOLLOW_HOLDS_MS):
            return
        self._holds.read(self._log)
        self._pause_held()
        if released := [each for each in self._paused if not self._holds.is_held(each[0])]:
            self._log.resume(released)
            self._paused.difference_update(released)
        self._followed_ms = now_ms

    def _pause_held(self) -> None:
        if self._holds is not None and (held := [each for each in self._next if self._holds.is_held(each[0]) and each not in self._paused]):
            self._log.pause(held)
            self._paused.update(held)

    def _dead(self, record: Record, letter: DeadLetter, now_ms: int) -> Emit:
        datum = {
            "reason": letter.reason.value,
            "detail": letter.detail,
            "stage": self.stage.name,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "key": record.key,
            "value": record.value,
            "headers": [{"name": name, "value": value} for name, value in record.headers],
            "at_ms": now_ms,
        }
        place = f"{record.topic}/{record.partition}/{record.offset}".encode()
        return Emit(self._dead_topic, place, self._codec.encode("sync.wire.Dead", datum))


def _in_step(readers: Mapping[str, Iterator[list[Record]]]) -> Iterator[tuple[str, list[Record]]]:
    """What the readers of several topics give, the older first: so what one batch wrote to them comes together, as far as it goes."""
    heads = {topic: records for topic, reader in readers.items() if (records := next(reader, None))}
    while heads:
        topic = min(heads, key=lambda one: heads[one][0].timestamp_ms)
        yield topic, heads.pop(topic)
        if records := next(readers[topic], None):
            heads[topic] = records


class _NoState:
    """The view of a stage that declared no state."""

    def get(self, key: bytes) -> Any:
        raise AssertionError("the stage declared no state")

    def put(self, key: bytes, state: Any) -> None:
        raise AssertionError("the stage declared no state")

    def scan(self, after: bytes, limit: int) -> list[tuple[bytes, Any]]:
        return []


def _kind(error: Exception) -> str:
    """Class and place of an unforeseen exception: its text could hold a person's data."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" at {Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"
    return f"{type(error).__name__}{where}"


__all__ = ["BatchAborted", "BatchLoop", "Clock", "Overlay", "Perform", "Watch"]
