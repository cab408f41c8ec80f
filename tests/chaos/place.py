"""One node of the simulation's network on the real broker, as `sync-engine run` has it: rows of one table in, golden records out.

Its name is new each time, so that its topics are its own. A test may give it a subscriber.
"""

import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import confluent_kafka as ck

from sync_engine import declared, settings
from sync_engine.model import names
from sync_engine.model.avro import golden_of_datum
from sync_engine.model.golden import Golden
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.localstack.process import Child
from sync_engine.runtime.provisioning import apply_schemas, apply_topics
from sync_engine.runtime.reads import address_file
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.schemas import AvroCodec, all_schemas
from sync_engine.runtime.topics import Offsets
from sync_engine.topology import group_of
from tests.chaos.world import POLL_SECONDS
from tests.e2e.journal import Journal
from tests.e2e.topics import TopicReader
from tests.oracle.claims import digest
from tests.simulation.departments import Envelopes

TESTS = Path(__file__).parents[1]
DECLARATIONS = TESTS / "simulation" / "declarations"
ENTITY, SUBSCRIBER = "person", "platform"
COLUMNS = ("number", "name", "region", "since", "mobile")
VALUES = {"name": ("张三", "李四", "王五"), "region": ("341502",), "since": ("2020-01-01", "2024-02-29"), "mobile": ("13900000001", None)}


class Put(NamedTuple):
    """A record of the captured topic."""

    value: bytes
    key: bytes | None = b"a key"
    header: tuple[str, bytes] = ("x-epoch", b"1")


class Place:
    def __init__(self, broker: LocalStack, folder: Path, webhook: tuple[str, str] | None = None) -> None:
        """`webhook`: address and secret of a subscriber who wants everything."""
        self.node = f"place_{uuid4().hex[:8]}"
        files = folder / "declarations"
        shutil.copytree(DECLARATIONS, files)
        for ours in ("topics", "schemas/wire"):
            shutil.copytree(TESTS.parent / ours, files / ours)
        network = files / "connectors" / "network.yaml"
        network.write_text(network.read_text().replace("east", self.node))
        for kind, one in (("sources", "east"), *((("subscribers", "prov"),) if webhook else ())):
            (files / "connectors" / kind / one).rename(files / "connectors" / kind / self.node)
        self.declarations = declared.read(files)
        self.journal = Journal(files)
        at, file, state = broker.endpoints, folder / "settings.toml", folder / "state"
        url, secret = webhook or ("http://127.0.0.1:1/", "whsec_" + "A" * 44)
        (folder / "secret").write_text(secret)
        file.write_text(
            f'[kafka]\nbootstrap = "{at.kafka}"\nreplication = 1\n[registry]\nurl = "{at.registry}"\nnative_url = "{at.registry_native}"\n'
            f'[redis]\nurl = "{at.redis}"\n[state]\ndir = "{state}"\n[databases.police]\ndbname = "none"\nuser = "nobody"\n'
            f'[subscribers.{SUBSCRIBER}]\nurl = "{url}"\nsecrets = ["${{file:{folder / "secret"}}}"]\n'
        )
        read = settings.load(file, {})
        apply_topics(self.declarations, read, self.declarations.nodes)
        apply_schemas(self.declarations, read)
        self.bootstrap, self.registry = at.kafka, SchemaRegistry(at.registry)
        self.codec = AvroCodec(self.registry, all_schemas(self.declarations))
        self.source = f"{self.node}/police/person"
        self.topic = names.cdc(self.declarations.departments[f"{self.node}/police"], self.declarations.sources[self.source].table)
        command = [sys.executable, "-m", "sync_engine", "--declarations", str(files), "--settings", str(file), "run", "--node", self.node]
        address = address_file(state, self.node, "0")
        self.worker = Child(self.node, command, folder / "node.log", address.exists)
        self._address, self._table, self._lsn = address, Envelopes(self.registry, "place_person", COLUMNS), 100
        self._rows: dict[int, dict[str, Any]] = {}
        self._golden: dict[str, Golden] = {}
        self._golden_reader = TopicReader(self.bootstrap, (names.golden(self.node, ENTITY),))
        self.journal.note(self.source, [])

    def start(self) -> None:
        self._address.unlink(missing_ok=True)
        self.worker.start()
        self.worker.wait_ready(60)

    # --- what comes in ---

    def change(self, row: int, chance: random.Random, **values: str) -> Put:
        """The row's next change, to values of which some may be given; the journal notes it. As Debezium writes it."""
        self._lsn += 1
        before = self._rows.get(row)
        said = {name: chance.choice(pool) for name, pool in VALUES.items()} | values
        self._rows[row] = after = {"id": row, "number": f"K{row}", **said}
        self.note(after)
        return Put(self.envelope("u" if before else "c", before, after, self._lsn), b"%d" % row)

    def note(self, row: dict[str, Any]) -> None:
        """The row is now so; the others are as they were."""
        self.journal.note(self.source, [row], lambda other: False)

    def envelope(self, op: str, before: dict[str, Any] | None, after: dict[str, Any] | None, lsn: int) -> bytes:
        return self._table.encode({"op": op, "before": before, "after": after, "source": origin(lsn)})

    def put(self, records: list[Put]) -> None:
        producer = ck.Producer({"bootstrap.servers": self.bootstrap, "message.max.bytes": 2_000_000, "linger.ms": 5, "acks": "all"})
        for record in records:
            producer.produce(self.topic, record.value, record.key, 0, headers=[record.header])
            producer.poll(0)
        assert producer.flush(60) == 0

    # --- what comes of it ---

    def until(self, what: str, reached: Callable[[], Any], within_seconds: float) -> None:
        deadline = time.monotonic() + within_seconds
        while not reached():
            assert time.monotonic() < deadline, f"not within {within_seconds:g} s: {what}\n{self.worker.log_tail()}"
            assert self.worker.running, self.worker.log_tail()
            time.sleep(10 * POLL_SECONDS)

    def drained(self, within_seconds: float) -> float:
        """Wait until ingest and resolve have committed all there is; returns the longest time in which ingest committed nothing."""
        offsets, deadline, longest = Offsets(self.bootstrap), time.monotonic() + within_seconds, 0.0
        moved_at, before = time.monotonic(), -1
        while True:
            left = {stage: sum(self._left(offsets, stage, topic)) for stage, topic in self._inputs().items()}
            now = time.monotonic()
            if left["ingest"] != before:
                longest, moved_at, before = max(longest, now - moved_at), now, left["ingest"]
            if not any(left.values()):
                return longest
            assert now < deadline, f"left: {left}\n{self.worker.log_tail()}"
            assert self.worker.running, self.worker.log_tail()
            time.sleep(POLL_SECONDS)

    def _inputs(self) -> dict[str, str]:
        return {"ingest": self.topic, f"resolve.{ENTITY}": names.claim(self.node, ENTITY)}

    def _left(self, offsets: Offsets, stage: str, topic: str) -> Iterator[int]:
        partitions = 1 if topic == self.topic else self.declarations.topics["claim"].partitions
        committed = offsets.group_offsets(group_of(self.node, stage))
        for place, end in offsets.list_open_ends([(topic, partition) for partition in range(partitions)]).items():
            yield end - committed.get(place, 0)

    def read(self, topic: str) -> list[Any]:
        return [record for record in TopicReader(self.bootstrap, (topic,)).more() if record.value is not None]

    def golden(self) -> dict[str, Golden]:
        """The newest record of every key; versions only rise."""
        for record in self._golden_reader.more():
            assert record.key and record.value
            one = golden_of_datum(ENTITY, record.key.decode(), self.codec.decode(record.value)[1])
            assert one.version > (self._golden[one.content.key].version if one.content.key in self._golden else 0)
            self._golden[one.content.key] = one
        return self._golden

    def assert_holds_what_is_owed(self) -> None:
        owed, golden = self.journal.owed()[self.node], self.golden()
        assert {(ENTITY, key) for key in golden} == owed.keys()
        assert [key for key, content in owed.items() if golden[key[1]].digest != digest(content)] == []


def origin(lsn: int) -> dict[str, Any]:
    return {"connector": "postgresql", "sequence": f'["{lsn}", "{lsn}"]', "snapshot": "false", "ts_ms": 1_700_000_000_000}
