"""Resolve as a stage: claim.<entity> in; state, golden, edges and findings out, all in the batch's transaction.

An accepted claim's bytes pass through to state and to the edges unchanged. Work over all keys (a sweep) goes in slices between batches; its
cursor is in the state, so a restart goes on where it stood.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from sync_engine.model import names
from sync_engine.model.claim import Claim, Position
from sync_engine.model.finding import Finding
from sync_engine.model.outcome import DeadLetter, Emit, Reason, Sent
from sync_engine.model.record import Record
from sync_engine.model.stage import Answer, Codec, Datum, Output, Request, Undecodable, View
from sync_engine.resolve.content import Rules
from sync_engine.resolve.decide import Change, RecordState, decide, sweep

SWEEP_PREFIX = b"\x00sweep\x1f"
SLICE_KEYS = 500
"""Keys of a sweep handled between two batches: a few milliseconds, so that live changes do not wait behind it."""


class State(msgspec.Struct, array_like=True, gc=False):
    """A record's state, or (under a reserved key) a source's greatest sweep and how far it has gone: exactly one of the two."""

    record: RecordState | None = None
    sweep: Position | None = None
    cursor: bytes | None = None
    """The last key swept; None when the sweep is done."""


Route = Callable[[str, RecordState, RecordState, Sequence[Claim]], Sequence[Sent]]


class ResolveStage:
    """Resolves one entity at one node."""

    def __init__(self, node: str, rules: Rules, generation: int, codec: Codec, neighbours: Iterable[str], route: Route) -> None:
        self.name = f"resolve.{rules.entity}"
        self.inputs = (names.claim(node, rules.entity),)
        self._state_topic = names.state(node, rules.entity)
        self._golden_topic = names.golden(node, rules.entity)
        self._finding_topic = names.finding(node)
        self.changelogs = (self._state_topic, self._golden_topic)
        self.state_type: type | None = State
        self._edge_topics = {neighbour: names.edge(node, neighbour, rules.entity) for neighbour in neighbours}
        self._node = node
        self._rules = rules
        self._generation = generation
        self._codec = codec
        self._route = route
        self._sweeps: dict[int, dict[str, Position]] = {}
        self._unfinished: dict[int, list[str]] = {}

    def open(self, partition: int, view: View) -> None:
        sweeps: dict[str, Position] = {}
        unfinished: list[str] = []
        after = SWEEP_PREFIX
        while found := [entry for entry in view.scan(after, 100) if entry[0].startswith(SWEEP_PREFIX)]:
            for key, state in found:
                source = key.removeprefix(SWEEP_PREFIX).decode()
                sweeps[source] = state.sweep
                if state.cursor is not None:
                    unfinished.append(source)
            after = found[-1][0]
        self._sweeps[partition] = sweeps
        self._unfinished[partition] = unfinished

    def close(self, partition: int) -> None:
        self._sweeps.pop(partition, None)
        self._unfinished.pop(partition, None)

    def keys(self, record: Record) -> Iterable[bytes]:
        return () if record.key is None else (record.key,)

    def decide(self, record: Record, view: View, now_ms: int) -> Sequence[Output]:
        if record.value is None:
            return [DeadLetter(Reason.UNDECODABLE, "no value")]
        try:
            claim = self._codec.claim(record.value, _path(record.headers, self._node))
            if claim is not None and record.key:
                return self._claim(record, claim, view, now_ms)
            name, datum = self._codec.decode(record.value)
        except Undecodable as error:
            return [error.letter]
        if name == "sync.wire.Sweep":
            return self._begin_sweep(record, datum, view)
        return [DeadLetter(Reason.UNSUPPORTED_KIND, f"{name} in {record.topic}")]

    def _claim(self, record: Record, claim: Claim, view: View, now_ms: int) -> Sequence[Output]:
        assert record.key is not None
        try:
            key = record.key.decode()
        except UnicodeDecodeError:
            return [DeadLetter(Reason.UNDECODABLE, "the key is no text")]
        state: State | None = view.get(record.key)
        before = state.record if state else None
        change = decide(self._rules, self._generation, key, before, claim, self._sweeps.get(record.partition, {}))
        if change is None:
            return ()
        emits = self._emits(key, record.key, record.partition, change, record.value if change.passes_through else None, now_ms)
        view.put(record.key, State(change.after))
        return emits

    def _emits(self, key: str, key_bytes: bytes, partition: int, change: Change, raw: bytes | None, now_ms: int) -> list[Output]:
        emits: list[Output] = []
        written: dict[int, tuple[bytes, bytes]] = {}
        for slot in change.slots:
            value = raw or self._codec.encode_claim(self._rules.entity, slot)
            of_slot = slot_key(key, slot)
            written[id(slot)] = (of_slot, value)
            emits.append(Emit(self._state_topic, of_slot, value, partition, _path_headers(slot.path, self._node)))
        if change.golden is not None:
            golden = self._codec.encode_golden(self._rules.entity, change.golden)
            emits.append(Emit(self._golden_topic, key_bytes, golden, partition))
        for sent in self._route(key, change.before, change.after, change.slots):
            # A slot that changed has its bytes at hand; another slot of the record is encoded anew.
            of_slot, value = written.get(id(sent.slot)) or self._key_and_value(key, sent.slot)
            path = _path_headers(sent.slot.path or self._node, "")
            emits.append(Emit(self._edge_topics[sent.neighbour], of_slot, value, partition, path))
        for finding in change.raised:
            emits.append(self._finding(finding, True, now_ms))
        for finding in change.cleared:
            emits.append(self._finding(finding, False, now_ms))
        return emits

    def _key_and_value(self, key: str, slot: Claim) -> tuple[bytes, bytes]:
        return slot_key(key, slot), self._codec.encode_claim(self._rules.entity, slot)

    def _finding(self, finding: Finding, standing: bool, now_ms: int) -> Emit:
        datum = {
            "id": finding.id,
            "subject": finding.subject,
            "entity": finding.entity,
            "key": finding.key,
            "kind": finding.kind,
            "rule": finding.rule,
            "item": finding.item,
            "pairs": [{"source": source, "value": msgspec.json.encode(value).decode()} for source, value in finding.pairs],
            "standing": standing,
            "at_ms": now_ms,
        }
        # Keyed by subject, so that the findings of one disagreement stay in order whatever their values.
        return Emit(self._finding_topic, finding.subject.encode(), self._codec.encode("sync.wire.Finding", datum))

    def _begin_sweep(self, record: Record, datum: Datum, view: View) -> Sequence[Output]:
        source = datum["source"]
        position: Position = (datum["epoch"], datum["phase"], datum["major"], datum["minor"], datum["sub"])
        known = self._sweeps.setdefault(record.partition, {})
        if source in known and known[source] >= position:
            return ()
        key = SWEEP_PREFIX + source.encode()
        view.put(key, State(sweep=position, cursor=b""))
        known[source] = position
        unfinished = self._unfinished.setdefault(record.partition, [])
        if source not in unfinished:
            unfinished.append(source)
        return [Emit(self._state_topic, key, record.value, record.partition)]

    def work(self, partition: int, view: View, now_ms: int) -> Sequence[Output]:
        unfinished = self._unfinished.get(partition)
        if not unfinished:
            return ()
        source = unfinished[0]
        reserved = SWEEP_PREFIX + source.encode()
        state: State = view.get(reserved)
        assert state.sweep is not None
        outputs: list[Output] = []
        found = view.scan(max(state.cursor or b"", SWEEP_PREFIX + b"\xff"), SLICE_KEYS)
        for key_bytes, entry in found:
            outputs.extend(self._sweep_record(key_bytes, entry, source, state.sweep, partition, view, now_ms))
        done = len(found) < SLICE_KEYS
        if done:
            unfinished.pop(0)
            outputs.append(self._sweep_done(source, state.sweep, partition))
        view.put(reserved, State(sweep=state.sweep, cursor=None if done else found[-1][0]))
        return outputs

    def has_more(self, partition: int) -> bool:
        return bool(self._unfinished.get(partition))

    def _sweep_record(
        self, key_bytes: bytes, state: State, source: str, position: Position, partition: int, view: View, now_ms: int
    ) -> list[Output]:
        assert state.record is not None
        key = key_bytes.decode()
        change = sweep(self._rules, self._generation, key, state.record, source, position)
        if change is None:
            return []
        outputs = self._emits(key, key_bytes, partition, change, None, now_ms)
        view.put(key_bytes, State(change.after))
        return outputs

    def _sweep_done(self, source: str, position: Position, partition: int) -> Emit:
        datum = {"source": source, **dict(zip(("epoch", "phase", "major", "minor", "sub"), position, strict=True))}
        value = self._codec.encode("sync.wire.Sweep", datum)
        return Emit(self._state_topic, SWEEP_PREFIX + source.encode(), value, partition, (("done", b"1"),))

    def conclude(self, request: Request, answer: Answer, view: View, now_ms: int) -> Sequence[Emit]:
        return ()

    def state_key(self, topic: str, key: bytes) -> bytes:
        return key if key.startswith(SWEEP_PREFIX) else key.partition(b"\x1f")[0]

    def restore(self, topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]], view: View) -> None:
        if topic == self._golden_topic:
            self._restore_golden(key, value, view)
        elif key.startswith(SWEEP_PREFIX):
            self._restore_sweep(key, value, headers, view)
        else:
            self._restore_slot(key, value, headers, view)

    def _restore_golden(self, key: bytes, value: bytes | None, view: View) -> None:
        if value is None:
            return
        state = view.get(key)
        slots = state.record.slots if state and state.record else []
        view.put(key, State(RecordState(slots, *self._codec.standing(value))))

    def _restore_sweep(self, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]], view: View) -> None:
        if value is None:
            view.put(key, None)
            return
        datum = self._codec.decode(value)[1]
        position: Position = (datum["epoch"], datum["phase"], datum["major"], datum["minor"], datum["sub"])
        view.put(key, State(sweep=position, cursor=None if any(name == "done" for name, _ in headers) else b""))

    def _restore_slot(self, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]], view: View) -> None:
        key_bytes, source, row, mapping = key.split(b"\x1f")
        slot_id = (source.decode(), row.decode(), mapping.decode())
        state = view.get(key_bytes)
        record = (state.record if state else None) or RecordState([])
        slots = [slot for slot in record.slots if slot.slot != slot_id]
        if value is not None:
            claim = self._codec.claim(value, _path(headers, self._node))
            assert claim is not None, "a state record of a slot is a claim"
            slots.append(claim)
        restored = RecordState(slots, record.version, record.digest, record.life_cycle, record.jurisdiction, record.left)
        view.put(key_bytes, State(restored))


def slot_key(key: str, slot: Claim) -> bytes:
    """Key of state and edge records: entity key and slot; partitioned by the entity key alone."""
    return f"{key}\x1f{slot.source}\x1f{slot.row}\x1f{slot.mapping}".encode()


def _path(headers: Sequence[tuple[str, bytes]], node: str) -> str:
    """The nodes that a claim has been at, this one last. No header = it began here."""
    for name, value in headers:
        if name == "path":
            return value.decode()
    return node


def _path_headers(path: str, node: str) -> tuple[tuple[str, bytes], ...]:
    return () if path == node else (("path", path.encode()),)
