"""The command line on a running network: what it prints is what the workers say, and its exit codes are what scripts go by."""

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.network import CITY, COUNTY, DECLARATIONS, POLICE, PROVINCE, Network

pytestmark = pytest.mark.stack

UNKNOWN = "34150219900101001X"


def sync_engine(network: Network, *arguments: str, declarations: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = network.command(*arguments)
    if declarations is not None:
        command[command.index("--declarations") + 1] = str(declarations)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_status_is_0_when_all_is_well_and_10_when_a_node_does_not_answer(network: Network) -> None:
    network.wait("all is well", lambda: sync_engine(network, "status").returncode == 0, 60, 1.0)
    told = json.loads(sync_engine(network, "status", "-o", "json").stdout)
    assert told["healthy"]
    assert {node["node"] for node in told["nodes"]} == set(network.nodes)
    network.hold(CITY).signal(signal.SIGSTOP)
    try:
        status = sync_engine(network, "status")
    finally:
        network.release(CITY)
    assert status.returncode == 10
    assert f"{CITY}: the node's worker does not answer" in status.stdout


def test_a_record_is_shown_and_explained(network: Network) -> None:
    key, name = network.fetch(POLICE, "SELECT gmsfhm, xm FROM hj.t_czrk WHERE rybh = 195")[0]
    shown = sync_engine(network, "record", "get", "natural_person", key, "--node", COUNTY)
    assert shown.returncode == 0
    assert name in shown.stdout
    told: dict[str, Any] = json.loads(sync_engine(network, "record", "get", "natural_person", key, "--node", PROVINCE, "-o", "json").stdout)
    golden = network.golden(PROVINCE)["natural_person", key]
    assert (told["node"], told["version"], told["digest"]) == (PROVINCE, golden.version, golden.digest.hex())
    explained = sync_engine(network, "record", "explain", "natural_person", key)
    assert explained.returncode == 0
    assert f"{POLICE}/resident" in explained.stdout
    assert "NP-A1" in explained.stdout
    fifteen = key[:6] + key[8:17]
    one = sync_engine(network, "record", "explain", "natural_person", fifteen, "--item", "mobile", "-o", "json")
    assert [each["rule"] for each in json.loads(one.stdout)["items"]] == ["NP-A3"]
    other = sync_engine(network, "record", "explain", "natural_person", key, "--item", "colour")
    assert other.returncode == 2
    assert "mobile" in other.stderr


def test_a_record_that_is_not_there_is_3(network: Network) -> None:
    for arguments in (("natural_person", UNKNOWN), ("no_such_entity", UNKNOWN)):
        for command in ("get", "explain"):
            missing = sync_engine(network, "record", command, *arguments)
            assert (missing.returncode, missing.stdout) == (3, "")
            assert "what to do" in missing.stderr


def test_check_is_2_and_lists_every_fault(network: Network, tmp_path: Path) -> None:
    assert sync_engine(network, "check", "--node", PROVINCE).returncode == 0
    for folder in ("connectors", "topics", "schemas"):
        shutil.copytree(DECLARATIONS / folder, tmp_path / folder)
    breaks = {
        "connectors/network.yaml": ("tier: city", "tiers: city"),
        "connectors/sources/jinan/human_resources.yaml": ("column: aac003", "collumn: aac003"),
        "schemas/entities/natural_person.yaml": ("fallback: [human_resources]", "fallback: [human_resource]"),
        "topics/claim.yaml": ("partitions: 2", "partitions: two"),
    }
    for name, (right, wrong) in breaks.items():
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert right in text
        (tmp_path / name).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    checked = sync_engine(network, "check", declarations=tmp_path)
    assert checked.returncode == 2
    assert [name for name in breaks if name not in checked.stderr] == []
    assert sync_engine(network, "run", "--node", CITY, declarations=tmp_path).returncode == 2


def in_chinese(network: Network, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = network.command(*arguments)
    command[command.index("--lang") + 1] = "zh"
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_status_is_in_one_language(network: Network) -> None:
    network.wait("all is well", lambda: sync_engine(network, "status").returncode == 0, 60, 1.0)
    english, chinese = sync_engine(network, "status").stdout, in_chinese(network, "status").stdout
    assert ("all is well" in english, "caught up" in english, "正常" in english) == (True, True, False)
    assert ("一切正常" in chinese, "正常" in chinese, "caught up" in chinese) == (True, True, False)


def test_watched_as_json_status_is_one_document_a_line(network: Network) -> None:
    watching = subprocess.Popen(network.command("status", "--watch", "-o", "json"), stdout=subprocess.PIPE, text=True)
    try:
        assert watching.stdout is not None
        for _ in range(2):
            assert json.loads(watching.stdout.readline()).keys() == {"healthy", "nodes"}
    finally:
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130


def test_a_missing_record_is_told_as_json(network: Network) -> None:
    missing = sync_engine(network, "record", "get", "natural_person", UNKNOWN, "-o", "json")
    assert (missing.returncode, missing.stdout) == (3, "")
    assert json.loads(missing.stderr).keys() == {"error", "why", "do", "exit_code"}


def test_the_databases_are_asked(network: Network) -> None:
    asked = sync_engine(network, "check", "--databases", "-o", "json")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert sorted(json.loads(asked.stdout)["databases"]) == sorted(network.declarations.departments)

    network.execute(POLICE, "ALTER TABLE hj.t_czrk REPLICA IDENTITY DEFAULT")
    network.execute(POLICE, "REVOKE INSERT ON hj.sync_heartbeat FROM capture")
    try:
        refused = sync_engine(network, "check", "--databases", "--department", POLICE, "-o", "json")
        chinese = in_chinese(network, "check", "--databases")
    finally:
        network.execute(POLICE, "ALTER TABLE hj.t_czrk REPLICA IDENTITY FULL")
        network.execute(POLICE, "GRANT INSERT ON hj.sync_heartbeat TO capture")

    assert refused.returncode == 2
    told = json.loads(refused.stderr)
    assert [fault["path"] for fault in told["faults"]] == ["hj.sync_heartbeat: privileges", "hj.t_czrk: replica identity"]
    assert "REPLICA IDENTITY FULL" in told["faults"][1]["message"]
    assert chinese.returncode == 2
    assert "hj.t_czrk: replica identity: 不符合；" in chinese.stderr


def test_a_login_that_is_refused_is_a_fault_and_a_silent_database_is_75(network: Network) -> None:
    text = network.settings_file.read_text(encoding="utf-8")
    for right, wrong, code, word in (
        ('user = "capture"', 'user = "nobody_here"', 2, "refuses the login"),
        ("port = [0-9]+", "port = 9", 75, "does not answer"),
    ):
        file = network.settings_file.with_name("wrong.toml")  # what its secrets are relative to
        file.write_text(re.sub(right, wrong, text), encoding="utf-8")
        command = network.command("check", "--databases")
        command[command.index("--settings") + 1] = str(file)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.count(word) == len(network.declarations.departments)
