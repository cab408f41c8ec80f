"""One child process: started with its log in a file, watched while it gets ready, stopped for sure.

It dies with us even if we are killed (PR_SET_PDEATHSIG), and a Ctrl-C in the terminal goes to us alone, who stop the children in
order. The surprise: the kernel sends that signal when the *thread* that started the child ends, so one lasting thread starts them all.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
LOG_TAIL_LINES = 15

Ready = Callable[[], bool]

_SPAWNER = ThreadPoolExecutor(1, "spawner")


class ServiceFailed(Exception):
    """A server did not start, or died; the text says which, why, and where its log is."""


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
        user: int | None = None,
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

    def start(self) -> None:
        """Start without waiting. Use `wait_ready` next."""
        _SPAWNER.submit(self._spawn).result()

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                cwd=self._directory,
                start_new_session=True,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user is not None else None,
                preexec_fn=_die_with_parent,
            )

    def wait_ready(self, timeout_seconds: float) -> None:
        """Raises ServiceFailed if it dies first or takes longer."""
        deadline = time.monotonic() + timeout_seconds
        while not self._ready():
            if not self.running:
                raise ServiceFailed(f"{self.name} ended with exit code {self.exit_code} while starting\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{self.name} was not ready within {timeout_seconds:.0f} s\n{self.log_tail()}")
            time.sleep(0.1)

    def log_tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:] if self.log.exists() else []
        return "\n".join([f"  log: {self.log}", *(f"  | {line[:200]}" for line in lines)])

    def stop(self, timeout_seconds: float = 15.0) -> None:
        if not self.running:
            return
        self.signal(self._stop_signal)
        try:
            assert self._process is not None
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def signal(self, number: int) -> None:
        """To the whole process group: a server may have children of its own."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


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
    def ready() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  (our own loopback address)
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    return ready


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
