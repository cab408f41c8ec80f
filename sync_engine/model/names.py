"""Physical topic names and the partition of a key: the only place where a topic is named.

Every name begins with its node's, so that nodes may share a broker. The surprise: the partition is CRC-32 of the key, computed here and
sent as an explicit number, since no two Kafka clients agree on a default partitioner.
"""

from zlib import crc32

from sync_engine.model.declaration import Department

FAMILIES = (
    "claim",
    "state",
    "golden",
    "edge",
    "finding",
    "case",
    "alert",
    "cut",
    "dead",
    "retry",
    "hold",
    "reconciled",
    "parked",
    "receipt",
    "control",
    "cdc",
    "beat",
    "heartbeat",
    "signal",
)
"""Every topic family: each has a file in topics/ and a function here (beats are the cdc topics of heartbeat tables)."""


def claim(node: str, entity: str) -> str:
    return f"{node}.claim.{entity}"


def state(node: str, entity: str) -> str:
    return f"{node}.state.{entity}"


def golden(node: str, entity: str) -> str:
    return f"{node}.golden.{entity}"


def edge(node: str, neighbour: str, entity: str) -> str:
    """What `node` says to `neighbour`, who reads it under this name."""
    return f"{node}.edge.{neighbour}.{entity}"


def finding(node: str) -> str:
    return f"{node}.finding"


def case(node: str) -> str:
    return f"{node}.case"


def alert(node: str) -> str:
    return f"{node}.alert"


def cut(node: str) -> str:
    return f"{node}.cut"


def dead(node: str) -> str:
    return f"{node}.dead"


def retry(node: str) -> str:
    """Dead letters that are to be decided again, as they stood in the dead letters."""
    return f"{node}.retry"


def hold(node: str) -> str:
    """Sources that the brake holds."""
    return f"{node}.hold"


def reconciled(node: str) -> str:
    """What the last comparison of each source with its slots has found."""
    return f"{node}.reconciled"


def parked(node: str, subscriber: str) -> str:
    """`subscriber` is its name within the node."""
    return f"{node}.parked.{subscriber}"


def receipt(node: str) -> str:
    return f"{node}.receipt"


def control(node: str) -> str:
    return f"{node}.control"


def cdc(department: Department, table: str) -> str:
    """The topic that the department's connector writes changes of `table` (schema.table) to."""
    return f"{department.connector}.{table}"


def signal(department: Department) -> str:
    """Where the connectors of the department's node are told what to do. Keyed by connector; each takes what is its own."""
    return f"{department.node}.signal"


def heartbeat(department: Department) -> str:
    """Debezium's own heartbeat, with the connector's clock: it only moves the connector's offset while the database is quiet."""
    return f"{department.node}.heartbeat.{department.connector}"


def partition_of(key: bytes, partitions: int) -> int:
    return crc32(key) % partitions


def schema_history(department: Department) -> str:
    """Where a MariaDB or MySQL connector keeps what its tables looked like. It makes and reads this topic itself, and it alone."""
    return f"{department.node}.schema_history.{department.name}"
