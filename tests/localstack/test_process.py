"""A child process: an early death is told with its log, a port that is taken is told by name, and nobody is left behind."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sync_engine.runtime.localstack import LocalStack, ServiceFailed
from sync_engine.runtime.localstack.process import Child, free_port, listens


def _python(tmp_path: Path, code: str, ready: object = lambda: False) -> Child:
    return Child("sample", [sys.executable, "-c", code], tmp_path / "sample.log", ready)  # type: ignore[arg-type]


def test_a_server_that_dies_while_starting_is_told_with_its_log(tmp_path: Path) -> None:
    child = _python(tmp_path, "import sys; print('no such option: --wrong'); sys.exit(3)")
    child.start()
    with pytest.raises(ServiceFailed, match=r"sample ended with exit code 3(?s:.*)no such option: --wrong"):
        child.wait_ready(20)


def test_a_server_that_never_gets_ready_is_told(tmp_path: Path) -> None:
    child = _python(tmp_path, "import time; time.sleep(60)")
    child.start()
    with pytest.raises(ServiceFailed, match="not ready within 0 s"):
        child.wait_ready(0.3)
    child.kill()
    assert not child.running


def test_a_child_can_be_started_again_after_a_kill(tmp_path: Path) -> None:
    port = free_port()
    code = f"import socket,time; s=socket.socket(); s.setsockopt(1,2,1); s.bind(('127.0.0.1',{port})); s.listen(); time.sleep(60)"
    child = _python(tmp_path, code, listens(port))
    child.start()
    child.wait_ready(20)
    first = child.pid
    child.kill()
    child.start()
    child.wait_ready(20)
    assert child.pid != first
    child.stop()
    assert not child.running


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys,time; from pathlib import Path; from sync_engine.runtime.localstack.process import Child;"
            f"c=Child('x',[sys.executable,'-c','import time; time.sleep(60)'],Path({str(tmp_path / 'x.log')!r}),lambda: True);"
            "c.start(); print(c.pid, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"


def test_a_port_that_is_taken_is_told_by_service_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync_engine.runtime.localstack.stack.fetch", lambda say: tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stack = LocalStack(tmp_path / "home", ["redis"], ports={"redis": port}, say=lambda line: None)
        with pytest.raises(ServiceFailed, match=rf"redis cannot start: port {port} is taken(?s:.*)what to do"):
            stack.start()
