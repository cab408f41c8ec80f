"""The codec of tests: `AvroCodec` over a registry in memory, and bytes of writers whose schemas are not ours, Debezium's for one."""

import json
from typing import Any

from sync_engine.model.avro import encoder
from sync_engine.model.declaration import Declarations
from sync_engine.runtime.registry import FakeRegistry
from sync_engine.runtime.schemas import MAGIC, AvroCodec, all_schemas

Datum = dict[str, Any]


class FakeCodec(AvroCodec):
    """`AvroCodec` with a registry of its own, in memory."""

    def __init__(self, declarations: Declarations) -> None:
        self.registry = FakeRegistry()
        super().__init__(self.registry, all_schemas(declarations))

    def encode_foreign(self, name: str, datum: Datum) -> bytes:
        """The bytes of a writer that has a schema of its own: the one that this datum follows from."""
        schema = {"namespace": "foreign", **_schema_of(name, datum)}
        schema_id = self.registry.register(f"foreign.{name}", json.dumps(schema))
        return MAGIC + schema_id.to_bytes(4, "big") + encoder(schema)(datum)


def _schema_of(name: str, value: object) -> Any:
    if isinstance(value, dict):
        fields = [{"name": field, "type": _schema_of(f"{name}_{field}", inner)} for field, inner in value.items()]
        return {"type": "record", "name": name, "fields": fields}
    return {type(None): "null", bool: "boolean", int: "long", str: "string"}[type(value)]
