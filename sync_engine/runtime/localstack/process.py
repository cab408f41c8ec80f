"""One child process: started with its log in a file, watched while it gets ready, stopped for sure.

It dies with us even if we are killed (PR_SET_PDEATHSIG), and a Ctrl-C in the terminal goes to us alone, who stop the children in
order. The surprise: the kernel sends that signal when the *thread* that started the child ends, so one lasting thread starts them all.
"""

from __future__ import annotations

import ctypes
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sync_engine.fault import Message
from sync_engine.runtime.localstack.failure import StackFailed

LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 65_536
STOP_SECONDS = 15.0

Ready = Callable[[], bool]


class ServiceFailed(StackFailed):
    """A server did not start, or died; the text says which, why, and where its log is."""


@dataclass(frozen=True)
class User:
    """Whom a server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Death:
    """A server that ended by itself."""

    name: str
    exit_code: int
    """Negative: the signal that killed it."""
    log_tail: str


class Child:
    """One server. `start` may be called again after `kill` or `stop`: same command, same data, same port."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        ready: Ready,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        user: User | None = None,
        stop_signal: int = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._ready = ready
        self._environment = dict(environment or {})
        self._directory = directory
        self._user = user
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False
        self._log_start = 0

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    @property
    def death(self) -> Death | None:
        """Set when it ended though nobody here stopped or killed it."""
        code = self.exit_code
        return Death(self.name, code, self.log_tail()) if self._wanted and code is not None else None

    def start(self) -> None:
        """Start without waiting. Use `wait_ready` next."""
        assert not self.running, f"{self.name} runs already"
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._process = _SPAWNER.call(self._spawn)
        self._wanted = True

    def wait_ready(self, timeout_seconds: float, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Raises ServiceFailed if it dies first, takes longer, or is no longer wanted."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            # First who is alive, then who answers: another process on the same port must not pass for ours.
            if not self.running:
                raise ServiceFailed(
                    Message("{name} ended with exit code {code} while starting", name=self.name, code=self.exit_code),
                    Message("its log says: {log}", log=self.log_tail()),
                )
            if cancelled():
                raise ServiceFailed(Message("{name} is no longer wanted: another server failed", name=self.name))
            if self._ready():
                return
            if time.monotonic() > deadline:
                raise ServiceFailed(
                    Message("{name} was not ready within {seconds:.0f} s", name=self.name, seconds=timeout_seconds),
                    Message("its log says: {log}", log=self.log_tail()),
                )
            time.sleep(0.1)

    def log_tail(self) -> str:
        """The path of the log and its last lines, of this run only."""
        lines: list[str] = []
        with suppress(FileNotFoundError), self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - LOG_TAIL_BYTES))
            lines = log.read().decode("utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"  log: {self.log}", *(f"  | {line[:200]}" for line in lines)])

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Ask it to end; kill what is left of it after the time. Nothing if it does not run."""
        self._wanted = False
        if not self.running:
            return
        family = self._family()
        self.signal(self._stop_signal)
        self.thaw()  # a frozen process would take no notice
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)
        self._end(family)

    def kill(self) -> None:
        """kill -9, and wait until it is gone with all its own children."""
        self._wanted = False
        if self._process is not None:
            self._end(self._family() if self.running else ())

    def freeze(self) -> None:
        """It and all its children stand still, their connections stay open."""
        for one in self._family():
            _send(one, signal.SIGSTOP)

    def thaw(self) -> None:
        for one in self._family():
            _send(one, signal.SIGCONT)

    def signal(self, number: int) -> None:
        """To its whole process group: a server may have children of its own. (PostgreSQL's are not in it: see `freeze`.)"""
        if self.running:
            os.killpg(self.pid, number)

    def _family(self) -> tuple[_Kin, ...]:
        return _family(self.pid) if self.running else ()

    def _end(self, family: Sequence[_Kin]) -> None:
        """PostgreSQL's children are in process groups of their own, and a new server refuses to start while an old child lives."""
        assert self._process is not None
        if self.running:
            # Not waited for yet, so its number is still its own.
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        for one in family:
            _send(one, signal.SIGKILL)
        deadline = time.monotonic() + STOP_SECONDS
        while any(one.alive for one in family) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _spawn(self) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name not in _JAVA_SURPRISES}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**environment, **self._environment},
                cwd=self._directory,
                start_new_session=True,
                user=self._user.uid if self._user else None,
                group=self._user.gid if self._user else None,
                extra_groups=[] if self._user else None,
                preexec_fn=_die_with_parent(os.getpid()) if _LIBC is not None else None,
            )


_JAVA_SURPRISES = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")
"""What these say is meant for other programs than ours."""


# --- dying with the parent ---

_PR_SET_PDEATHSIG = 1
# Loaded here: after a fork nothing may be imported or allocated at leisure.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent(parent: int) -> Callable[[], None]:
    def in_the_child() -> None:
        # Comes after the change of user, which would clear it.
        assert _LIBC is not None
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return in_the_child


class _Spawner:
    """One thread that lives as long as the process. No executor: the interpreter ends its threads before the `atexit` calls."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = False

    def call(self, spawn: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._lock:
            if not self._started:
                threading.Thread(target=self._work, name="spawner", daemon=True).start()
                self._started = True
        done: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((spawn, done))
        return done.result()

    def _work(self) -> None:
        while True:
            spawn, done = self._orders.get()
            try:
                done.set_result(spawn())
            except BaseException as error:
                done.set_exception(error)


_SPAWNER = _Spawner()


# --- the family of a process: known from /proc; elsewhere it is the process group alone ---


@dataclass(frozen=True)
class _Kin:
    pid: int
    born: str
    """Two processes that had the same number one after the other were not born in the same tick."""

    @property
    def alive(self) -> bool:
        fields = _stat(self.pid)
        return fields is not None and fields[_BORN] == self.born


_STATE, _PARENT, _BORN = 0, 1, 19
"""Places in /proc/<pid>/stat, counted behind the name."""


def _stat(pid: int) -> list[str] | None:
    """None: it is gone, or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[_STATE] in "ZX" else fields


def _family(pid: int) -> tuple[_Kin, ...]:
    """The process and all that descend from it."""
    stats = {int(entry): _stat(int(entry)) for entry in _numbers()}
    found = [pid]
    for parent in found:  # grows while it is walked
        found += [one for one, fields in stats.items() if fields is not None and int(fields[_PARENT]) == parent]
    return tuple(_Kin(one, fields[_BORN]) for one in found if (fields := stats.get(one)) is not None)


def _numbers() -> list[str]:
    try:
        return [entry for entry in os.listdir("/proc") if entry.isdigit()]
    except FileNotFoundError:
        return []


def _send(one: _Kin, number: int) -> None:
    if one.alive:
        with suppress(ProcessLookupError):
            os.kill(one.pid, number)


# --- readiness and ports ---


def listens(port: int) -> Ready:
    def ready() -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return ready


def succeeds(command: Sequence[str]) -> Ready:
    def ready() -> bool:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0

    return ready


def answers(url: str) -> Ready:
    # Never by way of a proxy that the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ready() -> bool:
        try:
            with opener.open(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    return ready


def free_port(taken: Sequence[int] = ()) -> int:
    """Below the range from which the system gives ports to outgoing connections: those come and go, and a restart needs the same again."""
    candidates = random.sample(range(20_000, 30_000), 200)
    return next(port for port in candidates if port not in taken and is_free(port))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
