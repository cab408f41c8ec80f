"""The stack: starts what is wanted, keeps all data in one home, stops everything.

Starting again on the same home goes on where it stopped, also after a kill -9 of everything.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sync_engine.fault import Message
from sync_engine.runtime.localstack.fetch import Say, fetch
from sync_engine.runtime.localstack.process import Child, Death, ServiceFailed, free_port, is_free
from sync_engine.runtime.localstack.services import (
    ALL,
    BUILD,
    CONNECT,
    FETCHED,
    KAFKA,
    MARIADB,
    PORTS,
    POSTGRES,
    READY_SECONDS,
    REDIS,
    REGISTRY,
    Site,
    check_installed,
    outside,
)

_PORT_NAMES = tuple(port for name in ALL for port in PORTS[name])
_PORT_GRACE_SECONDS = 3.0
"""The servers of a run that was killed need a moment to be gone."""


@dataclass(frozen=True)
class Endpoints:
    """Where the servers are. A server that was not wanted has its address all the same."""

    kafka: str
    registry: str
    """Confluent-compatible API."""
    registry_native: str
    """Apicurio's own API, for its Avro converter."""
    connect: str
    postgres: str
    redis: str
    mariadb: str


class LocalStack:
    """A context manager. `ports` None: free ones are chosen once and kept in the home, so that a restart finds them again."""

    def __init__(
        self,
        home: Path,
        services: Sequence[str] = ALL,
        *,
        ports: Mapping[str, int] | None = None,
        say: Say = print,
        fast_start: bool = True,
    ) -> None:
        _check_names("service", services, ALL)
        _check_names("port", ports or (), _PORT_NAMES)
        self.home = home.absolute()
        self._wanted = tuple(services)
        self._say = say
        self._fast_start = fast_start
        self._given = frozenset(ports or ())
        self._ports = dict(ports or {})
        self._children: dict[str, Child] = {}
        self._lock: IO[str] | None = None

    def __enter__(self) -> LocalStack:
        self.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop()

    @property
    def endpoints(self) -> Endpoints:
        ports = self._known_ports()
        base = "http://127.0.0.1"
        return Endpoints(
            f"127.0.0.1:{ports[KAFKA]}",
            f"{base}:{ports[REGISTRY]}/apis/ccompat/v7",
            f"{base}:{ports[REGISTRY]}/apis/registry/v2",
            f"{base}:{ports[CONNECT]}",
            f"postgresql://postgres@127.0.0.1:{ports[POSTGRES]}/postgres",
            f"redis://127.0.0.1:{ports[REDIS]}/0",
            f"mysql://root@127.0.0.1:{ports[MARIADB]}/",
        )

    def start(self) -> Endpoints:
        """Start what is wanted and does not run yet. Raises ServiceFailed or FetchFailed after stopping what this call had started."""
        names = [name for name in ALL if name in self._wanted and name not in self._children]
        if names:
            check_installed()
            self._take_home()
            began = set(self._children)
            try:
                # Of all that is wanted: Connect takes the plugins of the databases beside it.
                roots = {root for name in self._wanted for root in FETCHED[name]}
                jars = fetch(self._say, roots=roots) if roots else {}
                site = Site(self.home, jars, self._known_ports(), self._fast_start)
                self._start_all(site, names)
            except BaseException:
                self._stop(set(self._children) - began)
                raise
        return self.endpoints

    def add(self, *services: str) -> Endpoints:
        """Start more servers on the same home."""
        _check_names("service", services, ALL)
        before = self._wanted
        self._wanted = tuple(dict.fromkeys((*before, *services)))
        try:
            return self.start()
        except BaseException:
            self._wanted = before
            raise

    def process(self, name: str) -> Child:
        """A server that was started, to be killed, frozen or started again."""
        _check_names("running service", (name,), tuple(self._children))
        return self._children[name]

    def restart(self, name: str) -> None:
        """Start a server again, on its port and with its data, and wait until it is ready."""
        child = self.process(name)
        child.stop()
        self._await_ports(name)
        child.start()
        child.wait_ready(READY_SECONDS[name])

    def dead(self) -> list[Child]:
        """Servers that were started and do not run, whoever ended them."""
        return [child for child in self._children.values() if not child.running]

    def watch(self, timeout_seconds: float) -> Death | None:
        """Wait until a server ends by itself, not by `kill` or `stop`; None if none did in that time. Call it again and again."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            for child in self._children.values():
                if (death := child.death) is not None:
                    return death
            if (left := deadline - time.monotonic()) <= 0:
                return None
            time.sleep(min(0.2, left))

    def stop(self) -> None:
        """Stop what runs. May be called at any time, and again."""
        self._stop(set(self._children))

    def erase(self) -> None:
        """Stop, and remove the home with all data."""
        self.stop()
        elsewhere = outside(self.home)
        for folder in (elsewhere, self.home):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    # --- parts ---

    def _stop(self, names: set[str]) -> None:
        # Connect first: it would spend its time on servers that are gone.
        for together in ({CONNECT}, set(ALL) - {CONNECT}):
            children = [self._children.pop(name) for name in ALL if name in names & together and name in self._children]
            if children:
                with ThreadPoolExecutor(len(children)) as pool:
                    list(pool.map(Child.stop, children))
        if not self._children and self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_home(self) -> None:
        """Two stacks on one home would share data folders."""
        if self._lock is not None:
            return
        self.home.mkdir(parents=True, exist_ok=True)
        lock = (self.home / "lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise ServiceFailed(
                Message("the local stack cannot start in {home}", home=self.home),
                Message("process {owner} runs one there", owner=owner),
                Message("stop that process, or choose another home"),
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _known_ports(self) -> dict[str, int]:
        if len(self._ports) < len(_PORT_NAMES):
            kept = self.home / "ports.json"
            known = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
            for name in _PORT_NAMES:
                self._ports.setdefault(name, known.get(name) or free_port(tuple(self._ports.values())))
            self.home.mkdir(parents=True, exist_ok=True)
            new = kept.with_suffix(".new")
            new.write_text(json.dumps(self._ports), encoding="utf-8")
            new.replace(kept)
        return self._ports

    def _start_all(self, site: Site, names: Sequence[str]) -> None:
        for name in names:
            self._await_ports(name)
        # All at once: Connect looks for its plugins while the broker starts, and waits a minute for it by itself.
        failures: list[BaseException] = []
        threads = [threading.Thread(target=self._start_one, args=(site, name, failures)) for name in names]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException as error:  # Ctrl-C: the others must not go on starting behind our back
            failures.append(error)
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            raise
        if failures:
            raise failures[0]

    def _start_one(self, site: Site, name: str, failures: list[BaseException]) -> None:
        began = time.monotonic()
        try:
            child = BUILD[name](site)
            self._children[name] = child
            if failures:
                return
            child.start()
            child.wait_ready(READY_SECONDS[name], cancelled=lambda: bool(failures))
            ready = "{name:<9} ready after {seconds:4.1f} s  port {port}  log {log}"
            self._say(Message(ready, name=name, seconds=time.monotonic() - began, port=self._ports[name], log=child.log))
        except BaseException as error:
            failures.append(error)

    def _await_ports(self, name: str) -> None:
        deadline = time.monotonic() + _PORT_GRACE_SECONDS
        for port_name in PORTS[name]:
            port = self._ports[port_name]
            while not is_free(port):
                if time.monotonic() > deadline:
                    raise ServiceFailed(
                        Message("{name} cannot start: port {port} is taken", name=name, port=port),
                        Message("another process listens on it"),
                        Message("stop that process (an earlier run?), or {other}", other=self._how_to_choose(port_name)),
                    )
                time.sleep(0.1)

    def _how_to_choose(self, port_name: str) -> Message:
        if port_name in self._given:
            return Message('give another port for "{name}"', name=port_name)
        return Message("delete {file}: then others are chosen", file=self.home / "ports.json")


def _check_names(what: str, given: Sequence[str] | Mapping[str, int], allowed: Sequence[str]) -> None:
    for name in given:
        if name not in allowed:
            raise ValueError(f'no {what} "{name}"; there is: {", ".join(allowed)}')
