"""Completion in a real bash: its own words, through the script that `completion bash` prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sync_engine import declared
from sync_engine.cli.root import cli

ROOT = Path(__file__).parents[2]
NODES = ["anhui", "feixi", "hefei", "huoshan", "jinan", "luan"]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with `sync-engine` as an installation has it."""
    program = tmp_path / "bin" / "sync-engine"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom sync_engine.cli import main\n\nmain()\n", "utf-8")
    program.chmod(0o755)
    return program.parent


def completed(programs: Path, line: str) -> list[str]:
    """What bash offers at the end of the line."""
    script = """
        eval "$(sync-engine completion bash)"
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _sync_engine_completion sync-engine
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    bash = shutil.which("bash")
    assert bash is not None
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "LC_ALL": "C"}
    words = [*line.split(" ")]
    done = subprocess.run(
        [bash, "--norc", "-c", script, "bash", *words], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return [word for word in done.stdout.splitlines() if word]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sync-engine sta", ["status"]),
        ("sync-engine check --dep", ["--department"]),
        ("sync-engine status --node ", NODES),
        ("sync-engine status --node ji", ["jinan"]),
        ("sync-engine plan --node l", ["luan"]),
        ("sync-engine source show jinan/p", ["jinan/public_security"]),
        ("sync-engine dead list --source anhui", ["anhui/education"]),
        ("sync-engine check --databases --department jinan/h", ["jinan/human_resources"]),
        ("sync-engine record get natural", ["natural_person"]),
        ("sync-engine dead list --reason unknown_co", ["unknown_column", "unknown_code"]),
        ("sync-engine status -o ", ["table", "wide", "json"]),
        ("sync-engine --lang ", ["zh", "en"]),
    ],
)
def test_bash_completes(line: str, expected: list[str], programs: Path) -> None:
    assert sorted(completed(programs, line)) == sorted(expected)


def test_the_names_are_those_of_the_declarations_that_are_given(programs: Path, tmp_path: Path) -> None:
    root = tmp_path / "declarations"
    for folder in declared.FOLDERS:
        shutil.copytree(declared.shipped() / folder, root / folder)
    network = root / "connectors" / "network.yaml"
    network.write_text(network.read_text("utf-8").replace("department_classes:", "  zongyang: {}\ndepartment_classes:", 1), "utf-8")

    assert completed(programs, f"sync-engine --declarations {root} status --node z") == ["zongyang"], "though it has faults"


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete -o nosort"), ("zsh", "#compdef sync-engine"), ("fish", "complete --no-files")]
)
def test_every_shell_has_its_script(shell: str, mark: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell], prog_name="sync-engine")

    assert result.exit_code == 0
    assert mark in result.stdout
