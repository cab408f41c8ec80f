"""A Debezium change of a declared table as claims: one per mapping and key (docs/merge.md §1-§3).

An update that changes the entity key is an assert at the new key and a withdrawal with `moved_to` at the old one. The surprise: a row
that cannot be read is a dead letter *and*, if its key can be read, an `in_error` word in its slot, so that nobody takes the old value for
verified.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from sync_engine.ingest.values import Read, Refused, read_key, reader
from sync_engine.model.claim import IN_ERROR, SNAPSHOT, STREAM, Claim, Kind, Position, Value
from sync_engine.model.declaration import Declarations, RowMapping, Source
from sync_engine.model.outcome import DeadLetter, Reason

UNAVAILABLE = "__debezium_unavailable_value"
"""Debezium's placeholder for a column that the change did not carry (unchanged TOAST)."""

Row = Mapping[str, Any]
Keyed = tuple[str, str, Claim]
"""(entity, entity key, claim)."""


@dataclass(frozen=True)
class CompiledMapping:
    name: str
    entity: str
    key_column: str
    key_type: str
    items: tuple[tuple[str, str, Read], ...]
    """(item, column, reader)."""
    constants: Mapping[str, Value]
    optional: bool
    names_kind_of: Callable[[str], bool]

    def key_of(self, row: Row) -> str | None:
        """The entity key; None if the mapping is optional and the row has none. Raises Refused."""
        raw = row[self.key_column]
        if self.optional and (raw is None or (isinstance(raw, str) and not raw.strip())):
            return None
        key = read_key(self.key_type, raw)
        if not self.names_kind_of(key):
            raise Refused(Reason.NO_AUTHORITY, f"the catalogue entry {self.entity} names no authority for keys of this kind")
        return key


@dataclass(frozen=True)
class CompiledSource:
    """A declared table with its readers, compiled once."""

    id: str
    primary_key: tuple[str, ...]
    columns: frozenset[str]
    mappings: tuple[CompiledMapping, ...]


@dataclass(frozen=True)
class Sweep:
    """Every slot of the source below this position that is still live is gone."""

    source: str
    entities: frozenset[str]
    position: Position


def compile_source(declarations: Declarations, source: Source) -> CompiledSource:
    return CompiledSource(
        source.id, source.primary_key, source.columns, tuple(_compile(declarations, mapping) for mapping in source.mappings)
    )


def _compile(declarations: Declarations, mapping: RowMapping) -> CompiledMapping:
    entity = declarations.entities[mapping.entity]
    items = tuple(
        (mapped.item, mapped.column, reader(entity.items[mapped.item], declarations.codes.get(mapped.codes or ""), declarations.codes))
        for mapped in mapping.items
        if mapped.column is not None
    )
    constants = {mapped.item: mapped.constant for mapped in mapping.items if mapped.column is None}
    return CompiledMapping(
        mapping.name, mapping.entity, mapping.key_column, entity.key_type, items, constants, mapping.optional, entity.names_kind_of
    )


def read_change(source: CompiledSource, change: Row, epoch: int | None, offset: int) -> list[Keyed | Sweep | DeadLetter]:
    """The claims of one decoded Debezium envelope, in an order that withdraws before it asserts at another key.

    `epoch` is the record's x-epoch header, `offset` where it stands in its topic. Never raises for bad data.
    """
    try:
        operation = change["op"]
        position = read_position(change["source"], epoch, offset)
        if operation == "t":
            return [_sweep(source, position)]
        if operation == "d":
            return list(_withdrawals(source, change["before"], position, _commit_ms(change)))
        if operation not in ("c", "r", "u"):
            return [DeadLetter(Reason.UNKNOWN_OPERATION, "allowed: c, r, u, d, t")]
        read: list[Keyed | Sweep | DeadLetter] = list(_assertions(source, change, position))
    except Refused as refused:
        return [DeadLetter(refused.reason, refused.detail)]
    except KeyError as missing:
        return [DeadLetter(Reason.MISSING_COLUMN, f"the envelope or its row lacks {missing}")]
    if _ends_snapshot_of_table(change["source"]):
        read.append(_sweep(source, position))
    return read


def read_position(origin: Row, epoch: int | None, offset: int) -> Position:
    """Position of a change from its `source` block, its epoch header and its offset in the table's topic; raises Refused."""
    if epoch is None:
        raise Refused(Reason.INVALID_POSITION, "no x-epoch header: the connector must add it")
    # An incremental snapshot's READ is in stream order: Debezium itself drops the rows that the stream overtook.
    phase = SNAPSHOT if origin.get("snapshot") not in (None, "false", "incremental") else STREAM
    if origin.get("connector") == "mariadb":
        # A transaction comes at one place: what orders its changes is the order in which they came.
        return (epoch, phase, *_binlog_position(origin), offset if phase == STREAM else 0)
    return (epoch, phase, *_wal_position(origin))


def _wal_position(origin: Row) -> tuple[int, int, int]:
    """PostgreSQL: `source.sequence` is a JSON array of two strings: LSN of the previous commit (or null) and LSN of the event (Debezium,
    PostgreSQL connector, "data change events")."""
    try:
        last_commit, event = msgspec.json.decode(origin["sequence"])
        return int(last_commit or 0), int(event or 0), 0
    except (KeyError, TypeError, ValueError, msgspec.DecodeError):
        raise Refused(Reason.INVALID_POSITION, "source.sequence is not a JSON array of two LSNs") from None


def _binlog_position(origin: Row) -> tuple[int, int]:
    """MariaDB: number of the binlog file, position of the event in it; the offset in the topic is put behind it.

    A transaction is written to the binlog when it commits, so these rise in commit order. MariaDB 11.4 sends the events of a transaction
    without their place, so that all have that of its first one, with rows counted anew in each: the row says nothing (seen: an INSERT and
    two UPDATEs of one row, all at row 0 of one place). A table's topic has one partition, which the connector writes in the binlog's order.
    Files are compared by number: after bin.999999 comes bin.1000000. They belong to one server: another one (failover), or RESET MASTER,
    begins to count anew, and the GTID by which Debezium finds its place there does not change that. So whoever lets another server take
    over raises the epoch.
    """
    try:
        return int(str(origin["file"]).rpartition(".")[2]), int(origin["pos"])
    except (KeyError, TypeError, ValueError):
        raise Refused(Reason.INVALID_POSITION, "source.file and pos do not name a place in a binlog") from None


def _ends_snapshot_of_table(origin: Row) -> bool:
    return origin.get("snapshot") in ("last", "last_in_data_collection")


def _commit_ms(change: Row) -> int:
    return int(change["source"].get("ts_ms") or 0)


def _sweep(source: CompiledSource, position: Position) -> Sweep:
    return Sweep(source.id, frozenset(mapping.entity for mapping in source.mappings), position)


def _row_id(source: CompiledSource, row: Row) -> str:
    return msgspec.json.encode([row[column] for column in source.primary_key]).decode()


def _withdrawals(source: CompiledSource, before: Row | None, position: Position, commit_ms: int) -> list[Keyed | DeadLetter]:
    if before is None:
        return [DeadLetter(Reason.MISSING_COLUMN, "a delete without its row: the table's replica identity must hold the key columns")]
    row = _row_id(source, before)
    read: list[Keyed | DeadLetter] = []
    for mapping in source.mappings:
        try:
            key = mapping.key_of(before)
        except Refused as refused:
            # The row was never accepted under this key either, so there is no slot to withdraw; the letter says that it happened.
            read.append(DeadLetter(refused.reason, f"{mapping.name}: {refused.detail}"))
            continue
        if key is None:
            continue  # this mapping never said anything of the row
        read.append((mapping.entity, key, Claim(source.id, row, mapping.name, int(Kind.WITHDRAW), position, effective_ms=commit_ms)))
    return read


def _assertions(source: CompiledSource, change: Row, position: Position) -> list[Keyed | DeadLetter]:
    after, before, commit_ms = change["after"], change.get("before"), _commit_ms(change)
    if after is None:
        return [DeadLetter(Reason.MISSING_COLUMN, "an insert or update without its row")]
    unknown = ", ".join(sorted(set(after) - source.columns))
    if unknown and not {*source.primary_key, *(mapping.key_column for mapping in source.mappings)}.issubset(after):
        return [DeadLetter(Reason.UNKNOWN_COLUMN, f"{unknown}: neither mapped nor ignored")]  # another table's row, it seems
    row = _row_id(source, after)
    read: list[Keyed | DeadLetter] = []
    for mapping in source.mappings:
        for one in _assert(source, mapping, row, after, before, position, commit_ms, unknown):
            if one not in read:  # the same letter for each mapping says no more
                read.append(one)
    return read


def _assert(
    source: CompiledSource,
    mapping: CompiledMapping,
    row: str,
    after: Row,
    before: Row | None,
    position: Position,
    commit_ms: int,
    unknown: str,
) -> list[Keyed | DeadLetter]:
    read: list[Keyed | DeadLetter] = []
    key: str | None = None
    try:
        key = mapping.key_of(after)
        if unknown:
            raise Refused(Reason.UNKNOWN_COLUMN, f"{unknown}: neither mapped nor ignored")
        if key is not None:
            read.append((mapping.entity, key, _claim(source, mapping, row, after, position, commit_ms)))
    except Refused as refused:
        read.append(DeadLetter(refused.reason, refused.detail if unknown else f"{mapping.name}: {refused.detail}"))
        if key is not None:
            read.append((mapping.entity, key, _in_error(source, mapping, row, position, commit_ms)))
    old_key = _old_key(mapping, before)
    if old_key is not None and old_key != key:
        withdrawal = Claim(source.id, row, mapping.name, int(Kind.WITHDRAW), position, moved_to=key, effective_ms=commit_ms)
        read.insert(0, (mapping.entity, old_key, withdrawal))
    return read


def _old_key(mapping: CompiledMapping, before: Row | None) -> str | None:
    """The key before the change; None if it is not known or was never a valid one (then no slot was made)."""
    if not before or before.get(mapping.key_column) is None:
        return None
    try:
        return mapping.key_of(before)
    except Refused:
        return None


def _claim(source: CompiledSource, mapping: CompiledMapping, row: str, after: Row, position: Position, commit_ms: int) -> Claim:
    values: dict[str, Value] = dict(mapping.constants)
    unchanged = {}
    for item, column, read in mapping.items:
        if column not in after:
            raise Refused(Reason.MISSING_COLUMN, f"{column} is declared and not there")
        raw = after[column]
        if raw == UNAVAILABLE:
            unchanged[item] = (*position, int(Kind.ASSERT))
        else:
            values[item] = read(raw)
    return Claim(source.id, row, mapping.name, int(Kind.ASSERT), position, values, None, (), unchanged, effective_ms=commit_ms)


def _in_error(source: CompiledSource, mapping: CompiledMapping, row: str, position: Position, commit_ms: int) -> Claim:
    unchanged = dict.fromkeys((*(item for item, _, _ in mapping.items), *mapping.constants), (*position, IN_ERROR))
    return Claim(source.id, row, mapping.name, IN_ERROR, position, unchanged=unchanged, effective_ms=commit_ms)
