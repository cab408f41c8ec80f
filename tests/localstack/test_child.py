"""One child process: small Python programs in place of servers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sync_engine.runtime.localstack.process import Child, ServiceFailed, free_port, is_free

SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('ready', 'w').close(); time.sleep(600)"
# Its child is in a session of its own, as PostgreSQL's are.
WITH_CHILD = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)
open('new', 'w').write(str(child.pid)); __import__('os').rename('new', 'ready')
time.sleep(600)
"""

Make = Callable[..., Child]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Child] = []

    def child(program: str, ready: Callable[[], bool] = (tmp_path / "ready").exists) -> Child:
        made.append(Child("sample", [sys.executable, "-c", program], tmp_path / "sample.log", ready, directory=tmp_path))
        return made[-1]

    yield child
    for one in made:
        one.kill()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def state(pid: int) -> str:
    """Of /proc; empty: it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def gone(pid: int) -> bool:
    return state(pid) in ("", "Z", "X")


def test_one_that_dies_while_it_starts_is_told_with_its_last_lines(make: Make, tmp_path: Path) -> None:
    child = make("print('reading settings'); print('no such setting: x'); raise SystemExit(3)")
    child.start()
    with pytest.raises(ServiceFailed) as failed:
        child.wait_ready(10)
    text = str(failed.value)
    assert text.startswith("sample ended with exit code 3 while starting")
    assert "| no such setting: x" in text
    assert str(tmp_path / "sample.log") in text


def test_one_that_is_never_ready_is_told_with_its_last_lines(make: Make) -> None:
    child = make(f"print('waiting for godot', flush=True); {SLEEP}", ready=lambda: False)
    child.start()
    assert until(lambda: "godot" in child.log_tail())
    with pytest.raises(ServiceFailed, match=r"(?s)sample was not ready within 0 s.*waiting for godot"):
        child.wait_ready(0.2)


def test_the_last_lines_are_of_this_run(make: Make) -> None:
    child = make("import os; print('run', os.path.exists('second')); open('second', 'w').close()")
    for said in ("run False", "run True"):
        child.start()
        with pytest.raises(ServiceFailed) as failed:
            child.wait_ready(10)
        assert [line for line in str(failed.value).splitlines() if "| run" in line] == [f"  | {said}"]


def test_another_process_on_its_port_does_not_pass_for_it(make: Make) -> None:
    child = make("raise SystemExit(1)", ready=lambda: True)
    child.start()
    assert until(lambda: not child.running)
    with pytest.raises(ServiceFailed, match="ended with exit code 1"):
        child.wait_ready(10)


def test_a_program_that_is_not_there_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Child("sample", [str(tmp_path / "missing")], tmp_path / "log", lambda: True).start()


def test_stop_may_be_called_again(make: Make) -> None:
    child = make(f"open('ready', 'w').close(); {SLEEP}")
    child.start()
    child.wait_ready(10)
    child.stop()
    child.stop()
    assert child.exit_code == -signal.SIGTERM
    assert child.death is None


def test_one_that_ignores_the_signal_is_killed(make: Make) -> None:
    child = make(STUBBORN)
    child.start()
    child.wait_ready(10)
    child.stop(timeout_seconds=0.2)
    assert child.exit_code == -signal.SIGKILL


def test_a_frozen_one_is_stopped_without_waiting_for_the_kill(make: Make) -> None:
    child = make(f"open('ready', 'w').close(); {SLEEP}")
    child.start()
    child.wait_ready(10)
    child.freeze()
    child.stop(timeout_seconds=10)
    assert child.exit_code == -signal.SIGTERM


@pytest.mark.parametrize("end", [Child.stop, Child.kill])
def test_its_own_children_end_with_it(make: Make, tmp_path: Path, end: Callable[[Child], None]) -> None:
    child = make(WITH_CHILD)
    child.start()
    child.wait_ready(10)
    grandchild = int((tmp_path / "ready").read_text())
    assert not gone(grandchild)
    end(child)
    assert gone(grandchild)


def test_freezing_is_of_the_whole_family(make: Make, tmp_path: Path) -> None:
    child = make(WITH_CHILD)
    child.start()
    child.wait_ready(10)
    family = (child.pid, int((tmp_path / "ready").read_text()))
    child.freeze()
    assert until(lambda: [state(pid) for pid in family] == ["T", "T"])
    child.thaw()
    assert until(lambda: "T" not in [state(pid) for pid in family])


def test_one_that_ends_by_itself_is_a_death(make: Make) -> None:
    child = make(f"open('ready', 'w').close(); {SLEEP}")
    child.start()
    child.wait_ready(10)
    assert child.death is None
    os.kill(child.pid, signal.SIGKILL)
    assert until(lambda: child.death is not None)
    assert child.death is not None
    assert (child.death.name, child.death.exit_code) == ("sample", -signal.SIGKILL)


def test_one_that_we_killed_is_no_death_and_starts_again(make: Make) -> None:
    child = make(f"open('ready', 'w').close(); {SLEEP}")
    child.start()
    child.wait_ready(10)
    child.kill()
    assert child.death is None
    child.start()
    child.wait_ready(10)
    assert child.running


def test_it_outlives_the_thread_that_started_it(make: Make) -> None:
    # PR_SET_PDEATHSIG is about threads: started by a thread of its own, every server was killed as soon as it was ready.
    child = make(f"open('ready', 'w').close(); {SLEEP}")

    def start() -> None:
        child.start()
        child.wait_ready(10)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert not until(lambda: not child.running, seconds=0.5)


PARENT = """
import sys, time
from pathlib import Path
from sync_engine.runtime.localstack.process import Child
child = Child("sample", [sys.executable, "-c", "import time; time.sleep(600)"], Path("log"), lambda: True)
child.start()
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel has no such signal")
def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=tmp_path, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    assert until(lambda: gone(pid))


def test_ctrl_c_in_the_terminal_is_not_for_it(make: Make) -> None:
    child = make(f"open('ready', 'w').close(); {SLEEP}")
    child.start()
    child.wait_ready(10)
    assert os.getsid(child.pid) != os.getsid(0)


def test_a_free_port_is_one_that_the_system_does_not_lend_to_others() -> None:
    port = free_port()
    assert port < 30_000
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
