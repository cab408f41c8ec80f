"""Avro schemas of an entity's claim and golden topics, generated from its catalogue entry, and the codecs to and from our values.

One nullable field per item, so that adding an item is a compatible change. What a null field means is said beside it: *null* and
*absent* are told apart by `nulls` (claim) and `statuses` (golden).
"""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import fastavro
from fastavro.types import Schema

from sync_engine.model.claim import Claim, Kind, Value
from sync_engine.model.declaration import EntityType, Item
from sync_engine.model.golden import CONFIRMED, LEFT, LIFE_CYCLES, STATUSES, WITHHELD, Content, Golden

Datum = dict[str, Any]
"""A decoded Avro record: untyped at this edge only."""

AVRO_TYPES: Mapping[str, str] = {
    "string": "string",
    "code": "string",
    "date": "string",
    "region": "string",
    "decimal": "string",
    "integer": "long",
    "boolean": "boolean",
}
_LONGS = ("epoch", "phase", "major", "minor", "sub")


def _record(name: str, fields: list[Datum], doc: str = "") -> Datum:
    return {"type": "record", "name": name, "doc": doc, "fields": fields}


def _optional(name: str, avro_type: object, doc: str = "") -> Datum:
    return {"name": name, "type": ["null", avro_type], "default": None, "doc": doc}


def _items(entity: EntityType) -> Datum:
    return _record("Items", [_optional(item.name, AVRO_TYPES[item.type], f"{item.title.zh} {item.title.en}") for item in _sorted(entity)])


def _sorted(entity: EntityType) -> list[Item]:
    return sorted(entity.items.values(), key=lambda item: item.name)


def claim_schema(entity: EntityType) -> Datum:
    """Schema of claim.<entity>, state.<entity> and edge.*.<entity> values."""
    stamp = _record("Stamp", [{"name": name, "type": "long"} for name in _LONGS] + [{"name": "rank", "type": "int"}])
    symbols = [kind.name.lower() for kind in Kind]
    return {
        "namespace": f"sync.{entity.entity}",
        **_record(
            "Claim",
            [
                {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": symbols}},
                {"name": "source", "type": "string"},
                {"name": "row", "type": "string"},
                {"name": "mapping", "type": "string"},
                *({"name": name, "type": "long"} for name in _LONGS),
                {"name": "effective_ms", "type": "long"},
                _optional("moved_to", "string"),
                _optional("via", "string"),
                {"name": "items", "type": _items(entity)},
                {"name": "nulls", "type": {"type": "array", "items": "string"}, "default": []},
                {"name": "withheld", "type": {"type": "array", "items": "string"}, "default": []},
                {"name": "unchanged", "type": {"type": "map", "values": stamp}, "default": {}},
                {"name": "positions", "type": {"type": "map", "values": {"type": "array", "items": "long"}}, "default": {}},
                _optional("floor", "Stamp"),
                _optional("error", "Stamp"),
            ],
            f"What one slot says about one {entity.title.en} ({entity.title.zh}).",
        ),
    }


def golden_schema(entity: EntityType) -> Datum:
    """Schema of golden.<entity> values: the public contract."""
    status = {"type": "enum", "name": "Status", "symbols": list(STATUSES)}
    return {
        "namespace": f"sync.{entity.entity}",
        **_record(
            "Golden",
            [
                {"name": "version", "type": "long", "doc": "Rises with every change of the content; generation x 2^40 + n."},
                {"name": "digest", "type": "bytes", "doc": "BLAKE2b-16 of the canonical content."},
                {"name": "life_cycle", "type": {"type": "enum", "name": "LifeCycle", "symbols": list(LIFE_CYCLES)}},
                _optional("moved_to", "string"),
                _optional("jurisdiction", "string"),
                _optional("redirect", "string"),
                {"name": "items", "type": _items(entity)},
                {
                    "name": "statuses",
                    "type": {"type": "map", "values": status},
                    "default": {},
                    "doc": "Items that are not a confirmed value; a null item that stands here is known to be empty or withheld.",
                },
                {"name": "flags", "type": {"type": "array", "items": "string"}, "default": []},
                {"name": "catalogue_version", "type": "int", "doc": "Evidence, like all that follows."},
                {"name": "effective_ms", "type": "long"},
                {"name": "sources", "type": {"type": "map", "values": "string"}, "default": {}},
                {"name": "left", "type": {"type": "map", "values": "long"}, "default": {}},
            ],
            f"The golden record of a {entity.title.en} ({entity.title.zh}).",
        ),
    }


def delivery_schema(entity: EntityType) -> Datum:
    """Schema of what a subscriber's topic gets. Items that it did not ask for are null and stand in no status."""
    status = {"type": "enum", "name": "Status", "symbols": list(STATUSES)}
    return {
        "namespace": f"sync.{entity.entity}",
        **_record(
            "Delivery",
            [
                {"name": "webhook_id", "type": "string", "doc": "The idempotency id, the same over all retries."},
                {"name": "version", "type": "long", "doc": "Rises with every change; a smaller one than you have is old: ignore it."},
                {"name": "state", "type": {"type": "enum", "name": "State", "symbols": [*LIFE_CYCLES, LEFT]}},
                _optional("moved_to", "string"),
                {"name": "items", "type": _items(entity)},
                {
                    "name": "statuses",
                    "type": {"type": "map", "values": status},
                    "default": {},
                    "doc": "Of every item that is told; a null item that stands here is known to be empty or withheld.",
                },
                {"name": "sources", "type": {"type": "map", "values": "string"}, "default": {}},
                {
                    "name": "labels",
                    "type": {"type": "map", "values": {"type": "map", "values": "string"}},
                    "default": {},
                    "doc": "Of each of the sources: level, region, system, department, business.",
                },
                {"name": "effective_ms", "type": "long"},
            ],
            f"What a subscriber is told of a {entity.title.en} ({entity.title.zh}).",
        ),
    }


Decode = Callable[[bytes], Datum]


def decoder(schema: Schema, reader: Schema | None = None) -> Decode:
    """A function from payload bytes (without any framing) to a datum; raises ValueError for bytes that are not of the schema.

    With `reader`, the datum is resolved to it (Avro schema resolution). Trailing bytes are refused: they are a sign of a wrong schema id.
    """
    parsed = fastavro.parse_schema(schema)
    resolved = None if reader is None or reader == schema else fastavro.parse_schema(reader)

    def decode(payload: bytes) -> Datum:
        stream = BytesIO(payload)
        try:
            datum = fastavro.schemaless_reader(stream, parsed, resolved)
        except Exception as error:  # fastavro raises what it meets: IndexError, EOFError, UnicodeDecodeError, struct.error ...
            raise ValueError(f"{type(error).__name__} while decoding") from None
        if stream.tell() != len(payload):
            raise ValueError("bytes left over after the record")
        if not isinstance(datum, dict):
            raise ValueError("not a record")
        return datum

    return decode


def encoder(schema: Schema) -> Callable[[Datum], bytes]:
    parsed = fastavro.parse_schema(schema)

    def encode(datum: Datum) -> bytes:
        stream = BytesIO()
        fastavro.schemaless_writer(stream, parsed, datum)
        return stream.getvalue()

    return encode


_KIND_NAMES = {int(kind): kind.name.lower() for kind in Kind}
_KIND_RANKS = {name: rank for rank, name in _KIND_NAMES.items()}


def claim_to_datum(claim: Claim) -> Datum:
    epoch, phase, major, minor, sub = claim.position
    return {
        "kind": _KIND_NAMES[claim.kind],
        "source": claim.source,
        "row": claim.row,
        "mapping": claim.mapping,
        "epoch": epoch,
        "phase": phase,
        "major": major,
        "minor": minor,
        "sub": sub,
        "effective_ms": claim.effective_ms,
        "moved_to": claim.moved_to,
        "via": claim.via,
        "items": claim.values,
        "nulls": [item for item, value in claim.values.items() if value is None],
        "withheld": claim.withheld,
        "unchanged": {item: _stamp_to_datum(stamp) for item, stamp in claim.unchanged.items()} if claim.unchanged else {},
        "positions": claim.positions,
        "floor": None if claim.floor is None else _stamp_to_datum(claim.floor),
        "error": None if claim.error is None else _stamp_to_datum(claim.error),
    }


def _stamp_to_datum(stamp: tuple[int, ...]) -> Datum:
    return dict(zip((*_LONGS, "rank"), stamp, strict=True))


def claim_of_datum(datum: Datum, path: str = "") -> Claim:
    """The claim that a datum of a claim schema says. `path` comes from the record's header, not from its bytes."""
    values: dict[str, Value] = {item: value for item, value in datum["items"].items() if value is not None}
    for item in datum["nulls"]:
        values[item] = None
    positions, unchanged, floor = datum["positions"], datum["unchanged"], datum["floor"]
    return Claim(
        datum["source"],
        datum["row"],
        datum["mapping"],
        _KIND_RANKS[datum["kind"]],
        (datum["epoch"], datum["phase"], datum["major"], datum["minor"], datum["sub"]),
        values,
        datum["moved_to"],
        tuple(datum["withheld"]),
        {item: tuple(stamp.values()) for item, stamp in unchanged.items()} if unchanged else {},
        {item: tuple(position) for item, position in positions.items()} if positions else {},
        None if floor is None else tuple(floor.values()),
        datum["effective_ms"],
        path,
        datum["via"],
        None if datum["error"] is None else tuple(datum["error"].values()),
    )


def golden_to_datum(golden: Golden) -> Datum:
    content = golden.content
    return {
        "version": golden.version,
        "digest": golden.digest,
        "life_cycle": content.life_cycle,
        "moved_to": content.moved_to,
        "jurisdiction": content.jurisdiction,
        "redirect": content.redirect,
        "items": {item: value for item, _, value in content.items},
        "statuses": {item: status for item, status, value in content.items if status != CONFIRMED or value is None},
        "flags": content.flags,
        "catalogue_version": golden.catalogue_version,
        "effective_ms": golden.effective_ms,
        "sources": golden.sources,
        "left": golden.left,
    }


def golden_of_datum(entity: str, key: str, datum: Datum) -> Golden:
    """The golden record that a datum of a golden schema says; the content's digest is the stored one if the datum is whole."""
    statuses = datum["statuses"]
    known: dict[str, tuple[str, Value]] = {item: (CONFIRMED, value) for item, value in datum["items"].items() if value is not None}
    for item, status in statuses.items():
        known[item] = (status, None if status == WITHHELD else datum["items"].get(item))
    content = Content(
        entity,
        key,
        datum["life_cycle"],
        datum["moved_to"],
        datum["jurisdiction"],
        datum["redirect"],
        [(item, *known[item]) for item in sorted(known)],
        tuple(datum["flags"]),
    )
    return Golden(
        content,
        datum["version"],
        datum["digest"],
        datum["catalogue_version"],
        datum["effective_ms"],
        datum["sources"],
        datum["left"],
    )
