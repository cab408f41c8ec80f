"""Schemas and ids, the same in every process of a run without asking a registry: they are registered in the order of their names."""

import json

from sync_engine.model.declaration import Declarations
from sync_engine.runtime.registry import FakeRegistry
from sync_engine.runtime.schemas import AvroCodec, all_schemas


def new_codec(declarations: Declarations) -> AvroCodec:
    schemas = all_schemas(declarations)
    registry = FakeRegistry()
    for name in sorted(schemas):
        registry.register(name, json.dumps(schemas[name], ensure_ascii=False))
    return AvroCodec(registry, schemas)
