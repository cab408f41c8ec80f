"""The codec of a process: schemas and their ids are the registry's, the same for every side."""

from sync_engine.model.declaration import Declarations
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.schemas import AvroCodec, all_schemas


def new_codec(declarations: Declarations, registry: str) -> AvroCodec:
    return AvroCodec(SchemaRegistry(registry), all_schemas(declarations))
