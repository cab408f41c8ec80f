"""Makes what is declared actual: topics of the nodes, connectors of the departments. Idempotent; says what it does."""

import asyncio
import json
from collections.abc import Iterable, Sequence

from sync_engine.model.declaration import Declarations, Department
from sync_engine.provision.connector import Capture, Database, connector_config
from sync_engine.provision.topics import topics_of
from sync_engine.runtime.connect import ConnectClient
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.schemas import all_schemas
from sync_engine.runtime.topics import create_topics
from sync_engine.settings import Settings


def apply_topics(declarations: Declarations, settings: Settings, nodes: Iterable[str]) -> int:
    """Create the nodes' topics that do not exist. Returns how many there are to be. Raises TopicMismatch, WorldFailure."""
    topics = [topic for node in nodes for topic in topics_of(declarations, node)]
    create_topics(
        settings.kafka.bootstrap,
        [(topic.name, topic.partitions, topic.config) for topic in topics],
        replication=settings.kafka.replication,
        client=settings.kafka.client,
    )
    return len(topics)


def apply_schemas(declarations: Declarations, settings: Settings) -> int:
    """Register every schema that the engine writes, under its full name. Raises RegistryUnavailable, SchemaRefused."""
    registry = SchemaRegistry(settings.registry.url)
    schemas = all_schemas(declarations)
    for name, schema in schemas.items():
        registry.register(name, json.dumps(schema, ensure_ascii=False))
    return len(schemas)


async def apply_connectors(declarations: Declarations, settings: Settings, departments: Sequence[Department]) -> int:
    """Create or update the departments' connectors and wait until all run. Raises KafkaConnectError."""
    async with ConnectClient(settings.connect.url) as connect:
        for department in departments:
            await connect.put_config(department.connector, config_of(declarations, settings, department))
        await asyncio.gather(*(connect.settle(department.connector, "RUNNING") for department in departments))
    return len(departments)


def config_of(declarations: Declarations, settings: Settings, department: Department) -> dict[str, str]:
    """The connector configuration of a department in this installation."""
    found = settings.databases[department.settings]
    password = found.connect_password or ""
    database = Database(found.host, found.port, found.dbname, found.user, password)
    return connector_config(declarations, department, database, Capture(str(settings.registry.native_url), settings.kafka.replication))
