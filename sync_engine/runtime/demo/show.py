"""Runs the whole demo: servers, databases, topics, connectors, nodes, receiver; then obeys `change`, `break` and `heal` until Ctrl-C.

It is a user of the engine like any other: it writes a settings file and starts `sync-engine run` per node. All it started ends with it.
"""

import asyncio
import base64
import json
import secrets
import signal
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2

from sync_engine import declared, settings
from sync_engine.fault import Message
from sync_engine.model.declaration import Declarations
from sync_engine.runtime.demo.bulk import load
from sync_engine.runtime.demo.departments import Departments
from sync_engine.runtime.demo.installation import settings_text
from sync_engine.runtime.demo.load import History, Load
from sync_engine.runtime.demo.world import world
from sync_engine.runtime.localstack import Endpoints, LocalStack
from sync_engine.runtime.localstack.process import Child
from sync_engine.runtime.provisioning import apply_connectors, apply_schemas, apply_topics
from sync_engine.runtime.reads import address_file
from sync_engine.runtime.receiver import Receiver
from sync_engine.settings import Settings

PEOPLE, OF_JINAN = 250, 200
"""Of the whole sample network, and of 金安区 alone, unless more are asked for."""
FIRST_PUSH_SECONDS = 120.0
MANY = 100_000
"""Rows of a table that are worth a line."""
Say = Callable[[str], None]
"""Gets a Message, so that it may be said in the reader's language, or a text of the servers' as it is."""


def control_file(home: Path) -> Path:
    return home / "demo.json"


class Busy(Exception):
    """What was asked for cannot be done beside what runs already."""

    def __init__(self, why: Message) -> None:
        super().__init__(why)
        self.why = why


class Demo:
    """One demo on one home folder. `run` returns when it was asked to stop."""

    def __init__(self, home: Path, declarations_dir: Path | None, say: Say, began: float, people: int = PEOPLE) -> None:
        """`began`: `time.monotonic()` of the process's start. `people`: of a home that has none yet."""
        self.home = home.resolve()
        self._declarations_dir = declarations_dir
        self._declarations: Declarations = declared.read(declarations_dir)
        self._say = say
        self._began = began
        self._stop = threading.Event()
        self._nodes: dict[str, Child] = {}
        self._pushed = threading.Condition()
        self._last: dict[str, dict[str, Any]] = {}
        self._loaded = False
        self._paused: set[str] = set()
        self._departments: Departments | None = None
        self._people = people
        self._load: Load | None = None
        self._rows_told: dict[str, int] = {}
        self._load_lock = threading.Lock()

    def run(self, seconds: float | None = None) -> None:
        """Start everything, show one change go through, then wait for Ctrl-C (or for `seconds`)."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *unused: self._stop.set())
        with ExitStack() as ending:
            self._stack = LocalStack(self.home / "stack", say=self._say)
            ending.callback(self._say, Message("everything has ended"))
            ending.enter_context(self._stack)
            receiver = ending.enter_context(_ReceiverThread(self.home / "webhook.secret", self._received))
            self._receiver = receiver
            installed = self._prepare(self._stack.endpoints, receiver.url, receiver.secret)
            ending.callback(self._stop_nodes)
            self._start_nodes()
            asyncio.run(apply_connectors(self._declarations, installed, tuple(self._declarations.departments.values())))
            self._mark(Message("connectors are running"))
            for child in self._nodes.values():
                child.wait_ready(90)
            self._mark(Message("nodes are running: {nodes}", nodes=", ".join(self._nodes)))
            ending.enter_context(_Control(self))
            self._first_change()
            self._wait(seconds)

    # --- start ---

    def _prepare(self, endpoints: Endpoints, webhook_url: str, webhook_secret: str) -> Settings:
        password_file = self.home / "stack" / "secrets" / "capture.properties"
        self._departments = Departments(endpoints.postgres, endpoints.mariadb, self._declarations)
        self._history = History(self.home / "history.json")
        if self._departments.make(password_file):
            load(world(self._people), self._departments.driver, self._mark_rows)
            self._history.begin(self._people)
        self._mark(Message("departments have {people} synthetic people", people=self._history.people))
        file = self.home / "settings.toml"
        secret_file = self.home / "webhook.secret"
        secret_file.write_text(webhook_secret)
        webhook = (webhook_url, secret_file)
        text = settings_text(self._declarations, self._departments, endpoints, self.home, password_file, webhook)
        file.write_text(text, encoding="utf-8")
        installed = settings.load(file)
        topics = apply_topics(self._declarations, installed, self._declarations.nodes)
        schemas = apply_schemas(self._declarations, installed)
        self._mark(Message("{topics} topics and {schemas} schemas are there", topics=topics, schemas=schemas))
        return installed

    def _mark_rows(self, table: str, rows: int) -> None:
        if rows // MANY > self._rows_told.get(table, 0):
            self._rows_told[table] = rows // MANY
            self._mark(Message("{table}: {rows} rows", table=table, rows=rows))

    def _start_nodes(self) -> None:
        for name in self._declarations.nodes:
            file = address_file(self.home / "state", name, "0")
            file.unlink(missing_ok=True)
            command = [sys.executable, "-m", "sync_engine", "--settings", str(self.home / "settings.toml")]
            if self._declarations_dir is not None:
                command += ["--declarations", str(self._declarations_dir)]
            logs = self.home / "stack" / "logs"
            logs.mkdir(parents=True, exist_ok=True)
            child = Child(f"node {name}", [*command, "run", "--node", name], logs / f"node-{name}.log", file.exists)
            self._nodes[name] = child
            child.start()

    def _stop_nodes(self) -> None:
        for child in self._nodes.values():
            if child.running:
                child.signal(signal.SIGCONT)
                child.signal(signal.SIGTERM)
        for child in self._nodes.values():
            child.stop(10)

    def _mark(self, what: Message) -> None:
        self._say(Message("{seconds:6.1f} s  {what}", seconds=time.monotonic() - self._began, what=what))

    # --- the first change, and what comes after ---

    def _first_change(self) -> None:
        if not self._wait_loaded():
            return
        self._loaded = True
        reached = (
            "first load ({pushes} pushes) has reached the province's subscriber; "
            "now one row is changed in public security's database by SQL"
        )
        self._mark(Message(reached, pushes=len(self._last)))
        began = time.monotonic()
        key = self.change()
        if self._wait_pushed(key):
            pushed = "the change was pushed and acknowledged (2xx) {seconds:.2f} s after its SQL commit"
            self._mark(Message(pushed, seconds=time.monotonic() - began))
            whole = "from the start of the process to the first acknowledged change: {seconds:.1f} s"
            self._say(Message(whole, seconds=time.monotonic() - self._began))
            orders = "sync-engine demo change | break tier | break subscriber | break source | break conflict | heal"
            self._say(Message("next, in another terminal: {command}", command=orders))
            watch = f"sync-engine --settings {self.home / 'settings.toml'} status --watch"
            self._say(Message("                           {command}", command=watch))

    def _wait_loaded(self) -> bool:
        """Whether every source's watermark has reached the province's subscribers: the road is open, and the first load is over."""
        deadline = time.monotonic() + FIRST_PUSH_SECONDS
        top = next(node.name for node in self._declarations.nodes.values() if node.parent is None)
        file = address_file(self.home / "state", top, "0")
        while time.monotonic() < deadline and not self._stop.wait(0.2) and not self._broken():
            lags = _lags(json.loads(file.read_text())) if file.exists() else []
            delivered = [lag for lag in lags if lag["place"].startswith("deliver.")]
            if delivered and all(lag["state"] == "caught_up" for lag in delivered):
                return True
        return False

    def change(self) -> str:
        """Change one resident's address by SQL; returns the id number."""
        assert self._departments is not None
        row = None
        with self._departments.connect("jinan/public_security") as database:
            while row is None:  # the load moves some away
                number, street = secrets.randbelow(OF_JINAN) + 1, secrets.randbelow(900) + 1
                row = database.execute(
                    "UPDATE hj.t_czrk SET hjdz = %s, mz = CASE mz WHEN '汉族' THEN '回族' ELSE '汉族' END, qrrq = current_date"
                    " WHERE rybh = %s RETURNING gmsfhm",
                    [f"皖西路{street}号", number],
                ).fetchone()
        with self._pushed:
            self._last.pop(row[0], None)
        return str(row[0])

    def load(self, changes_per_second: float, seconds: float, say: Callable[[Mapping[str, Any]], None]) -> None:
        """Let things happen in the departments at this rate; `say` gets what is known so far, about once a second."""
        assert self._departments is not None
        if not self._load_lock.acquire(blocking=False):
            raise Busy(Message("a load is running already"))
        try:
            self._load = Load(self._departments.connect, self._transactions, changes_per_second)
            self._load.run(self._history.happening(), seconds, self._stop.wait, say)
        finally:
            self._load = None
            self._load_lock.release()

    def _transactions(self) -> float:
        """Committed by all nodes."""
        return sum(_transactions(json.loads(address_file(self.home / "state", node, "0").read_text())) for node in self._nodes)

    def _wait_pushed(self, key: str) -> bool:
        with self._pushed:
            return (
                self._pushed.wait_for(lambda: key in self._last or self._stop.is_set() or self._broken(), FIRST_PUSH_SECONDS)
                and key in self._last
            )

    def _received(self, webhook_id: str, payload: Mapping[str, Any], verified: bool) -> None:
        if not verified:
            self._say(Message("webhook {id}: signature NOT valid, refused", id=webhook_id))
            return
        data = payload["data"]
        with self._pushed:
            self._last[data["key"]] = data
            self._pushed.notify_all()
        if self._load is not None:
            self._load.received(payload)
        elif self._loaded:
            items = ", ".join(sorted(data["items"]))
            told = "webhook {id}: signature ok, {type}, version {version}, items {items}"
            self._say(Message(told, id=webhook_id, type=payload["type"], version=data["version"], items=items))

    def _broken(self) -> bool:
        return bool(self._stack.dead()) or any(not child.running for child in self._nodes.values() if child.name not in self._paused)

    def _wait(self, seconds: float | None) -> None:
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._stop.wait(0.5):
            if deadline is not None and time.monotonic() > deadline:
                return
            for child in [*self._stack.dead(), *(child for child in self._nodes.values() if not child.running)]:
                if child.name.startswith("node ") and child.name not in self._paused:
                    # What a supervisor (systemd, Kubernetes) does in production.
                    ended = "{name} ended with exit code {code}; starting it again  log: {log}"
                    self._say(Message(ended, name=child.name, code=child.exit_code, log=child.log))
                    child.start()
                elif not child.name.startswith("node "):
                    died = "{name} died with exit code {code}\n{log}"
                    self._say(Message(died, name=child.name, code=child.exit_code, log=child.log_tail()))
                    return

    # --- break and heal ---

    def break_(self, what: str) -> Message:
        """Break one thing; returns a sentence for the one who asked."""
        if what == "tier":
            self._nodes["luan"].signal(signal.SIGSTOP)
            return Message("the city node luan is frozen: within seconds `status` shows the province behind jinan, and an alert fires")
        if what == "subscriber":
            self._receiver.fail(503)
            return Message("the receiver answers 503: deliveries are parked and counted, other work goes on")
        if what == "source":
            self._stack.process("connect").signal(signal.SIGSTOP)
            return Message("Kafka Connect is frozen: the sources go dark within 10 s")
        assert self._departments is not None
        with self._departments.connect("jinan/human_resources") as database:
            database.execute("UPDATE si.ac01 SET aac003 = aac003 || '甲' WHERE aac001 = 1")
        return Message("human resources now spells a name differently than public security: after its settle time a case opens at jinan")

    def heal(self) -> Message:
        """Undo every break."""
        self._nodes["luan"].signal(signal.SIGCONT)
        self._receiver.work()
        self._stack.process("connect").signal(signal.SIGCONT)
        assert self._departments is not None
        with self._departments.connect("jinan/human_resources") as database:
            database.execute("UPDATE si.ac01 SET aac003 = rtrim(aac003, '甲') WHERE aac003 LIKE '%甲'")
        return Message("everything is whole again: `status` goes back to caught up by itself, alerts resolve")


def _lags(address: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        answer = httpx2.get(address["url"] + "/status", headers={"Authorization": f"Bearer {address['token']}"}, timeout=2.0)
        lags: list[dict[str, Any]] = answer.json()["lags"]
    except (httpx2.TransportError, KeyError, ValueError):
        return []
    return lags


def _transactions(address: Mapping[str, Any]) -> float:
    text = httpx2.get(address["url"] + "/metrics", headers={"Authorization": f"Bearer {address['token']}"}, timeout=2.0).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("syncengine_transactions_total{"))


class _ReceiverThread:
    """The receiver in an event loop of its own."""

    def __init__(self, secret_file: Path, callback: Callable[[str, dict[str, Any], bool], None]) -> None:
        self.secret = secret_file.read_text() if secret_file.exists() else _new_secret()
        self._loop = asyncio.new_event_loop()
        self._receiver = Receiver([self.secret], callback)
        self._thread = threading.Thread(target=self._loop.run_forever, name="receiver", daemon=True)

    def __enter__(self) -> "_ReceiverThread":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._receiver.__aenter__(), self._loop).result()
        self.url = self._receiver.url
        return self

    def __exit__(self, *unused: object) -> None:
        asyncio.run_coroutine_threadsafe(self._receiver.__aexit__(None, None, None), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def fail(self, status: int) -> None:
        self._loop.call_soon_threadsafe(self._receiver.fail, status)

    def work(self) -> None:
        self._loop.call_soon_threadsafe(self._receiver.work)


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class _Control:
    """A loopback socket with a token on which `demo change|load|break|heal` reach the running demo: an order a line, answers in lines."""

    def __init__(self, demo: Demo) -> None:
        token = secrets.token_urlsafe(16)

        class Obey(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                asked = json.loads(self.rfile.readline())
                if not secrets.compare_digest(asked.get("token", ""), token):
                    return
                with suppress(ConnectionError):  # whoever asked has gone; a load ends with it
                    self._answer(_obey(demo, asked, lambda progress: self._answer({"progress": progress})))

            def _answer(self, answer: Mapping[str, Any]) -> None:
                self.wfile.write(json.dumps(answer).encode() + b"\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Obey)
        self._server.daemon_threads = True
        self._file = control_file(demo.home)
        self._address = {"port": self._server.server_address[1], "token": token}

    def __enter__(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._file.touch(mode=0o600)
        self._file.write_text(json.dumps(self._address))

    def __exit__(self, *unused: object) -> None:
        self._file.unlink(missing_ok=True)
        self._server.shutdown()


def _obey(demo: Demo, asked: dict[str, Any], say: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    try:
        if asked["do"] == "load":
            demo.load(asked["rate"], asked["seconds"], say)
            done = Message("the load is over")
        elif asked["do"] == "change":
            done = Message("changed the address of {person} by SQL", person=f"{demo.change()[:6]}********")
        else:
            done = demo.heal() if asked["do"] == "heal" else demo.break_(asked["what"])
        return {"ok": done.template, "arguments": done.arguments}
    except ConnectionError:
        raise
    except Busy as busy:
        return {"error": busy.why.template, "arguments": busy.why.arguments}
    except Exception as error:  # whoever asked is to see it, and the demo goes on
        return {"error": f"{type(error).__name__}: {error}", "arguments": {}}
