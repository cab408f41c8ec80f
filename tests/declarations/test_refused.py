"""The reader of declarations refuses what refused.yaml lists, in those words, and reports everything at once."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync_engine import declared

HERE = Path(__file__).parent
CASES = {name: case for entry in yaml.safe_load((HERE / "refused.yaml").read_text("utf-8")) for name, case in entry.items()}


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A small network of its own, so that the shipped sample may grow without these cases; topics and wire schemas are the shipped ones."""
    shutil.copytree(HERE / "network", tmp_path, dirs_exist_ok=True)
    shutil.copytree(declared.shipped() / "topics", tmp_path / "topics")
    shutil.copytree(declared.shipped() / "schemas" / "wire", tmp_path / "schemas" / "wire")
    return tmp_path


def change(root: Path, case: dict[str, Any]) -> None:
    """Make the case's one change."""
    path = root / case["in"]
    if "write" in case:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(case["write"], "utf-8")
    elif "copy" in case:
        shutil.copy(root / case["copy"], path)
    elif "remove" in case:
        path.unlink()
    else:
        text = path.read_text("utf-8")
        assert text.count(case["old"]) == 1, "the case no longer fits its file"
        path.write_text(text.replace(case["old"], case["new"]), "utf-8")


def faults_of(root: Path) -> list[str]:
    """Every line that `read` refuses the directory with."""
    with pytest.raises(declared.DeclarationsInvalid) as refused:
        declared.read(root)
    return str(refused.value).splitlines()


def test_the_unchanged_network_is_valid(network: Path) -> None:
    assert set(declared.read(network).sources) == {"jinan/ps/resident", "jinan/hr/insured"}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_refuses(case: dict[str, Any], network: Path) -> None:
    change(network, case)

    found = faults_of(network)

    assert len(found) == len(case["faults"]), found
    for fault, expected in zip(found, case["faults"], strict=True):
        if expected.endswith("…"):
            assert fault.startswith(expected[:-1])
        else:
            assert fault == expected


def test_everything_wrong_is_reported_at_once(network: Path) -> None:
    together = ["an unknown department class", "a child outside its parent's area", "a missing topic family", "an unknown fallback class"]
    for name in together:
        change(network, CASES[name])

    assert faults_of(network) == sorted(fault for name in together for fault in CASES[name]["faults"])


def test_an_unreadable_file_does_not_drag_others_down(network: Path) -> None:
    (network / "schemas" / "entities" / "person.yaml").write_text("items: [", "utf-8")

    assert len(faults_of(network)) == 1


def test_nothing_is_read_from_an_empty_directory(tmp_path: Path) -> None:
    assert "connectors: missing folder; allowed: connectors, topics, schemas" in faults_of(tmp_path)
