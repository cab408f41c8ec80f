"""A Debezium change of a declared table as claims: one per mapping and key (docs/merge.md §1-§3).

An update that changes the entity key is an assert at the new key and a withdrawal with `moved_to` at the old one. The surprise: a row
that cannot be read is a dead letter *and*, if its key can be read, an `in_error` word in its slot, so that nobody takes the old value for
verified.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from sync_engine.ingest.validation import Check, broken, compile_checks
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
    checks: tuple[Check, ...]
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
        mapping.name,
        mapping.entity,
        mapping.key_column,
        entity.key_type,
        items,
        constants,
        compile_checks(entity, (mapped.item for mapped in mapping.items)),
        mapping.optional,
        entity.names_kind_of,
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


def read_row(source: CompiledSource, row: Row, position: Position, at_ms: int) -> Iterator[tuple[str, list[Keyed | DeadLetter]]]:
    """What a row says as it stands in its table, by mapping: as a READ of it would be read. No letter, no claim: it says nothing.

    `row` has its values as the capture gives them, its columns need not be all. Raises KeyError if it lacks one of the primary key.
    """
    identity = _row_id(source, row)
    for mapping in source.mappings:
        try:
            yield mapping.name, _assert(source, mapping, identity, row, None, position, at_ms, "")
        except KeyError as missing:
            yield mapping.name, [DeadLetter(Reason.MISSING_COLUMN, f"the row lacks {missing}")]


def read_position(origin: Row, epoch: int | None, offset: int) -> Position:
    """Position of a change from its `source` block, its epoch header and its offset in the table's topic; raises Refused."""
    if epoch is None:
        raise Refused(Reason.INVALID_POSITION, "no x-epoch header: the connector must add it")
    # An incremental snapshot's READ is in stream order: Debezium itself drops the rows that the stream overtook.
    snapshot = origin.get("snapshot")
    phase = SNAPSHOT if snapshot not in (None, "false", "incremental") else STREAM
    place = _PLACES.get(origin.get("connector") or "postgresql")
    if place is None:
        raise Refused(Reason.INVALID_POSITION, f"source.connector is none of {', '.join(_PLACES)}")
    major, minor, sub = place(origin)
    # A transaction of MariaDB comes at one place: what orders its changes is the order in which they came.
    return (epoch, phase, major, minor, offset if place is _binlog_position and phase == STREAM else sub)


def _wal_position(origin: Row) -> tuple[int, int, int]:
    """PostgreSQL: `source.sequence` is a JSON array of two strings: LSN of the previous commit (or null) and LSN of the event (Debezium,
    PostgreSQL connector, "data change events")."""
    try:
        last_commit, event = msgspec.json.decode(origin["sequence"])
        return int(last_commit or 0), int(event or 0), 0
    except (KeyError, TypeError, ValueError, msgspec.DecodeError):
        raise Refused(Reason.INVALID_POSITION, "source.sequence is not a JSON array of two LSNs") from None


def _binlog_position(origin: Row) -> tuple[int, int, int]:
    """MariaDB, MySQL: number of the binlog file, position of the event in it; the offset in the topic is put behind it.

    A transaction is written to the binlog when it commits, so these rise in commit order. MariaDB 11.4 sends the events of a transaction
    without their place, so that all have that of its first one, with rows counted anew in each: the row says nothing (seen: an INSERT and
    two UPDATEs of one row, all at row 0 of one place). A table's topic has one partition, which the connector writes in the binlog's order.
    Files are compared by number: after bin.999999 comes bin.1000000. They belong to one server: another one (failover), or RESET MASTER,
    begins to count anew, and the GTID by which Debezium finds its place there does not change that. So whoever lets another server take
    over raises the epoch.
    """
    try:
        return int(str(origin["file"]).rpartition(".")[2]), int(origin["pos"]), 0
    except (KeyError, TypeError, ValueError):
        raise Refused(Reason.INVALID_POSITION, "source.file and pos do not name a place in a binlog") from None


def _scn_position(origin: Row) -> tuple[int, int, int]:
    """Oracle by LogMiner: SCN of the commit, SCN of the change, number of the change in its transaction.

    LogMiner gives changes when their transaction commits. The SCN of the change alone goes back when a long transaction commits late;
    `rs_id` is of one redo thread only and `ssn` is always 0. A READ has no commit: it stands at the snapshot's SCN.
    """
    try:
        if origin.get("snapshot") not in (None, "false"):
            return int(origin["commit_scn"] or origin["scn"]), int(origin["scn"]), int(origin["txSeq"] or 0)
        return int(origin["commit_scn"]), int(origin["scn"]), int(origin["txSeq"])
    except (KeyError, TypeError, ValueError):
        raise Refused(Reason.INVALID_POSITION, "source.commit_scn, scn and txSeq are not those of a change read by LogMiner") from None


_LONG_BITS = 63
_LSN_BITS: Mapping[str, int] = {"sqlserver": 80, "db2": 94}
"""SQL Server's LSN has 10 bytes. Db2's has 16, of which the first are 0: a greater one than this is refused, never cut off."""


def _lsn_position(origin: Row) -> tuple[int, int, int]:
    """SQL Server, Db2: LSN of the commit, LSN of the change, and SQL Server's number of the event at that change.

    An LSN does not fit one long: the three are one number, cut into three of 63 bits, which orders as they do. (SQL Server's connector
    reads the statements of a transaction in their order by default, this orders them by their LSN: of one row that is the same.)
    """
    bits = _LSN_BITS[origin["connector"]]
    serial_bits = 3 * _LONG_BITS - 2 * bits
    try:
        commit, serial = _lsn(origin["commit_lsn"]), int(origin.get("event_serial_no") or 0)
        # A READ was changed by nobody.
        change = _lsn(origin["change_lsn"] or "00") if origin.get("snapshot") not in (None, "false") else _lsn(origin["change_lsn"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Refused(Reason.INVALID_POSITION, "source.commit_lsn and change_lsn are not two LSNs") from None
    if max(commit, change) >> bits or serial >> serial_bits:
        raise Refused(Reason.INVALID_POSITION, f"source.commit_lsn or change_lsn has more than {bits} bits")
    whole = (commit << bits | change) << serial_bits | serial
    mask = (1 << _LONG_BITS) - 1
    return whole >> 2 * _LONG_BITS, whole >> _LONG_BITS & mask, whole & mask


def _lsn(text: str) -> int:
    """Hexadecimal, with colons between the parts."""
    return int.from_bytes(bytes.fromhex(text.replace(":", "")))


_PLACES: Mapping[str, Callable[[Row], tuple[int, int, int]]] = {
    "postgresql": _wal_position,
    "mariadb": _binlog_position,
    "mysql": _binlog_position,
    "oracle": _scn_position,
    "sqlserver": _lsn_position,
    "db2": _lsn_position,
}
"""Where a change stands in its database's log, by connector."""


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
    if mapping.checks and (wrong := broken(mapping.checks, values)) is not None:
        raise Refused(Reason.BROKEN_RULE, wrong)
    return Claim(source.id, row, mapping.name, int(Kind.ASSERT), position, values, None, (), unchanged, effective_ms=commit_ms)


def _in_error(source: CompiledSource, mapping: CompiledMapping, row: str, position: Position, commit_ms: int) -> Claim:
    unchanged = dict.fromkeys((*(item for item, _, _ in mapping.items), *mapping.constants), (*position, IN_ERROR))
    return Claim(source.id, row, mapping.name, IN_ERROR, position, unchanged=unchanged, effective_ms=commit_ms)
