"""Makes what is declared actual: topics of the nodes, schemas, connectors of the departments. Idempotent; says what it does.

`Provisioner` is what `plan` and `apply` do; the functions before it make what is missing and ask nothing, for a first start.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence

from sync_engine.model.declaration import CONNECTOR_KINDS, Declarations, Department
from sync_engine.provision.connector import Capture, Database, connector_config
from sync_engine.provision.plan import (
    CAPTURE_ANEW,
    CHANGE,
    CONNECTOR,
    CREATE,
    REFUSED,
    SCHEMA,
    TOPIC,
    Action,
    ActualConnector,
    ActualTopic,
    plan_connectors,
    plan_foreign_connectors,
    plan_schemas,
    plan_topics,
)
from sync_engine.provision.topics import Topic, topics_of
from sync_engine.runtime.connect import ConnectClient
from sync_engine.runtime.registry import SchemaRegistry, UnknownSubject
from sync_engine.runtime.schemas import all_schemas
from sync_engine.runtime.topics import alter_topics, create_topics, describe_topics
from sync_engine.settings import Settings


def apply_topics(declarations: Declarations, settings: Settings, nodes: Iterable[str]) -> int:
    """Create the nodes' topics that do not exist. Returns how many there are to be. Raises TopicMismatch, WorldFailure.

    A subscriber's own topic is made on our brokers only: on a foreign cluster it is the owner's to make.
    """
    topics = _topics(declarations, settings, nodes)
    create_topics(
        settings.kafka.bootstrap,
        [(topic.name, topic.partitions, topic.config) for topic in topics],
        replication=settings.kafka.replication,
        client=settings.kafka.client,
    )
    return len(topics)


def _topics(declarations: Declarations, settings: Settings, nodes: Iterable[str]) -> list[Topic]:
    """Of the nodes themselves, and of their subscribers where those are on our brokers."""
    found: list[Topic] = []
    for node in nodes:
        found.extend(topics_of(declarations, node))
        for subscriber in declarations.subscribers_of(node):
            installed = settings.subscribers.get(subscriber.settings)
            if subscriber.topic is not None and (installed is None or installed.bootstrap is None):
                found.append(Topic(subscriber.topic.name, subscriber.topic.partitions, {"cleanup.policy": "compact"}))
    return found


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
    """The connector configuration of a department in this installation. Raises ValueError where it is not ours to make."""
    found = settings.databases[department.settings]
    password = found.connect_password or ""
    database = Database(found.host, found.port, found.dbname, found.user, password)
    kafka = settings.kafka
    open_to_all = "security.protocol" not in kafka.options
    capture = Capture(str(settings.registry.native_url), kafka.replication, kafka.bootstrap, signals=open_to_all)
    return connector_config(declarations, department, database, capture)


class Provisioner:
    """What the nodes need, against what is there. Raises WorldFailure, KafkaConnectError."""

    def __init__(self, declarations: Declarations, settings: Settings, nodes: Sequence[str]) -> None:
        self._declarations, self._settings = declarations, settings
        self._topics = {topic.name: topic for topic in _topics(declarations, settings, nodes)}
        self._schemas = {name: json.dumps(schema, ensure_ascii=False) for name, schema in all_schemas(declarations).items()}
        departments = [department for node in nodes for department in declarations.departments_of(node)]
        self._connectors = {each.connector: config_of(declarations, settings, each) for each in departments if each.kind in CONNECTOR_KINDS}
        self._foreign = {each.connector: each.kind for each in departments if each.kind not in CONNECTOR_KINDS}

    def plan(self) -> tuple[Action, ...]:
        """All that differs, in the order in which it is to be done."""
        bootstrap, client = self._settings.kafka.bootstrap, self._settings.kafka.client
        there = describe_topics(bootstrap, self._topics, client=client)
        topics = {name: ActualTopic(partitions, config) for name, (partitions, config) in there.items()}
        connectors = asyncio.run(self._actual_connectors())
        return (
            *plan_topics([*self._topics.values()], topics),
            *plan_schemas(self._schemas, self._actual_schemas()),
            *plan_connectors(self._connectors, connectors),
            *plan_foreign_connectors(self._foreign, connectors),
        )

    def apply(self, actions: Sequence[Action], say: Callable[[Action], None]) -> None:
        """Do what is planned and not refused; `say` is called before each that takes time."""
        of = {what: [action for action in actions if action.what == what and action.does != REFUSED] for what in (TOPIC, SCHEMA, CONNECTOR)}
        bootstrap, client = self._settings.kafka.bootstrap, self._settings.kafka.client
        new = [self._topics[action.name] for action in of[TOPIC] if action.does == CREATE]
        replication = self._settings.kafka.replication
        create_topics(bootstrap, [(each.name, each.partitions, each.config) for each in new], replication=replication, client=client)
        changed = {action.name: self._topics[action.name].config for action in of[TOPIC] if action.does == CHANGE}
        alter_topics(bootstrap, changed, client=client)
        registry = SchemaRegistry(self._settings.registry.url)
        for action in of[SCHEMA]:
            registry.register(action.name, self._schemas[action.name])
        asyncio.run(self._apply_connectors(of[CONNECTOR], say))

    def _actual_schemas(self) -> dict[str, str | None]:
        registry = SchemaRegistry(self._settings.registry.url)
        found: dict[str, str | None] = {}
        for name in self._schemas:
            try:
                found[name] = registry.latest(name).schema
            except UnknownSubject:
                found[name] = None
        return found

    async def _actual_connectors(self) -> dict[str, ActualConnector]:
        async with ConnectClient(self._settings.connect.url) as connect:
            found = await connect.connectors("info")
        return {
            name: ActualConnector(entry.info.config, len(entry.info.tasks))
            for name, entry in found.items()
            if name in {*self._connectors, *self._foreign} and entry.info is not None
        }

    async def _apply_connectors(self, actions: Sequence[Action], say: Callable[[Action], None]) -> None:
        async with ConnectClient(self._settings.connect.url) as connect:
            for action in actions:
                say(action)
                if action.does == CAPTURE_ANEW:
                    # Without its offsets it takes a snapshot; the slot stays, so nothing is missed between.
                    await connect.stop(action.name)
                    await connect.settle(action.name, "STOPPED")
                    await connect.reset_offsets(action.name)
                await connect.put_config(action.name, self._connectors[action.name])
                if action.does == CAPTURE_ANEW:
                    await connect.resume(action.name)
            await asyncio.gather(*(connect.settle(action.name, "RUNNING") for action in actions))
