"""Departments' databases and their captures: rows change in transactions, and what Debezium would write comes into the cdc topic.

The journal is told of every operation in the order of the commits, as docs/merge.md reads them. Positions are PostgreSQL's: LSN of the
commit before, LSN of the event; so a long transaction that commits late brings events with small LSNs behind others with greater ones.
"""

import json
import random
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sync_engine.ingest.capture import UNAVAILABLE
from sync_engine.model import names
from sync_engine.model.avro import encoder
from sync_engine.model.declaration import Declarations, Source
from sync_engine.runtime.registry import Registry
from sync_engine.runtime.schemas import MAGIC
from tests.e2e.journal import Journal
from tests.fakes.codec import FakeCodec
from tests.fakes.log import FakeBroker

Row = dict[str, Any]
Rows = dict[int, Row]
Event = dict[str, Any]
KEYS = ("K1", "K2", "K3", "K4", " ", None)
"""The last two make no claim: the mapping's key is missing."""
REGIONS = ("341502", "341502", "341525", "341525", "340100", None)
DATES = ("2020-01-01", "2024-02-29", "2025-06-30", "31.02.2020")
"""The last one cannot be read."""
POOLS = {
    "number": KEYS,
    "name": ("张三", "李四", '"\\', None),
    "region": REGIONS,
    "since": DATES,
    "mobile": ("13900000001", "13900000002", None),
    "insured": ("yes", "no"),
}
MOST_ROWS = 4
SNAPSHOT_MARK, STREAM_MARK, INCREMENTAL_MARK = "true", "false", "incremental"


class Envelopes:
    """The bytes of Debezium's envelopes of one table."""

    def __init__(self, registry: Registry, table: str, columns: tuple[str, ...]) -> None:
        values = [{"name": "id", "type": "long"}, *({"name": column, "type": ["null", "string"]} for column in columns)]
        value = {"type": "record", "name": "Value", "fields": values}
        origin = {
            "type": "record",
            "name": "Source",
            "fields": [
                {"name": "connector", "type": "string"},
                {"name": "sequence", "type": "string"},
                {"name": "snapshot", "type": "string"},
                {"name": "ts_ms", "type": "long"},
            ],
        }
        fields = [
            {"name": "op", "type": "string"},
            {"name": "before", "type": ["null", value]},
            {"name": "after", "type": ["null", "Value"]},
            {"name": "source", "type": origin},
        ]
        schema = {"type": "record", "name": "Envelope", "namespace": f"foreign.{table}", "fields": fields}
        self._prefix = MAGIC + registry.register(f"foreign.{table}", json.dumps(schema)).to_bytes(4, "big")
        self._encode = encoder(schema)

    def encode(self, event: Event) -> bytes:
        return self._prefix + self._encode(event)


@cache
def envelopes(codec: FakeCodec, table: str, columns: tuple[str, ...]) -> Envelopes:
    return Envelopes(codec.registry, table, columns)


@dataclass
class LongTransaction:
    """Its rows are locked until it ends."""

    changes: list[tuple[int, int, Row | None]] = field(default_factory=list)
    """(LSN, row, what it becomes)."""


@dataclass
class Table:
    """A captured table as it stands, and where its capture stands."""

    source: Source
    topic: str
    envelopes: Envelopes
    broker: FakeBroker
    journal: Journal
    chance: random.Random
    columns: tuple[str, ...]
    rows: Rows = field(default_factory=dict)
    epoch: int = 1
    lsn: int = 100
    last_commit: int = 0
    now_ms: int = 0
    long: LongTransaction | None = None
    sent: list[tuple[bytes | None, bytes | None]] = field(default_factory=list)
    """What this epoch's capture has written, to be written again when it is started again."""

    def happens(self, now_ms: int) -> str:
        """One thing that happens in the department; returns its name."""
        self.now_ms = now_ms
        verb = self.chance.choices(
            ("commits", "begins_long", "ends_long", "truncates", "is_read_again", "is_captured_anew", "is_sent_again"),
            (14, 3, 4, 1, 2, 2, 3),
        )[0]
        getattr(self, f"_{verb}")()
        return verb

    def begin(self) -> None:
        """The first capture: perhaps of a table that has rows."""
        self._note()
        self._change_unseen()
        self._snapshot()

    def end(self) -> None:
        if self.long is not None:
            self._ends_long()

    # --- what happens ---

    def _commits(self) -> None:
        changes = [self._change() for _ in range(self.chance.choice((1, 1, 2, 3)))]
        self._commit([change for change in changes if change is not None and not self._is_locked(change[1])])

    def _begins_long(self) -> None:
        if self.long is None:
            self.long = LongTransaction()
        change = self._change()
        if change is not None:
            self.long.changes.append(change)

    def _ends_long(self) -> None:
        if self.long is not None:
            ended, self.long = self.long, None
            if self.chance.random() < 0.8:
                self._commit(ended.changes)

    def _truncates(self) -> None:
        if self.long is None:  # it would wait for the lock
            self.rows.clear()
            self.lsn += 1
            self._write("t", None, None, self._sequence(self.lsn))
            self.last_commit = self.lsn = self.lsn + 1
            self._note()

    def _is_read_again(self) -> None:
        """An incremental snapshot: rows that nobody holds, at the place where the stream stands."""
        self.lsn += 1
        for identity, row in sorted(self.rows.items()):
            if not self._is_locked(identity):
                self._write("r", None, {"id": identity, **row}, self._sequence(self.lsn), INCREMENTAL_MARK)

    def _is_captured_anew(self) -> None:
        """The capture was lost; what changed meanwhile went unseen, and the database may count from the beginning again."""
        self.long = None
        self.epoch += 1
        if self.chance.random() < 0.5:
            self.lsn, self.last_commit = 10, 0
        self.sent.clear()
        self._change_unseen()
        self._snapshot()

    def _is_sent_again(self) -> None:
        """A capture that was killed begins again at its last offset."""
        for key, value in self.sent[self.chance.randrange(len(self.sent) + 1) :]:
            self._put(key, value)

    # --- how ---

    def _change(self) -> tuple[int, int, Row | None] | None:
        self.lsn += 1
        identity = self.chance.randrange(1, MOST_ROWS + 1)
        if self.chance.random() < 0.15:
            return (self.lsn, identity, None)
        row = dict(self.rows.get(identity) or {column: self.chance.choice(POOLS[column]) for column in self.columns})
        for column in self.chance.sample(self.columns, self.chance.choice((1, 1, 2))):
            row[column] = self.chance.choice(POOLS[column])
        return (self.lsn, identity, row)

    def _commit(self, changes: list[tuple[int, int, Row | None]]) -> None:
        commit_after = self.last_commit
        for lsn, identity, after in changes:
            before = self.rows.get(identity)
            if before is None and after is None:
                continue
            sequence = json.dumps([str(commit_after) if commit_after else None, str(lsn)])
            old = None if before is None else {"id": identity, **before}
            if after is None:
                del self.rows[identity]
                self._write("d", old, None, sequence)
                self._put(b"%d" % identity, None)  # its tombstone
            else:
                self.rows[identity] = after
                self._write("c" if before is None else "u", old, self._carried(before, after, identity), sequence)
            self._note()
        self.last_commit = self.lsn = self.lsn + 1

    def _carried(self, before: Row | None, after: Row, identity: int) -> Row:
        """A large column that did not change may be left out."""
        carried = {"id": identity, **after}
        readable = before is not None and before.get("since") != DATES[-1] and (before["number"] or "").strip()
        if before is not None and readable and before["number"] == after["number"] and self.chance.random() < 0.3:
            carried |= {column: UNAVAILABLE for column in ("name",) if before[column] == after[column]}
        return carried

    def _change_unseen(self) -> None:
        before = {identity: dict(row) for identity, row in self.rows.items()}
        for _ in range(self.chance.randrange(4)):
            change = self._change()
            if change is not None:
                _, identity, row = change
                self.rows.pop(identity, None)
                if row is not None:
                    self.rows[identity] = row
        if not self.rows:  # an empty table's snapshot has no last row, so that nothing ends what went unseen
            self.rows[1] = {column: POOLS[column][0] for column in self.columns}
        # Nobody saw a key change: it ended there and is here. And what is not readable in the new epoch has no older values.
        kept = {identity: row for identity, row in self.rows.items() if identity in before and self._goes_on(before[identity], row)}
        self._note(kept)
        self._note()

    def _goes_on(self, before: Row, after: Row) -> bool:
        return before["number"] == after["number"] and after.get("since") != DATES[-1]

    def _snapshot(self) -> None:
        sequence = self._sequence(self.lsn)
        rows = sorted(self.rows.items())
        for number, (identity, row) in enumerate(rows, 1):
            mark = "last" if number == len(rows) else "first" if number == 1 else SNAPSHOT_MARK
            self._write("r", None, {"id": identity, **row}, sequence, mark)

    def _sequence(self, lsn: int) -> str:
        return json.dumps([str(self.last_commit) if self.last_commit else None, str(lsn)])

    def _is_locked(self, identity: int) -> bool:
        return self.long is not None and any(identity == locked for _, locked, _ in self.long.changes)

    def _note(self, rows: Rows | None = None) -> None:
        noted = self.rows if rows is None else rows
        self.journal.note(self.source.id, [{"id": identity, **row} for identity, row in noted.items()])

    def _write(self, op: str, before: Row | None, after: Row | None, sequence: str, mark: str = STREAM_MARK) -> None:
        origin = {"connector": "postgresql", "sequence": sequence, "snapshot": mark, "ts_ms": self.now_ms}
        row = after or before
        value = self.envelopes.encode({"op": op, "before": before, "after": after, "source": origin})
        self._put(None if row is None else b"%d" % row["id"], value)
        self.sent.append((None if row is None else b"%d" % row["id"], value))

    def _put(self, key: bytes | None, value: bytes | None) -> None:
        self.broker.put(self.topic, key, value, headers=(("x-epoch", b"%d" % self.epoch),))


def tables(declarations: Declarations, codec: FakeCodec, broker: FakeBroker, journal: Journal, chance: random.Random) -> list[Table]:
    found = []
    for department in declarations.departments.values():
        for source in department.sources:
            columns = tuple(dict.fromkeys(("number", *(item.column for item in source.mappings[0].items if item.column))))
            made = envelopes(codec, source.id.replace("/", "_"), columns)
            found.append(Table(source, names.cdc(department, source.table), made, broker, journal, chance, columns))
    return found
