"""What the lanes read: the same rows as captured changes, as a neighbour's edge records, as golden records; all made beforehand.

A turn says one thing of each row, and the next turn a newer one, so no record is folded into another and each must arrive.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

from sync_engine.ingest.identifiers import uscc_check
from sync_engine.model import names
from sync_engine.model.avro import encoder
from sync_engine.resolve.content import compile_rules
from sync_engine.resolve.decide import RecordState, decide
from sync_engine.runtime.schemas import AvroCodec
from tests.bench.catalogue import ENTITY, Entry, entity_type
from tests.bench.lanes.network import KEY_COLUMN, PRIMARY_KEY, county_of, network, tables
from tests.bench.values import values_of
from tests.bench.workload import BEGAN_MS, STREAM_MAJOR, Change, datum

ENVELOPE = "bench.Envelope"
EPOCH = (("x-epoch", b"1"),)
EPOCH_DAY = date(1970, 1, 1)
_AVRO_TYPES = {"date": {"type": "int", "connect.name": "io.debezium.time.Date"}, "integer": "int", "boolean": "boolean"}


class Put(NamedTuple):
    """A record to be put in; `partition` None: by its key."""

    topic: str
    key: bytes
    value: bytes
    partition: int | None
    headers: Sequence[tuple[str, bytes]] = ()


def key_of(number: int) -> str:
    first = f"92340102{number:09}"
    return first + uscc_check(first)


def said(entry: Entry, source: str, items: Sequence[str], number: int, turn: int) -> Change:
    """What the row of this number says in this turn."""
    key = key_of(number)
    values = values_of(key)
    if turn:
        values |= {"residence_address": f"{values['residence_address']}{turn}", "mobile": f"139{turn:02}{number % 1_000_000:06}"}
    position = (1, 1, STREAM_MAJOR + turn * 904, number, 0)
    said_of = {item: values[item] for item in items if item in values}
    return Change(key, source, f"[{number}]", "assert", position, said_of, (), BEGAN_MS + turn)


def envelope_schema(entry: Entry, source_items: Sequence[str]) -> dict[str, Any]:
    """As Debezium's PostgreSQL connector writes it: the row before and after (REPLICA IDENTITY FULL), where it comes from."""
    items = entry["items"]
    columns = [{"name": PRIMARY_KEY, "type": "long"}, {"name": KEY_COLUMN, "type": "string"}]
    columns += [{"name": item, "type": ["null", _AVRO_TYPES.get(items[item]["type"], "string")], "default": None} for item in source_items]
    texts = ("version", "connector", "name")
    origin: list[dict[str, Any]] = [{"name": name, "type": "string"} for name in texts]
    origin += [{"name": "ts_ms", "type": "long"}, {"name": "snapshot", "type": ["null", "string"], "default": None}]
    origin += [{"name": name, "type": "string"} for name in ("db", "schema", "table")]
    origin += [{"name": "sequence", "type": ["null", "string"], "default": None}]
    origin += [{"name": name, "type": ["null", "long"], "default": None} for name in ("ts_us", "ts_ns", "txId", "lsn", "xmin")]
    row = {"type": "record", "name": "Value", "fields": columns}
    return {
        "type": "record",
        "namespace": "bench",
        "name": "Envelope",
        "fields": [
            {"name": "before", "type": ["null", row], "default": None},
            {"name": "after", "type": ["null", "bench.Value"], "default": None},
            {"name": "source", "type": {"type": "record", "name": "Source", "fields": origin}},
            {"name": "transaction", "type": ["null", "string"], "default": None},
            {"name": "op", "type": "string"},
            {"name": "ts_ms", "type": ["null", "long"], "default": None},
        ],
    }


def captured(entry: Entry, node: str, register: Callable[[str, dict[str, Any]], int], turn: int, numbers: range) -> Iterator[Put]:
    """Row n is of the table n modulo 4; each table has its topic of one partition and its own schema."""
    writers = []
    for (declared, about), (_, topic) in zip(entry["sources"].items(), tables(entry, node), strict=True):
        schema = envelope_schema(entry, about["items"])
        frame = b"\0" + register(f"{topic}-value", schema).to_bytes(4, "big")
        writers.append((declared, about["items"], topic, frame, encoder(schema)))
    for number in numbers:
        declared, items, topic, frame, encode = writers[number % len(writers)]
        before = _row(entry, said(entry, declared, items, number, turn - 1), number) if turn else None
        change = said(entry, declared, items, number, turn)
        origin = {
            "version": "3.7.0.Final",
            "connector": "postgresql",
            "name": topic,
            "ts_ms": change.effective_ms,
            "snapshot": "false",
            "db": "bench",
            "schema": "bench",
            "table": "resident",
            "sequence": f'["{change.position[2]}","{change.position[3]}"]',
            "ts_us": change.effective_ms * 1000,
            "ts_ns": change.effective_ms * 1_000_000,
            "txId": number,
            "lsn": change.position[3],
        }
        after = _row(entry, change, number)
        value = {"before": before, "after": after, "source": origin, "op": "u" if turn else "c", "ts_ms": change.effective_ms}
        yield Put(topic, change.row.encode(), frame + encode(value), 0, EPOCH)


def _row(entry: Entry, change: Change, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {PRIMARY_KEY: number, KEY_COLUMN: change.key}
    for item, value in change.values.items():
        is_date = entry["items"][item]["type"] == "date" and value is not None
        row[item] = (date.fromisoformat(value) - EPOCH_DAY).days if is_date else value
    return row


def from_the_county(entry: Entry, node: str, codec: AvroCodec, turn: int, numbers: range) -> Iterator[Put]:
    county = county_of(node)
    topic = names.edge(county, node, ENTITY)
    sources = [source for source, _ in tables(entry, county)]
    items = [about["items"] for about in entry["sources"].values()]
    for number in numbers:
        change = said(entry, sources[number % len(sources)], items[number % len(items)], number, turn)
        framed = codec.encode(f"sync.{ENTITY}.Claim", datum(change))
        key = "\x1f".join((change.key, change.source, change.row, "resident")).encode()
        yield Put(topic, key, framed, number % 4, (("path", county.encode()),))


class Goldens:
    """Golden records of one node, each the next version of its key."""

    def __init__(self, entry: Entry, node: str, codec: AvroCodec) -> None:
        self._entry, self._codec = entry, codec
        self._topic = names.golden(node, ENTITY)
        self._source, _ = tables(entry, node)[0]
        self._items = next(iter(entry["sources"].values()))["items"]
        classes = {source.id: source.department_class for source in network(entry, node, 1).sources.values()}
        self._rules = compile_rules(entity_type(entry), classes.__getitem__)
        self._states: dict[int, RecordState] = {}

    def put(self, turn: int, numbers: range) -> Iterator[Put]:
        for number in numbers:
            change = said(self._entry, self._source, self._items, number, turn)
            claim = self._codec.claim(self._codec.encode(f"sync.{ENTITY}.Claim", datum(change)), "")
            assert claim is not None
            decided = decide(self._rules, 0, change.key, self._states.get(number), claim)
            assert decided is not None and decided.golden is not None
            self._states[number] = decided.after
            yield Put(self._topic, change.key.encode(), self._codec.encode_golden(ENTITY, decided.golden), None)
