"""The stack: starts what is wanted in the order that it is needed, keeps all data in one home, stops everything.

Starting again on the same home goes on where it stopped, also after a kill -9 of everything.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sync_engine.runtime.localstack.fetch import Say, fetch
from sync_engine.runtime.localstack.process import Child, ServiceFailed, free_port, is_free
from sync_engine.runtime.localstack.services import ALL, BUILD, CONNECT, KAFKA, POSTGRES, READY_SECONDS, REDIS, REGISTRY, Site

_PORTS = (*ALL, "kafka_controller")


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
        self.home = home
        self._wanted = tuple(services)
        self._say = say
        self._fast_start = fast_start
        self._ports = dict(ports or {})
        self._children: dict[str, Child] = {}
        self._site: Site | None = None

    def __enter__(self) -> "LocalStack":
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
        )

    def start(self) -> Endpoints:
        """Start what is wanted and does not run yet. Raises ServiceFailed or FetchFailed after stopping what had started."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._site = Site(self.home, fetch(self._say), self._known_ports(), self._fast_start)
        try:
            self._start_all([name for name in ALL if name in self._wanted and name not in self._children])
        except BaseException:
            self.stop()
            raise
        return self.endpoints

    def add(self, *services: str) -> Endpoints:
        """Start more servers on the same home."""
        self._wanted = tuple({*self._wanted, *services})
        return self.start()

    def process(self, name: str) -> Child:
        """A running server, to be killed, frozen or started again."""
        return self._children[name]

    def restart(self, name: str) -> None:
        """Start a server again after it was killed, and wait until it is ready."""
        child = self._children[name]
        if child.running:
            child.stop()
        child.start()
        child.wait_ready(READY_SECONDS[name])

    def dead(self) -> list[Child]:
        """Servers that ended by themselves."""
        return [child for child in self._children.values() if not child.running]

    def stop(self) -> None:
        for name in reversed(ALL):
            if (child := self._children.pop(name, None)) is not None:
                child.stop()

    def _known_ports(self) -> dict[str, int]:
        if len(self._ports) < len(_PORTS):
            kept = self.home / "ports.json"
            known = json.loads(kept.read_text()) if kept.exists() else {}
            for name in _PORTS:
                self._ports.setdefault(name, known.get(name) or free_port())
            self.home.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(self._ports))
        return self._ports

    def _start_all(self, names: Sequence[str]) -> None:
        for name in names:
            self._check_port(name)
        # All at once: Connect scans its plugins while the broker starts, and waits a minute for it by itself.
        failures: list[BaseException] = []
        threads = [threading.Thread(target=self._start_one, args=(name, failures)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _start_one(self, name: str, failures: list[BaseException]) -> None:
        began = time.monotonic()
        try:
            assert self._site is not None
            child = BUILD[name](self._site)
            self._children[name] = child
            child.start()
            child.wait_ready(READY_SECONDS[name])
            self._say(f"{name:<9} ready after {time.monotonic() - began:4.1f} s  port {self._ports[name]}  log {child.log}")
        except BaseException as error:
            failures.append(error)

    def _check_port(self, name: str) -> None:
        for used in (name, "kafka_controller") if name == KAFKA else (name,):
            if not is_free(self._ports[used]):
                raise ServiceFailed(
                    f"{name} cannot start: port {self._ports[used]} is taken\n  why: another process listens on it"
                    f"\n  what to do: stop that process (an earlier run?), or delete {self.home / 'ports.json'}: then others are chosen"
                )
