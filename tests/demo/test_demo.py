"""`sync-engine demo` as its user sees it: one command shows a change go all the way, one Ctrl-C ends every process it started."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.stack

START_SECONDS = 180
COMMAND = [sys.executable, "-m", "sync_engine", "--lang", "en"]


@contextmanager
def _demo(home: Path) -> Iterator["subprocess.Popen[str]"]:
    log = home / "demo.log"
    with log.open("w") as output:
        demo = subprocess.Popen([*COMMAND, "demo", "--home", str(home / "demo")], stdout=output, stderr=subprocess.STDOUT, text=True)
    try:
        yield demo
    finally:
        if demo.poll() is None:
            demo.send_signal(signal.SIGINT)
            demo.wait(60)


def _wait_for(text: str, log: Path, demo: "subprocess.Popen[str]") -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and demo.poll() is None:
        if text in (said := log.read_text()):
            return said
        time.sleep(0.1)
    raise AssertionError(f"the demo did not say {text!r}:\n{log.read_text()}")


def _run(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def _left_behind(home: Path) -> list[str]:
    """Command lines of living processes that name this home."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(home) in line and int(process.name) != os.getpid():
            found.append(line)
    return found


def _two_loads_at_once(home: Path) -> tuple[str, Any]:
    """What the one that came second was told, and the report of the other."""
    load = [*COMMAND, "demo", "--home", str(home / "demo"), "load", "--seconds", "8", "-o", "json"]
    both = [subprocess.Popen(load, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=60) for one in both]
    (report,) = [json.loads(out) for one, (out, _) in zip(both, said, strict=True) if one.returncode == 0]
    (refused,) = [told for one, (_, told) in zip(both, said, strict=True) if one.returncode == 1]
    return refused, report


def test_a_change_goes_all_the_way_and_ctrl_c_ends_everything(home: Path) -> None:
    log = home / "demo.log"
    settings = ("--settings", str(home / "demo" / "settings.toml"))
    with _demo(home) as demo:
        said = _wait_for("first acknowledged change", log, demo)
        assert "signature ok" in said
        assert _run(home, "demo", "--home", str(home / "demo"), "change").returncode == 0
        key = _run(home, "demo", "people", "--count", "1").stdout.strip()
        for node in ("jinan", "luan", "anhui"):
            shown = _run(home, *settings, "record", "get", "natural_person", key, "--node", node)
            assert shown.returncode == 0 and "jinan/public_security" in shown.stdout, shown.stderr
        assert _run(home, *settings, "record", "get", "natural_person", "nobody").returncode == 3
        assert "jinan" in _run(home, *settings, "status").stdout
        refused, report = _two_loads_at_once(home)
        assert "a load is running already" in refused
        assert report["changes"] >= report["commits"] > 50
        assert sum(report["events"].values()) > 10
        assert report["pushes"] > 0 and report["p99_seconds"] >= report["p50_seconds"] > 0
        assert report["transactions_per_second"] > 0
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
    assert not _left_behind(home)


def test_a_demo_that_does_not_run_is_told(home: Path) -> None:
    told = _run(home, "demo", "--home", str(home / "demo"), "change")
    assert told.returncode == 3
    assert "no demo is running here" in told.stderr and "what to do" in told.stderr
