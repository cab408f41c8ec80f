"""The command line on a running network: what it prints is what the workers say, and its exit codes are what scripts go by."""

import json
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
    assert f"{CITY}: 节点无应答" in status.stdout


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
