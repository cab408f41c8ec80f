"""Case as a stage: finding in; case and alert out. A case follows a disagreement through changes of its values.

A finding opens a case when it has lasted its rule's settle time and every source's cut has passed the moment it was raised: so
neither an ordinary change that reaches two departments seconds apart, nor a first load, raises anything. Only the owner (lowest common
ancestor of the sources) alerts.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from sync_engine.model import names
from sync_engine.model.alert import CONFLICT, FIRING, RESOLVED, Alert, addressed
from sync_engine.model.declaration import Declarations
from sync_engine.model.outcome import Emit
from sync_engine.model.record import Record
from sync_engine.model.stage import Answer, Codec, Datum, Output, Request, Undecodable, View

DEFAULT_SETTLE_SECONDS = 10.0
"""For findings that no comparison rule settles (two authorities, a duplicate in a source)."""

PENDING, OPEN, CLOSED = "pending", "open", "closed"

Watermark = Callable[[str], int | None]
"""Source id -> its department's watermark at this node's golden records (ms of the source's clock), or None while unknown."""


class CaseState(msgspec.Struct, array_like=True, gc=False):
    """A disagreement that is pending or open."""

    finding: str
    entity: str
    key: str
    kind: str
    rule: str
    item: str
    pairs: list[tuple[str, str]]
    state: str
    raised_ms: int
    opened_ms: int | None = None


class CaseStage:
    """The cases of one node, over all entities."""

    name = "case"

    def __init__(self, declarations: Declarations, node: str, codec: Codec, watermark: Watermark) -> None:
        self.inputs = (names.finding(node),)
        self._case_topic = names.case(node)
        self._alert_topic = names.alert(node)
        self.changelogs = (self._case_topic,)
        self.state_type: type | None = CaseState
        self._node = node
        self._nodes = declarations.nodes
        self._sources = declarations.sources
        self._departments = declarations.departments
        self._settle_ms = {
            (entity.entity, compare.rule): int(compare.settle_seconds * 1000)
            for entity in declarations.entities.values()
            for compare in entity.compare
        }
        self._codec = codec
        self._watermark = watermark
        self._pending: dict[int, set[bytes]] = {}
        self._open: dict[int, set[bytes]] = {}

    def open(self, partition: int, view: View) -> None:
        pending: set[bytes] = set()
        opened: set[bytes] = set()
        after = b""
        while found := view.scan(after, 500):
            for key, state in found:
                (pending if state.state == PENDING else opened).add(key)
            after = found[-1][0]
        self._pending[partition] = pending
        self._open[partition] = opened

    def close(self, partition: int) -> None:
        self._pending.pop(partition, None)
        self._open.pop(partition, None)

    def counts(self) -> tuple[int, int]:
        """(pending, open) over the partitions that are ours. From any thread."""
        return sum(map(len, list(self._pending.values()))), sum(map(len, list(self._open.values())))

    def keys(self, record: Record) -> Iterable[bytes]:
        return () if record.key is None else (record.key,)

    def decide(self, record: Record, view: View, now_ms: int) -> Sequence[Output]:
        if record.value is None or record.key is None:
            return ()
        try:
            _, datum = self._codec.decode(record.value)
        except Undecodable as error:
            return [error.letter]
        state: CaseState | None = view.get(record.key)
        if datum["standing"]:
            return self._raised(record, datum, state, view, now_ms)
        if state is None or state.finding != datum["id"]:
            return ()  # another value of the same disagreement stands by now
        return self._cleared(record, state, view, now_ms)

    def _raised(self, record: Record, datum: Datum, state: CaseState | None, view: View, now_ms: int) -> Sequence[Output]:
        assert record.key is not None
        pairs = [(pair["source"], pair["value"]) for pair in datum["pairs"]]
        if state is not None:
            after = msgspec.structs.replace(state, finding=datum["id"], pairs=pairs)
        else:
            after = CaseState(
                datum["id"], datum["entity"], datum["key"], datum["kind"], datum["rule"], datum["item"], pairs, PENDING, datum["at_ms"]
            )
            self._pending.setdefault(record.partition, set()).add(record.key)
        view.put(record.key, after)
        outputs: list[Output] = [self._emit_case(record.key, record.partition, after, None)]
        if state is not None and state.state == OPEN:
            was, is_now = self.owner(state) == self._node, self.owner(after) == self._node
            if was and not is_now:
                outputs.append(self._alert(record.key, state, now_ms))
            elif is_now and not was:
                outputs.append(self._alert(record.key, after, None))
        return outputs

    def _cleared(self, record: Record, state: CaseState, view: View, now_ms: int) -> Sequence[Output]:
        assert record.key is not None
        self._pending.setdefault(record.partition, set()).discard(record.key)
        self._open.setdefault(record.partition, set()).discard(record.key)
        view.put(record.key, None)
        if state.state == PENDING:
            return [Emit(self._case_topic, record.key, None, record.partition)]
        outputs: list[Output] = [self._emit_case(record.key, record.partition, state, now_ms)]
        if self.owner(state) == self._node:
            outputs.append(self._alert(record.key, state, now_ms))
        return outputs

    def work(self, partition: int, view: View, now_ms: int) -> Sequence[Output]:
        outputs: list[Output] = []
        for key in sorted(self._pending.get(partition, ())):
            state: CaseState = view.get(key)
            if self._settled(state, now_ms):
                opened = msgspec.structs.replace(state, state=OPEN, opened_ms=now_ms)
                view.put(key, opened)
                self._pending[partition].discard(key)
                self._open.setdefault(partition, set()).add(key)
                outputs.append(self._emit_case(key, partition, opened, None))
                if self.owner(opened) == self._node:
                    outputs.append(self._alert(key, opened, None))
        return outputs

    def has_more(self, partition: int) -> bool:
        return False

    def _settled(self, state: CaseState, now_ms: int) -> bool:
        settle_ms = self._settle_ms.get((state.entity, state.rule), int(DEFAULT_SETTLE_SECONDS * 1000))
        if now_ms - state.raised_ms < settle_ms:
            return False
        watermarks = [self._watermark(source) for source, _ in state.pairs]
        return all(watermark is not None and watermark >= state.raised_ms for watermark in watermarks)

    def owner(self, state: CaseState) -> str:
        """The lowest common ancestor of the sources' nodes: the one node that answers for the case."""
        lines = [self._line(self._sources[source].node) for source, _ in state.pairs if source in self._sources]
        if not lines:
            return self._node
        return next(node for node in lines[0] if all(node in line for line in lines))

    def _line(self, node: str | None) -> list[str]:
        line: list[str] = []
        while node is not None:
            line.append(node)
            node = self._nodes[node].parent
        return line

    def _emit_case(self, key: bytes, partition: int, state: CaseState, closed_ms: int | None) -> Emit:
        datum = {
            "id": key.decode(),
            "finding": state.finding,
            "entity": state.entity,
            "key": state.key,
            "kind": state.kind,
            "rule": state.rule,
            "item": state.item,
            "pairs": [{"source": source, "value": value} for source, value in state.pairs],
            "state": state.state if closed_ms is None else CLOSED,
            "owner": self.owner(state),
            "raised_ms": state.raised_ms,
            "opened_ms": state.opened_ms,
            "closed_ms": closed_ms,
        }
        return Emit(self._case_topic, key, self._codec.encode("sync.wire.Case", datum), partition)

    def _alert(self, key: bytes, state: CaseState, resolved_ms: int | None) -> Emit:
        sources = ", ".join(sorted({source for source, _ in state.pairs}))
        alert = Alert(
            f"{CONFLICT}/{key.decode()}",
            CONFLICT,
            FIRING if resolved_ms is None else RESOLVED,
            "warning",
            self._node,
            {"entity": state.entity, "kind": state.kind, "rule": state.rule, "item": state.item, "sources": sources},
            f"数据冲突: {state.entity}.{state.item} ({sources})",
            f"Conflict on {state.entity}.{state.item} ({sources})",
            state.opened_ms or state.raised_ms,
            resolved_ms,
        )
        about = [f"{known.node}/{known.department}" for source, _ in state.pairs if (known := self._sources.get(source))]
        alert = addressed(alert, about, self._departments)
        return Emit(self._alert_topic, alert.id.encode(), self._codec.encode("sync.wire.Alert", alert.datum()))

    def conclude(self, request: Request, answer: Answer, view: View, now_ms: int) -> Sequence[Emit]:
        return ()

    def state_key(self, topic: str, key: bytes) -> bytes:
        return key

    def restore(self, topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]], view: View) -> None:
        datum = None if value is None else self._codec.decode(value)[1]
        if datum is None or datum["state"] == CLOSED:
            view.put(key, None)
            return
        pairs = [(pair["source"], pair["value"]) for pair in datum["pairs"]]
        view.put(
            key,
            CaseState(
                datum["finding"],
                datum["entity"],
                datum["key"],
                datum["kind"],
                datum["rule"],
                datum["item"],
                pairs,
                datum["state"],
                datum["raised_ms"],
                datum["opened_ms"],
            ),
        )
