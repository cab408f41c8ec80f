"""Framed Avro (Confluent wire format: 0x00, four bytes of schema id, payload) to and from datums; schemas come from the registry by id.

A schema id is fetched once. What the registry does not know is bad data; a registry that does not answer is weather: the batch waits.
"""

import json
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from sync_engine.model.avro import Datum, claim_of_datum, claim_schema, decoder, delivery_schema, encoder, golden_schema
from sync_engine.model.avro_fast import OtherLayout, ReadClaim, Standing, claim_reader, claim_writer, golden_writer, standing_reader
from sync_engine.model.claim import Claim
from sync_engine.model.declaration import Declarations
from sync_engine.model.golden import Golden
from sync_engine.model.outcome import Reason
from sync_engine.model.stage import Undecodable
from sync_engine.runtime.log import WorldFailure
from sync_engine.runtime.registry import RegistryUnavailable, UnknownSchema

MAGIC = b"\x00"
FRAME = 5
"""Bytes before the payload."""


class Registry(Protocol):
    def schema(self, schema_id: int) -> str: ...

    def register(self, subject: str, schema: str) -> int: ...


class AvroCodec:
    """`model.stage.Codec` over a schema registry. Not shared between threads: each lane has its own."""

    def __init__(self, registry: Registry, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        """`schemas` = every schema that we write, by full name; `register` must have been called for them (see `register_all`)."""
        self._registry = registry
        self._ours = schemas
        self._writers: dict[str, tuple[bytes, Callable[[Datum], bytes]]] = {}
        self._readers: dict[bytes, tuple[str, Callable[[bytes], Datum]]] = {}
        self._written: dict[bytes, Datum] = {}
        self._claims: dict[bytes, ReadClaim | None] = {}
        self._standings: dict[bytes, Callable[[bytes], Standing | None] | None] = {}
        self._claim_writers: dict[str, Callable[[Claim], bytes]] = {}
        self._golden_writers: dict[str, Callable[[Golden], bytes]] = {}

    def encode(self, name: str, datum: Datum) -> bytes:
        writer = self._writers.get(name)
        if writer is None:
            writer = self._writers[name] = (self._prefix(name), encoder(dict(self._ours[name])))
        return writer[0] + writer[1](datum)

    def decode(self, framed: bytes) -> tuple[str, Datum]:
        reader = self._readers.get(framed[:FRAME])
        if reader is None:
            reader = self._reader(framed)
        name, decode = reader
        try:
            return name, decode(framed[FRAME:])
        except ValueError as error:
            raise Undecodable(Reason.UNDECODABLE, str(error)) from None

    def name(self, framed: bytes) -> str:
        return (self._readers.get(framed[:FRAME]) or self._reader(framed))[0]

    def claim(self, framed: bytes, path: str) -> Claim | None:
        prefix = framed[:FRAME]
        if prefix not in self._claims:
            self._claims[prefix] = self._claim_reader(framed)
        read = self._claims[prefix]
        try:
            return None if read is None else read(framed, path)
        except ValueError as error:
            raise Undecodable(Reason.UNDECODABLE, str(error)) from None

    def _claim_reader(self, framed: bytes) -> ReadClaim | None:
        """How claims of this schema id are read; None if it is no claim's."""
        name, decode = self._readers.get(framed[:FRAME]) or self._reader(framed)
        if name not in self._ours or not name.endswith(".Claim"):
            return None
        try:
            return claim_reader(self._written[framed[:FRAME]], dict(self._ours[name]), FRAME)
        except OtherLayout:
            return lambda framed, path: claim_of_datum(decode(framed[FRAME:]), path)

    def standing(self, framed: bytes) -> Standing:
        prefix = framed[:FRAME]
        if prefix not in self._standings:
            self._standings[prefix] = self._standing_reader(framed)
        read = self._standings[prefix]
        found = None if read is None else read(framed)
        if found is not None:
            return found
        datum = self.decode(framed)[1]
        return datum["version"], datum["digest"], datum["life_cycle"], datum["jurisdiction"], datum["left"]

    def _standing_reader(self, framed: bytes) -> Callable[[bytes], Standing | None] | None:
        name, _ = self._readers.get(framed[:FRAME]) or self._reader(framed)
        try:
            return standing_reader(self._written[framed[:FRAME]], dict(self._ours[name]), FRAME) if name in self._ours else None
        except OtherLayout:
            return None

    def encode_claim(self, entity: str, claim: Claim) -> bytes:
        write = self._claim_writers.get(entity)
        if write is None:
            name = f"sync.{entity}.Claim"
            write = self._claim_writers[entity] = claim_writer(dict(self._ours[name]), self._prefix(name))
        return write(claim)

    def encode_golden(self, entity: str, golden: Golden) -> bytes:
        write = self._golden_writers.get(entity)
        if write is None:
            name = f"sync.{entity}.Golden"
            write = self._golden_writers[entity] = golden_writer(dict(self._ours[name]), self._prefix(name))
        return write(golden)

    def _prefix(self, name: str) -> bytes:
        """The framing of our schema of this name; registers it if it is new."""
        try:
            schema_id = self._registry.register(name, json.dumps(self._ours[name], ensure_ascii=False))
        except RegistryUnavailable as failure:
            raise WorldFailure(str(failure)) from failure
        return MAGIC + schema_id.to_bytes(4, "big")

    def _reader(self, framed: bytes) -> tuple[str, Callable[[bytes], Datum]]:
        if len(framed) < FRAME or framed[:1] != MAGIC:
            raise Undecodable(Reason.UNDECODABLE, "no schema id before the payload")
        schema_id = int.from_bytes(framed[1:FRAME], "big")
        try:
            schema = json.loads(self._registry.schema(schema_id))
        except UnknownSchema:
            raise Undecodable(Reason.UNKNOWN_SCHEMA, f"the registry has no schema {schema_id}") from None
        except RegistryUnavailable as failure:
            raise WorldFailure(str(failure)) from failure
        name = f"{schema.get('namespace', '')}.{schema.get('name', '')}" if isinstance(schema, dict) else str(schema)
        # A record of ours that an older version wrote is read as ours, with the defaults of the fields that it lacks.
        ours = self._ours.get(name)
        self._written[framed[:FRAME]] = schema
        reader = self._readers[framed[:FRAME]] = (name, decoder(schema, None if ours is None else dict(ours)))
        return reader


def wire_schemas(directory: Path | None = None) -> dict[str, Datum]:
    """The entity-free record schemas of schemas/wire, by full name."""
    root = directory or _shipped()
    found = {}
    for path in sorted((root / "schemas" / "wire").glob("*.avsc")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        found[f"{schema['namespace']}.{schema['name']}"] = schema
    return found


def _shipped() -> Path:
    inside = Path(str(resources.files("sync_engine"))) / "_declarations"
    return inside if inside.is_dir() else inside.parent.parent


def all_schemas(declarations: Declarations, directory: Path | None = None) -> dict[str, Datum]:
    """Every schema that the engine writes, by full name."""
    schemas = wire_schemas(directory)
    for entity in declarations.entities.values():
        schemas[f"sync.{entity.entity}.Claim"] = claim_schema(entity)
        schemas[f"sync.{entity.entity}.Golden"] = golden_schema(entity)
        schemas[f"sync.{entity.entity}.Delivery"] = delivery_schema(entity)
    return schemas
