"""The sample network for tests: databases, topics, connectors, six nodes as processes, subscribers; asked and broken as users do.

Everything goes through the doors that operations have: SQL, `sync-engine run`, the workers' addresses, Kafka, signals. A node that leaves
by itself is started again, as a supervisor does; one that a test has stopped is not.
"""

import asyncio
import base64
import json
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from sync_engine import declared, settings
from sync_engine.model import names
from sync_engine.model.avro import golden_of_datum
from sync_engine.model.declaration import Declarations
from sync_engine.model.golden import Golden
from sync_engine.runtime.demo.bulk import load
from sync_engine.runtime.demo.departments import Connection, Departments
from sync_engine.runtime.demo.installation import settings_text
from sync_engine.runtime.demo.people import REGION, Person, people
from sync_engine.runtime.demo.rows import Rows
from sync_engine.runtime.demo.world import world
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.localstack.process import Child
from sync_engine.runtime.provisioning import apply_connectors, apply_schemas, apply_topics
from sync_engine.runtime.reads import address_file
from sync_engine.runtime.receiver import Receiver
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.schemas import AvroCodec, all_schemas
from tests.e2e.journal import Journal, Key
from tests.e2e.topics import TopicReader

DECLARATIONS = Path(__file__).parents[2]
PEOPLE = 200
POLICE, INSURANCE, SCHOOLS = "jinan/public_security", "jinan/human_resources", "anhui/education"
COUNTY, CITY, PROVINCE = "jinan", "luan", "anhui"
PLATFORM = "deliver.credit_platform"


class Network:
    """Between `start` and `stop`."""

    def __init__(self, stack: LocalStack, home: Path, people: int | None = None, subscriber: "Subscriber | None" = None) -> None:
        """`people`: of the whole sample's world; None: a few that three departments know and agree about."""
        self.stack = stack
        self._people = people
        self.home = home
        self.declarations: Declarations = declared.read(DECLARATIONS)
        self.journal = Journal(DECLARATIONS)
        self.subscriber = subscriber or Subscriber()
        self.departments = Departments(stack.endpoints.postgres, stack.endpoints.mariadb, self.declarations)
        self.nodes: dict[str, Child] = {}
        self.left: list[tuple[str, int | None]] = []
        """(node, exit code) of every node process that left by itself."""
        self._held: set[str] = set()
        self._logged: dict[str, int] = {}
        self._golden: dict[str, dict[Key, Golden]] = {node: {} for node in self.declarations.nodes}
        self._readers = {
            node: self.reader(*(names.golden(node, entity) for entity in self.declarations.entities)) for node in self.declarations.nodes
        }
        self.codec = AvroCodec(SchemaRegistry(stack.endpoints.registry), all_schemas(self.declarations))

    # --- start and stop ---

    def start(self) -> None:
        """Up to connectors and nodes that run; the first load is then on its way."""
        password_file = self.stack.home / "secrets" / "capture.properties"
        self.departments.make(password_file)
        if self._people is None:
            self._fill(people(PEOPLE))
        else:
            load(world(self._people), self.departments.driver)
        self.note()
        self.subscriber.start()
        self.settings_file = self.home / "settings.toml"
        secret_file = self.home / "webhook.secret"
        secret_file.write_text(self.subscriber.secret)
        webhook = (self.subscriber.url, secret_file)
        text = settings_text(self.declarations, self.departments, self.stack.endpoints, self.home, password_file, webhook)
        self.settings_file.write_text(text, encoding="utf-8")
        self.settings = settings.load(self.settings_file, {})
        apply_topics(self.declarations, self.settings, self.declarations.nodes)
        apply_schemas(self.declarations, self.settings)
        for node in self.declarations.nodes:
            file = address_file(self.home / "state", node, "0")
            self.nodes[node] = Child(f"node {node}", self.command("run", "--node", node), self.log_of(node), file.exists)
            self._start(node)
        asyncio.run(apply_connectors(self.declarations, self.settings, tuple(self.declarations.departments.values())))
        for child in self.nodes.values():
            child.wait_ready(90)

    def _start(self, node: str) -> None:
        # An address of the process before would be asked in vain.
        address_file(self.home / "state", node, "0").unlink(missing_ok=True)
        log = self.log_of(node)
        self._logged[node] = log.stat().st_size if log.exists() else 0
        self.nodes[node].start()

    def stop(self) -> None:
        for child in self.nodes.values():
            if child.running:
                child.signal(signal.SIGCONT)
                child.signal(signal.SIGTERM)
        for child in self.nodes.values():
            child.stop(10)
        self.subscriber.stop()

    def command(self, *arguments: str) -> list[str]:
        """A command line of `sync-engine` with this network's settings."""
        files = ["--declarations", str(DECLARATIONS), "--settings", str(self.settings_file)]
        return [sys.executable, "-m", "sync_engine", "--lang", "en", *files, *arguments]

    def told(self, *arguments: str) -> str:
        """What such a command says on stdout; it must not fail."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log_of(self, node: str) -> Path:
        return self.home / f"node-{node}.log"

    # --- the departments' databases ---

    @contextmanager
    def commit(self, department: str) -> Iterator[Connection]:
        """A transaction of a department's clerk, which the journal notes once it is committed."""
        with self.departments.connect(department) as connection:
            yield connection
        self.note(department)

    def execute(self, department: str, statement: str, parameters: Sequence[Any] = ()) -> None:
        with self.commit(department) as connection:
            connection.execute(statement, parameters)

    def fetch(self, department: str, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.departments.connect(department) as connection:
            return list(connection.execute(statement, parameters).fetchall())

    def _fill(self, known: Sequence[Person]) -> None:
        """The people as three departments know them; they agree. The other tables are empty: their tests write what they need."""
        residents, insured, graduates = [], [], []
        for one in known:
            residents.append(
                (one.number, one.id_number, one.name, one.sex, one.birth_date, "汉族", REGION, one.address, one.moved_in_on, one.mobile)
            )
            if one.number % 4:
                insured.append(
                    (one.number, one.id_number, one.name, one.sex, one.birth_date, one.mobile, one.employer, "1", one.insured_since)
                )
            if one.number % 3 == 0:
                graduates.append(
                    (f"AH{one.number:08d}", one.id_number, "BACHELOR", one.birth_date.replace(year=one.birth_date.year + 22, day=1))
                )
        self._insert(POLICE, "hj.t_czrk", "rybh gmsfhm xm xb csrq mz hjqh hjdz qrrq lxdh", residents)
        self._insert(INSURANCE, "si.ac01", "aac001 aac002 aac003 aac004 aac006 aae005 aab004 aac008 aac049", insured)
        self._insert(SCHOOLS, "edu.graduate", "certificate_no id_card level graduated_on", graduates)

    def _insert(self, department: str, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        load([Rows(department, table, tuple(columns.split()), [tuple(row) for row in rows])], self.departments.driver)

    def note(self, *departments: str) -> None:
        """Let the journal look at these departments' tables, or at all."""
        for department in departments or self.declarations.departments:
            for source in self.declarations.departments[department].sources:
                with self.departments.connect(department) as connection:
                    self.journal.note(source.id, connection.rows(f"SELECT * FROM {source.table}"))

    def database_now_ms(self) -> int:
        (now,) = self.fetch(POLICE, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")[0]
        return int(now)

    # --- what the workers say ---

    def ask(self, node: str, path: str) -> httpx2.Response | None:
        """None if the node's worker does not answer."""
        try:
            address = json.loads(address_file(self.home / "state", node, "0").read_text())
            return httpx2.get(address["url"] + path, headers={"Authorization": f"Bearer {address['token']}"}, timeout=2.0)
        except (FileNotFoundError, httpx2.TransportError):
            return None

    def status(self, node: str) -> dict[str, Any]:
        answer = self.ask(node, "/status")
        return {"lags": [], "alerts": [], "ready": False} if answer is None or answer.status_code != 200 else answer.json()

    def lags(self, node: str, place: str = "golden") -> dict[str, dict[str, Any]]:
        """Lag by source at a place of a node."""
        return {lag["source"]: lag for lag in self.status(node)["lags"] if lag["place"] == place}

    def states(self) -> set[str]:
        """The states of every source at every place of every node; "no answer" for a node that gives none."""
        statuses = [self.status(node)["lags"] for node in self.nodes]
        return {lag["state"] for lags in statuses for lag in lags} | {"no answer" for lags in statuses if not lags}

    def metric(self, node: str, name: str, **labels: str) -> float | None:
        """The value of one time series of /metrics."""
        answer = self.ask(node, "/metrics")
        for line in "".splitlines() if answer is None else answer.text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.startswith(name + "{") and all(f'{label}="{text}"' in series for label, text in labels.items()):
                return float(value)
        return None

    # --- waiting ---

    def wait(self, what: str, holds: Callable[[], Any], within_seconds: float, poll_seconds: float = 0.25) -> Any:
        """The first true value of `holds`; fails with what the network looks like then."""
        deadline = time.monotonic() + within_seconds
        while not (found := holds()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_seconds:g} s: {what}\n{self.describe()}")
            self.tend()
            time.sleep(poll_seconds)
        return found

    def tend(self) -> None:
        """What a supervisor does: a node that left by itself is started again."""
        for node, child in self.nodes.items():
            if node not in self._held and not child.running:
                self.left.append((node, child.exit_code))
                self._start(node)

    def catch_up(self, within_seconds: float = 60.0, nodes: Sequence[str] = (), sources: Sequence[str] = ()) -> None:
        """Wait until everything committed before now is applied at every place: of all nodes and sources, or of these."""
        now_ms = self.database_now_ms()

        def behind() -> list[str]:
            found = []
            for node in nodes or self.nodes:
                lags = [lag for lag in self.status(node)["lags"] if not sources or lag["source"] in sources]
                found += [f"{node} {lag['place']} of {lag['source']}" for lag in lags if (lag["watermark_ms"] or 0) < now_ms]
                found += [] if lags else [f"{node} says nothing"]
            return found

        self.wait(f"all watermarks past {now_ms}", lambda: not behind(), within_seconds)

    def describe(self) -> str:
        lines = []
        for node, child in self.nodes.items():
            status = self.status(node)
            lines.append(f"--- {node}: running {child.running}, ready {status['ready']}, without progress {status.get('without_progress')}")
            lines += [f"  {lag['source']} {lag['place']}: {lag['state']} {lag['lag_seconds']} s" for lag in status["lags"]]
            lines += [f"  alert {alert['id']}" for alert in status["alerts"]]
            lines.append(child.log_tail())
        return "\n".join([*lines, f"left by themselves: {self.left}"])

    def log_since_start(self, node: str) -> str:
        """What the node's process has logged since it was last started."""
        return self.log_of(node).read_bytes()[self._logged[node] :].decode(errors="replace")

    # --- breaking and mending nodes ---

    def hold(self, node: str) -> Child:
        """The node's process, which is not started again until `release`."""
        self._held.add(node)
        return self.nodes[node]

    def release(self, node: str) -> None:
        self._held.discard(node)
        if self.nodes[node].running:
            self.nodes[node].signal(signal.SIGCONT)
        else:
            self._start(node)

    # --- what stands in the logs ---

    def reader(self, *topics: str) -> TopicReader:
        return TopicReader(self.stack.endpoints.kafka, topics)

    def golden(self, node: str) -> dict[Key, Golden]:
        """The newest golden record of every key."""
        held = self._golden[node]
        for record in self._readers[node].more():
            assert record.key
            assert record.value, "a golden record is never nulled"
            key = (record.topic.rpartition(".")[2], record.key.decode())
            golden = golden_of_datum(*key, self.codec.decode(record.value)[1])
            before = held.get(key)
            assert before is None or golden.version > before.version, f"{node}: version {golden.version} after {before.version}"
            held[key] = golden
        return held


class Subscriber:
    """The receiver in an event loop of its own thread; keeps the last message of every key."""

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.last: dict[Key, dict[str, Any]] = {}
        self.receiver = Receiver([self.secret], self._received)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="subscriber", daemon=True)

    @property
    def url(self) -> str:
        return self.receiver.url

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.receiver.__aenter__(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.receiver.__aexit__(None, None, None), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def fail(self, status: int) -> None:
        self._loop.call_soon_threadsafe(self.receiver.fail, status)

    def work(self) -> None:
        self._loop.call_soon_threadsafe(self.receiver.work)

    def _received(self, webhook_id: str, payload: dict[str, Any], verified: bool) -> None:
        if verified:
            self.last[payload["data"]["entity"], payload["data"]["key"]] = payload["data"]


def more_people(count: int, first: int) -> list[Person]:
    """`count` people numbered from `first` on, none of whom is among those before."""
    return people(first + count - 1)[first - 1 :]
