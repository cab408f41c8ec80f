"""`check` reports the faults of declarations and settings together, and where the two contradict each other."""

import shutil
from pathlib import Path

import pytest

from sync_engine import declared
from sync_engine.check import check

SETTINGS = """
[databases.jinan_public_security]
dbname = "hj"
user = "capture"
[databases.jinan_human_resources]
dbname = "si"
user = "capture"
"""


def faults(tmp_path: Path, text: str, node: str | None = None, declarations: Path | None = None) -> list[str]:
    file = tmp_path / "s.toml"
    file.write_text(text, "utf-8")
    return [str(fault).replace(f"{tmp_path}/", "") for fault in check(declarations, file, node, {})]


@pytest.mark.parametrize("node", [None, "jinan", "luan"])
def test_nothing_is_wrong(node: str | None, tmp_path: Path) -> None:
    assert faults(tmp_path, SETTINGS, node) == []


def test_a_section_that_no_declaration_names(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, SETTINGS + "[nodes.hefei]\ngeneration = 1\n")

    assert fault.startswith("s.toml: nodes.hefei: no declaration names it; allowed: anhui, ")


def test_what_a_node_needs_must_be_there(tmp_path: Path) -> None:
    assert faults(tmp_path, SETTINGS.partition("[databases.jinan_human")[0], "jinan") == [
        "connectors/sources/jinan/human_resources.yaml: database.settings: no settings section databases.jinan_human_resources; "
        "allowed: jinan_public_security"
    ]
    assert "connectors/subscribers/anhui/credit_platform.yaml: settings: no settings section subscribers.credit_platform" in faults(
        tmp_path, SETTINGS, "anhui"
    )


def test_an_unknown_node(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, SETTINGS, "nowhere")

    assert fault.startswith('node: unknown node "nowhere"; allowed: anhui, ')


def test_faults_of_both_are_reported_together(tmp_path: Path) -> None:
    root = tmp_path / "declarations"
    for folder in declared.FOLDERS:
        shutil.copytree(declared.shipped() / folder, root / folder)
    (root / "topics" / "cut.yaml").unlink()

    assert faults(tmp_path, "worker.batch_records = 0", None, root) == [
        "topics/cut.yaml: missing or unreadable",
        "s.toml: worker.batch_records: 0 is not within 1 to 10000",
    ]
