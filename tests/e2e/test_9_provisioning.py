"""`plan` and `apply` on a network that runs: what was changed by hand is put right, and a source is captured anew, while all goes on."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync_engine.ingest.capture import read_position
from sync_engine.model import names
from sync_engine.model.claim import STREAM
from sync_engine.provision.plan import EPOCH
from sync_engine.runtime.connect import ConnectClient
from sync_engine.runtime.topics import alter_topics
from tests.e2e.network import DECLARATIONS, INSURANCE, POLICE, SCHOOLS, Network
from tests.e2e.oracle_check import assert_all_hold_what_is_owed

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def epoch(network: Network) -> int:
    """What the tests before have left the schools' capture at."""

    async def ask() -> str:
        async with ConnectClient(network.settings.connect.url) as connect:
            return (await connect.config(network.declarations.departments[SCHOOLS].connector))[EPOCH]

    return int(asyncio.run(ask()))


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory, epoch: int) -> Path:
    folder = tmp_path_factory.mktemp("declarations")
    for part in ("connectors", "topics", "schemas"):
        shutil.copytree(DECLARATIONS / part, folder / part)
    set_epoch(folder, epoch)
    return folder


def set_epoch(folder: Path, epoch: int) -> None:
    file = folder / "connectors" / "sources" / f"{SCHOOLS}.yaml"
    text = file.read_text()
    before = yaml.safe_load(text)["epoch"]
    file.write_text(text.replace(f"epoch: {before}", f"epoch: {epoch}"))


def told(network: Network, declared: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = network.command(*arguments)
    command[command.index("--declarations") + 1] = str(declared)
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def planned(network: Network, declared: Path) -> list[tuple[str, str]]:
    done = told(network, declared, "plan", "-o", "json")
    assert done.returncode == 0, done.stderr
    return [(action["name"], action["does"]) for action in json.loads(done.stdout)]


def test_what_was_changed_by_hand_is_put_right(network: Network, declared: Path) -> None:
    assert planned(network, declared) == []
    topic = names.cut("jinan")
    alter_topics(network.stack.endpoints.kafka, {topic: {"retention.ms": "1000000"}})
    assert planned(network, declared) == [(topic, "change")]

    applied = told(network, declared, "apply")

    assert applied.returncode == 0, applied.stderr
    assert planned(network, declared) == []
    assert told(network, declared, "apply").returncode == 0


def test_a_raised_epoch_reads_the_source_anew(network: Network, declared: Path, epoch: int) -> None:
    connector = network.declarations.departments[SCHOOLS].connector
    set_epoch(declared, epoch + 1)
    assert planned(network, declared) == [(connector, "capture_anew")]
    network.execute(SCHOOLS, "UPDATE edu.graduate SET level = 'MASTER' WHERE certificate_no = 'AH00000100'")

    assert told(network, declared, "apply").returncode == 130, "it asks first, and nobody answers"
    applied = told(network, declared, "apply", "--yes")

    assert applied.returncode == 0, applied.stderr
    network.execute(SCHOOLS, "UPDATE edu.graduate SET level = 'BACHELOR' WHERE certificate_no = 'AH00000101'")
    assert_all_hold_what_is_owed(network, 120)
    assert planned(network, declared) == []


def test_a_lower_epoch_is_refused(network: Network, declared: Path, epoch: int) -> None:
    set_epoch(declared, 1)
    for command in ("plan", "apply"):
        done = told(network, declared, command)
        assert done.returncode == 1
        assert "✗ refused" in done.stdout
    set_epoch(declared, epoch + 1)


def test_sources_are_listed_shown_validated_and_restarted(network: Network, declared: Path, epoch: int) -> None:
    def source(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return told(network, declared, "source", *arguments)

    listed = source("list", "-o", "json")
    assert listed.returncode == 0, listed.stdout
    assert {each["source"]: each["epoch"] for each in json.loads(listed.stdout)} == {
        **dict.fromkeys(network.declarations.departments, 1),
        SCHOOLS: epoch + 1,
    }
    shown = json.loads(source("show", POLICE, "-o", "json").stdout)
    assert (shown["state"], [task["state"] for task in shown["tasks"]]) == ("RUNNING", ["RUNNING"])
    assert shown["offsets"]
    assert source("validate", POLICE).returncode == 0
    assert source("restart", POLICE).returncode == 0


def test_a_paused_source_is_dark_and_goes_on_where_it_stood(network: Network, declared: Path) -> None:
    assert told(network, declared, "source", "pause", INSURANCE).returncode == 0
    network.execute(INSURANCE, "UPDATE si.ac01 SET aab004 = '第一小学' WHERE aac001 BETWEEN 150 AND 160")
    assert told(network, declared, "source", "list").returncode == 10
    network.wait("it is dark", lambda: network.lags("jinan")[INSURANCE]["state"] == "dark", 30)

    assert told(network, declared, "source", "resume", INSURANCE).returncode == 0

    assert_all_hold_what_is_owed(network)


def test_a_source_that_is_read_again_by_signal_changes_nothing(network: Network, declared: Path) -> None:
    """Every row comes again in stream order; golden and its versions stand as they are."""
    table = "hj.t_czrk"
    assert_all_hold_what_is_owed(network)
    captured = network.reader(names.cdc(network.declarations.departments[POLICE], table)).skip()
    before = dict(network.golden("jinan"))
    ((rows,),) = network.fetch(POLICE, "SELECT count(*) FROM hj.t_czrk")

    refused = told(network, declared, "source", "snapshot", POLICE, "--tables", f"{table},hj.nothing")
    assert (refused.returncode, "hj.nothing" in refused.stderr) == (2, True)
    asked = told(network, declared, "source", "snapshot", POLICE)
    assert asked.returncode == 0, asked.stderr

    reads: list[dict[str, Any]] = []

    def all_came() -> bool:
        changes = [network.codec.decode(record.value)[1] for record in captured.more() if record.value is not None]
        reads.extend(change for change in changes if change["op"] == "r")
        return len(reads) >= rows

    network.wait("every row came again", all_came, 60)
    assert len({read["after"]["rybh"] for read in reads}) == rows
    assert {read_position(read["source"], 1, 0)[1] for read in reads} == {STREAM}
    assert_all_hold_what_is_owed(network)
    assert network.golden("jinan") == before, "no value and no version moved"
