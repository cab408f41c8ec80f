"""JSON for machines, errors in one form, exit codes: light, with real files and no server."""

import json
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sync_engine import declared
from sync_engine.cli.root import cli
from tests.commands import texts

LONG_RUNNING = {("run",), ("demo",), ("completion",)}
"""They print no result: a worker's log, progress, a script."""


def run(*line: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ("--lang", "en", *line), prog_name="sync-engine")
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """An installation whose servers do not answer: port 9 of this machine."""
    file = tmp_path / "settings.toml"
    file.write_text(
        'kafka.bootstrap = "127.0.0.1:9"\nregistry.url = "http://127.0.0.1:9/"\nconnect.url = "http://127.0.0.1:9/"\n'
        f'state.dir = "{tmp_path / "state"}"\n'
        '[databases.jinan_public_security]\nport = 9\ndbname = "hj"\nuser = "capture"\n',
        "utf-8",
    )
    return file


def test_every_command_that_prints_a_result_has_o_json() -> None:
    without = {
        path
        for path, command in zip(texts.paths(), texts.commands(), strict=True)
        if not any(parameter.name == "output" for parameter in command.params)
        and (not isinstance(command, click.Group) or command.invoke_without_command)
    }

    assert without == LONG_RUNNING


def test_check_as_json() -> None:
    code, out, err = run("check", "-o", "json")

    assert (code, json.loads(out), err) == (0, {"valid": True, "databases": []}, "")


def test_faults_as_json_are_one_object_on_stderr(tmp_path: Path) -> None:
    for folder in declared.FOLDERS:
        shutil.copytree(declared.shipped() / folder, tmp_path / folder)
    (tmp_path / "topics" / "cut.yaml").unlink()
    network = tmp_path / "connectors" / "network.yaml"
    network.write_text(network.read_text("utf-8").replace("tier: city", "tier: town", 1), "utf-8")

    code, out, err = run("--declarations", str(tmp_path), "check", "--output=json")

    told: dict[str, Any] = json.loads(err)
    assert (code, out, told["exit_code"]) == (2, "", 2)
    assert [*told] == ["error", "why", "do", "exit_code", "faults"]
    assert {"file": "topics/cut.yaml", "path": "", "message": "missing or unreadable", "allowed": []} in told["faults"]
    assert len(told["faults"]) == 2


@pytest.mark.parametrize(
    "line",
    [
        ("no_such_command", "-o", "json"),
        ("status", "--no-such-option", "-ojson"),
        ("record", "get", "--output", "json"),
        ("dead", "list", "-o", "json"),
        ("dead", "retry", "--node", "jinan", "-o", "json"),
        ("check", "--department", "jinan/public_security", "-o", "json"),
        ("demo", "break", "nothing", "-o", "json"),
    ],
    ids=" ".join,
)
def test_a_line_that_is_not_understood_is_told_as_json(line: tuple[str, ...], settings: Path) -> None:
    code, out, err = run("--settings", str(settings), *line)

    assert (code, out) == (2, "")
    assert json.loads(err).keys() == {"error", "why", "do", "exit_code"}


def test_for_people_an_error_says_what_why_and_what_to_do(settings: Path) -> None:
    code, out, err = run("--settings", str(settings), "source", "show", "jinan/nobody")

    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "there is no source jinan/nobody",
        "  why: no declaration names it",
        f"  what to do: one of {', '.join(sorted(declared.read().departments))}",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (("check",), 0),
        (("status",), 75),
        (("record", "get", "natural_person", "1"), 75),
        (("source", "list", "--node", "nowhere"), 2),
        (("plan", "--node", "nowhere"), 2),
        (("plan", "--node", "anhui"), 2),
        (("dead", "list", "--node", "nowhere"), 2),
        (("check", "--databases"), 75),
        (("check", "--databases", "--department", "jinan/public_security"), 75),
        (("check", "--databases", "--department", "jinan/human_resources"), 2),
        (("check", "--databases", "--department", "nowhere/nobody"), 2),
        (("demo", "--home", "nowhere", "heal"), 3),
        (("demo", "people", "--count", "1"), 0),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else str(part),
)
def test_exit_codes(line: tuple[str, ...], expected: int, settings: Path) -> None:
    code, _, err = run("--settings", str(settings), *line, "-o", "json")

    assert code == expected, err
    assert not err or json.loads(err)["exit_code"] == expected


def test_a_silent_database_is_named_with_its_setting(settings: Path) -> None:
    _, _, err = run("--settings", str(settings), "check", "--databases")

    first, second, *_ = err.splitlines()
    assert first.startswith("settings: databases.jinan_public_security: the database does not answer: ")
    assert second == "1 database(s) could not be asked"


def test_people_as_json_is_a_list() -> None:
    code, out, _ = run("demo", "people", "--count", "2", "-o", "json")

    assert code == 0
    assert len(json.loads(out)) == 2


def test_help_lists_the_exit_codes() -> None:
    assert "75" in run("--help")[1]
