"""The Debezium connector of a department: PostgreSQL or MariaDB.

Every setting whose default loses or changes something is said. The surprise: the record's order rests on settings here: the epoch header,
one task, one partition, no skipped operation.

Seen on MariaDB 11.4 with Debezium 3.5: a DELETE and its re-INSERT under another primary key come at one position, of two rows;
TRUNCATE comes as `t`; tinyint(1) comes as a number; DATETIME without a zone; a zero date ('0000-00-00') comes as NULL, but in a NOT NULL
column as the column's default, a date that nobody wrote. A NULL comes as the column's default, if it has one (asked for in `database`).
"""

import re
from dataclasses import dataclass
from hashlib import blake2b

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
    bootstrap: str = ""
    """Kafka as Connect reaches it. Needed for MariaDB: its connector keeps the history of the tables' schemas there by itself."""
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
        "name": department.connector,
        "topic.prefix": department.connector,
        "tasks.max": "1",
        **(_mariadb(department, database, capture) if department.kind == "mariadb" else _postgresql(department, database, capture)),
        **_events(department, capture),
        **_heartbeat(department, capture),
        **_delivery(declarations, capture),
        **_converter("key", capture.registry_url),
        **_converter("value", capture.registry_url),
    }


def _postgresql(department: Department, database: Database, capture: Capture) -> dict[str, str]:
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        **_database(database),
        "database.dbname": database.dbname,
        "plugin.name": "pgoutput",
        "slot.name": capture_name(department),
        "publication.name": capture_name(department),
        "publication.autocreate.mode": capture.publication_mode,
        "table.include.list": _tables(department),
        "unavailable.value.placeholder": UNAVAILABLE,
        # Dates are days, timestamps are microseconds, whatever the precision of the column.
        "time.precision.mode": "microseconds",
    }


def _mariadb(department: Department, database: Database, capture: Capture) -> dict[str, str]:
    if not capture.bootstrap:
        raise ValueError("a MariaDB connector must be told where Kafka is: it keeps its schema history there")
    return {
        "connector.class": "io.debezium.connector.mariadb.MariaDbConnector",
        **_database(database),
        "database.ssl.mode": "disable",
        # It registers as a replica. By default a number by chance out of a thousand: two of one number throw each other out.
        "database.server.id": str(server_id(department)),
        "table.include.list": _tables(department),
        "schema.history.internal": "io.debezium.storage.kafka.history.KafkaSchemaHistory",
        "schema.history.internal.kafka.bootstrap.servers": capture.bootstrap,
        "schema.history.internal.kafka.topic": names.schema_history(department),
        # Only of the tables that are captured; a server's other tables are none of ours.
        "schema.history.internal.store.only.captured.tables.ddl": "true",
        # A DDL that it cannot read stops it: to go on would be to read the next rows by the wrong columns.
        "schema.history.internal.skip.unparseable.ddl": "false",
        "inconsistent.schema.handling.mode": "fail",
        # DDL as records of a topic named as the prefix: nobody reads it.
        "include.schema.changes": "false",
        "include.query": "false",
        # On a quiet server a beat is written when the server itself gives a sign of life, every 0.8 of this; by default every 48 s, so that
        # the source would look dark.
        "connect.keep.alive.interval.ms": str(3 * capture.beat_ms),
        # Dates are days; a DATETIME is milliseconds up to precision 3, else microseconds.
        "time.precision.mode": "adaptive_time_microseconds",
        # By default the years 0 to 99 become 1970 to 2069: another date than the one that stands there.
        "enable.time.adjuster": "false",
        # What is greater than 2^63 - 1 comes as a negative number: still another for each; `precise` would be bytes.
        "bigint.unsigned.handling.mode": "long",
    }


_SERVER_IDS_FROM = 2**31
"""Above what people give their servers."""


def server_id(department: Department) -> int:
    """Its connector's number among the server's replicas: of the name, so it stays the same."""
    return _SERVER_IDS_FROM + int.from_bytes(blake2b(department.connector.encode(), digest_size=4).digest()) % (_SERVER_IDS_FROM - 1)


def _database(database: Database) -> dict[str, str]:
    return {
        "database.hostname": database.host,
        "database.port": str(database.port),
        "database.user": database.user,
        "database.password": database.password,
    }


def _tables(department: Department) -> str:
    """A list of regular expressions."""
    return ",".join(re.escape(table) for table in captured_tables(department))


def _events(department: Department, capture: Capture) -> dict[str, str]:
    return {
        "snapshot.mode": capture.snapshot_mode,
        # Several threads do not share one exported snapshot: rows of different moments under one position.
        "snapshot.max.threads": "1",
        "tombstones.on.delete": "false",
        # The default skips TRUNCATE: rows would live on that the department emptied.
        "skipped.operations": "none",
        "decimal.handling.mode": "string",
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
