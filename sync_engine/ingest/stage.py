"""Ingest as a stage: cdc.* and the neighbours' edges in, claim.<entity> and dead letters out. Keeps no state.

What was captured is decoded, mapped, normalised, validated; what a neighbour sent is checked for having come a way that it can have come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec

from sync_engine.ingest.capture import CompiledSource, Sweep, compile_source, read_change
from sync_engine.model import names
from sync_engine.model.declaration import Declarations
from sync_engine.model.outcome import DeadLetter, Emit, Reason
from sync_engine.model.record import Record
from sync_engine.model.stage import Codec, Output, Stateless, Undecodable, View

EPOCH_HEADER = "x-epoch"
SCOPE_PREFIX = "scope/"


@dataclass(frozen=True)
class Edge:
    """A neighbour's edge topic."""

    neighbour: str
    entity: str
    from_parent: bool


class IngestStage(Stateless):
    """Ingest of one node: all its departments and all its neighbours."""

    name = "ingest"

    def __init__(self, declarations: Declarations, node: str, partitions: Mapping[str, int], codec: Codec) -> None:
        """`partitions` = number of claim partitions by entity."""
        self._node = node
        self._codec = codec
        self._partitions = partitions
        self._names_kind_of = {entity.entity: entity.names_kind_of for entity in declarations.entities.values()}
        self._origins = {source.id: source.node for source in declarations.sources.values()}
        self._sources: dict[str, CompiledSource] = {
            names.cdc(department, source.table): compile_source(declarations, source)
            for department in declarations.departments_of(node)
            for source in department.sources
        }
        self.captured: Mapping[str, str] = {
            names.cdc(department, source.table): department.id
            for department in declarations.departments_of(node)
            for source in department.sources
        }
        """Topic -> department, of all that is captured here."""
        parent = declarations.nodes[node].parent
        self._parents = {name: other.parent for name, other in declarations.nodes.items()}
        self._edges = {
            names.edge(neighbour.name, node, entity): Edge(neighbour.name, entity, neighbour.name == parent)
            for neighbour in declarations.neighbours(node)
            for entity in declarations.entities
        }
        self._retry = names.retry(node)
        self._claims = frozenset(names.claim(node, entity) for entity in declarations.entities)
        self.inputs: tuple[str, ...] = (*self._sources, *self._edges, self._retry)

    def decide(self, record: Record, view: View, now_ms: int) -> Sequence[Output]:
        if record.topic == self._retry:
            return self._again(record, view, now_ms)
        edge = self._edges.get(record.topic)
        if edge is not None:
            return self._from_neighbour(record, edge)
        source = self._sources.get(record.topic)
        if source is None:
            return [DeadLetter(Reason.UNKNOWN_TABLE, "no declared source is captured into this topic")]
        return self._from_capture(record, source)

    def _from_capture(self, record: Record, source: CompiledSource) -> Sequence[Output]:
        if record.value is None:
            return ()  # Debezium's tombstone: for compaction of the cdc topic only
        try:
            _, change = self._codec.decode(record.value)
        except Undecodable as error:
            return [error.letter]
        outputs: list[Output] = []
        for read in read_change(source, change, epoch_of(record), record.offset):
            if isinstance(read, DeadLetter):
                outputs.append(read)
            elif isinstance(read, Sweep):
                outputs.extend(self._sweep(read))
            else:
                entity, key, claim = read
                value = self._codec.encode_claim(entity, claim)
                outputs.append(self._claim(entity, key.encode(), value, ()))
        return outputs

    def _again(self, record: Record, view: View, now_ms: int) -> Sequence[Output]:
        """A dead letter that was put back. It needs no order: what it says has its own position, and an old one loses."""
        if record.value is None:
            return ()
        try:
            name, letter = self._codec.decode(record.value)
        except Undecodable as error:
            return [error.letter]
        if name != "sync.wire.Dead":
            return [DeadLetter(Reason.UNDECODABLE, "not a dead letter")]
        original = record_of_letter(letter, record.timestamp_ms)
        if original.topic in self._claims:
            # Resolve reads it where it stood: a claim topic is never compacted, so nothing newer is hidden by it.
            return [Emit(original.topic, original.key, original.value, original.partition, tuple(original.headers))]
        if original.topic not in self._sources and original.topic not in self._edges:
            return [DeadLetter(Reason.UNKNOWN_TABLE, "only what this node reads can be decided again", original)]
        return [
            msgspec.structs.replace(output, of=original) if isinstance(output, DeadLetter) else output
            for output in self.decide(original, view, now_ms)
        ]

    def _claim(self, entity: str, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...]) -> Emit:
        return Emit(names.claim(self._node, entity), key, value, names.partition_of(key, self._partitions[entity]), headers)

    def _sweep(self, sweep: Sweep) -> list[Emit]:
        datum = {"source": sweep.source, **dict(zip(("epoch", "phase", "major", "minor", "sub"), sweep.position, strict=True))}
        value = self._codec.encode("sync.wire.Sweep", datum)
        return [
            Emit(names.claim(self._node, entity), None, value, partition)
            for entity in sorted(sweep.entities)
            for partition in range(self._partitions[entity])
        ]

    def _from_neighbour(self, record: Record, edge: Edge) -> Sequence[Output]:
        """The claim as it came, with this node added to its path."""
        if record.value is None:
            return ()  # erased at the neighbour; what is erased here is decided here
        parts = _slot_key(record.key)
        if parts is None:
            return [DeadLetter(Reason.UNDECODABLE, "the key is not entity key and slot")]
        try:
            claim = self._codec.claim(record.value, "") if self._codec.name(record.value) == f"sync.{edge.entity}.Claim" else None
        except Undecodable as error:
            return [error.letter]
        source = parts[1]
        if not self._names_kind_of[edge.entity](parts[0]):
            return [DeadLetter(Reason.NO_AUTHORITY, f"the catalogue entry {edge.entity} names no authority for keys of this kind")]
        if claim is None or tuple(parts[1:]) != claim.slot:
            return [DeadLetter(Reason.UNDECODABLE, "not a claim of this entity, or of another slot than its key says")]
        path = next((value.decode() for header, value in record.headers if header == "path"), "")
        refused = self._refuse(edge, source, path.split(","))
        if refused is not None:
            return [refused]
        return [self._claim(edge.entity, parts[0].encode(), record.value, (("path", f"{path},{self._node}".encode()),))]

    def _leads_here(self, path: list[str]) -> bool:
        """Whether every step is between neighbours, and none is taken twice: in a tree, only what lies behind the sender comes by it."""
        line = [*path, self._node]
        steps = pairwise(line)
        return len(set(line)) == len(line) and all(self._parents.get(a) == b or self._parents.get(b) == a for a, b in steps)

    def _refuse(self, edge: Edge, source: str, path: list[str]) -> DeadLetter | None:
        if source.startswith(SCOPE_PREFIX):
            if edge.from_parent and source == f"{SCOPE_PREFIX}{edge.neighbour}" and path == [edge.neighbour]:
                return None
            return DeadLetter(Reason.NOT_ITS_TO_SEND, "only a parent says what is in scope, and only for itself")
        origin = self._origins.get(source)
        if origin is None:
            return DeadLetter(Reason.UNKNOWN_SOURCE, "a neighbour's claim of a source that is not declared here")
        if path[-1] != edge.neighbour or path[0] != origin or not self._leads_here(path):
            return DeadLetter(Reason.NOT_ITS_TO_SEND, "the claim's path does not lead from its source through this neighbour")
        return None


def record_of_letter(letter: Mapping[str, Any], timestamp_ms: int) -> Record:
    """The record that was put aside, with its bytes as they came."""
    headers = tuple((header["name"], header["value"]) for header in letter["headers"])
    return Record(letter["topic"], letter["partition"], letter["offset"], letter["key"], letter["value"], headers, timestamp_ms)


def _slot_key(key: bytes | None) -> list[str] | None:
    """Entity key, source, row, mapping; None if it is not these four."""
    try:
        parts = (key or b"").decode().split("\x1f")
    except UnicodeDecodeError:
        return None
    return parts if len(parts) == 4 else None


def epoch_of(record: Record) -> int | None:
    """The capture's epoch, from the header that the connector adds."""
    for name, value in record.headers:
        if name == EPOCH_HEADER and value and value.isdigit():
            return int(value)
    return None
