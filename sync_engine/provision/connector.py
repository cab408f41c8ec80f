"""The Debezium PostgreSQL connector of a department.

Every setting whose default loses or changes something is said. The surprise: the record's order rests on settings here: the epoch header,
one task, one partition, no skipped operation.
"""

import re
from dataclasses import dataclass

from sync_engine.model import names
from sync_engine.model.declaration import Declarations, Department
from sync_engine.provision.database import capture_name, captured_tables, heartbeat_beat
from sync_engine.provision.topics import config_of

EPOCH_HEADER = "x-epoch"
UNAVAILABLE = "__debezium_unavailable_value"
SNAPSHOT_MODES = ("initial", "no_data")
"""`always` and `when_needed` would take a snapshot unasked, under the old epoch: its rows would lose against the stream they replace."""
PUBLICATION_MODES = ("filtered", "disabled")


@dataclass(frozen=True)
class Database:
    """Where a department's database is, as Kafka Connect reaches it."""

    host: str
    port: int
    dbname: str
    user: str
    password: str
    """A reference that Connect's config provider resolves (`${file:…:password}`): all who reach Connect can read a connector's settings."""


@dataclass(frozen=True)
class Capture:
    """What may differ between two installations."""

    registry_url: str
    """Apicurio's own interface, `…/apis/registry/v2`, as Connect reaches it."""
    replication_factor: int
    publication_mode: str = "filtered"
    """`disabled` where the database's owner makes the publication."""
    snapshot_mode: str = "initial"
    beat_ms: int = 1000
    poll_ms: int = 50
    """How long the connector waits for more changes: it is added to the lag of a quiet table."""

    def __post_init__(self) -> None:
        if self.snapshot_mode not in SNAPSHOT_MODES:
            raise ValueError(f'snapshot mode "{self.snapshot_mode}" is refused; allowed: {", ".join(SNAPSHOT_MODES)}')
        if self.publication_mode not in PUBLICATION_MODES:
            raise ValueError(f'publication mode "{self.publication_mode}" is refused; allowed: {", ".join(PUBLICATION_MODES)}')


def connector_config(declarations: Declarations, department: Department, database: Database, capture: Capture) -> dict[str, str]:
    """The connector's whole configuration. `department` must be of `declarations`, whose cdc family says how its topics are made."""
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "name": department.connector,
        "topic.prefix": department.connector,
        "tasks.max": "1",
        **_database(department, database),
        **_publication(department, capture),
        **_events(department, capture),
        **_heartbeat(department, capture),
        **_delivery(declarations, capture),
        **_converter("key", capture.registry_url),
        **_converter("value", capture.registry_url),
    }


def _database(department: Department, database: Database) -> dict[str, str]:
    return {
        "database.hostname": database.host,
        "database.port": str(database.port),
        "database.dbname": database.dbname,
        "database.user": database.user,
        "database.password": database.password,
        "plugin.name": "pgoutput",
        "slot.name": capture_name(department),
    }


def _publication(department: Department, capture: Capture) -> dict[str, str]:
    return {
        "publication.name": capture_name(department),
        "publication.autocreate.mode": capture.publication_mode,
        # A list of regular expressions.
        "table.include.list": ",".join(re.escape(table) for table in captured_tables(department)),
    }


def _events(department: Department, capture: Capture) -> dict[str, str]:
    return {
        "snapshot.mode": capture.snapshot_mode,
        # Several threads do not share one exported snapshot: rows of different moments under one position.
        "snapshot.max.threads": "1",
        "tombstones.on.delete": "false",
        # The default skips TRUNCATE: rows would live on that the department emptied.
        "skipped.operations": "none",
        "unavailable.value.placeholder": UNAVAILABLE,
        "decimal.handling.mode": "string",
        # Dates are days, timestamps are microseconds, whatever the precision of the column.
        "time.precision.mode": "microseconds",
        "provide.transaction.metadata": "false",
        # Three headers in every record that say what the topic's name says.
        "extended.headers.enabled": "false",
        "schema.name.adjustment.mode": "avro",
        "transforms": "epoch",
        "transforms.epoch.type": "org.apache.kafka.connect.transforms.InsertHeader",
        "transforms.epoch.header": EPOCH_HEADER,
        "transforms.epoch.value.literal": str(department.epoch),
    }


def _heartbeat(department: Department, capture: Capture) -> dict[str, str]:
    return {
        "heartbeat.interval.ms": str(capture.beat_ms),
        "topic.heartbeat.prefix": names.heartbeat(department).removesuffix(f".{department.connector}"),
        # The beat is a row with the database's own time: captured like any change, it proves that the database and the slot are alive.
        "heartbeat.action.query": heartbeat_beat(department),
    }


def _delivery(declarations: Declarations, capture: Capture) -> dict[str, str]:
    cdc = declarations.topics["cdc"]
    return {
        "exactly.once.support": "required",
        "transaction.boundary": "poll",
        # A record that cannot be converted stops the connector: skipping it would lose a change in silence.
        "errors.tolerance": "none",
        "event.processing.failure.handling.mode": "fail",
        "poll.interval.ms": str(capture.poll_ms),
        "topic.creation.default.partitions": str(cdc.partitions),
        "topic.creation.default.replication.factor": str(capture.replication_factor),
        **{f"topic.creation.default.{name}": value for name, value in config_of(cdc).items()},
    }


def _converter(which: str, registry_url: str) -> dict[str, str]:
    prefix = f"{which}.converter"
    apicurio = {
        "url": registry_url,
        "auto-register": "true",
        "find-latest": "true",
        # Confluent's wire format: schema id in the payload. By default the id stands in a header and the payload has no magic byte.
        "as-confluent": "true",
        "use-id": "contentId",
        "headers.enabled": "false",
        # A schema that is known is used on while the registry is away; by default the task fails at the next refresh.
        "fault-tolerant-refresh": "true",
    }
    return {
        prefix: "io.apicurio.registry.utils.converter.AvroConverter",
        **{f"{prefix}.apicurio.registry.{name}": value for name, value in apicurio.items()},
    }
