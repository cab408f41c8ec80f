"""What there is, is documented: reasons, metrics, settings, topics, dependencies, commands, suites; generated parts have not drifted."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from prometheus_client.metrics import MetricWrapperBase

from sync_engine import declared, topology
from sync_engine.cli.exits import EXIT_CODES
from sync_engine.cli.root import cli
from sync_engine.model import names
from sync_engine.model.outcome import Reason
from sync_engine.runtime.exporter import Metrics
from sync_engine.settings import TABLE
from tests.declarations.documentation import DOCS, GENERATED, renewed

ROOT = DOCS.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def table(page: str) -> dict[str, list[str]]:
    """The rows of a page's tables by what their first cell holds in backquotes."""
    rows: dict[str, list[str]] = {}
    for line in (DOCS / page).read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            name = cells[0].strip("`")
            assert name not in rows, f"{name} stands twice in {page}"
            rows[name] = cells[1:]
    return rows


@pytest.mark.parametrize("page", GENERATED)
def test_the_generated_part_has_not_drifted(page: str) -> None:
    assert (DOCS / page).read_text("utf-8") == renewed(page), "run: python -m tests.declarations.documentation"


def test_every_reason_is_explained_in_both_languages_with_what_to_do() -> None:
    rows = table("dead-letters.md")

    assert set(rows) == {reason.value for reason in Reason}
    for reason, (english, chinese, advice) in rows.items():
        assert english.endswith(".") and advice.endswith("."), reason
        assert re.search(r"[\u4e00-\u9fff]", chinese) and chinese.endswith("。"), reason


def test_every_metric_stands_with_its_type_and_labels() -> None:
    found = {metric._name + ("_total" if metric._type == "counter" else ""): metric for metric in metrics()}
    rows = table("metrics.md")

    assert set(rows) == set(found)
    for name, (kind, labels, meaning) in rows.items():
        assert (kind, re.findall(r"`(\w+)`", labels)) == (found[name]._type, list(found[name]._labelnames)), name
        assert meaning


def metrics() -> Iterator[MetricWrapperBase]:
    """Every metric of a worker, with or without a sample."""
    return (one for one in Metrics("jinan").registry._collector_to_names if isinstance(one, MetricWrapperBase))


def test_every_setting_has_its_row() -> None:
    assert set(table("settings.md")) == {row.name for row in TABLE}


def test_every_topic_family_has_its_section() -> None:
    sections = re.findall(r"^## (\S+)$", (DOCS / "topics.md").read_text("utf-8"), re.MULTILINE)

    assert sorted(sections) == sections == sorted(names.FAMILIES) == sorted(declared.read().topics)


def test_every_dependency_has_its_reason_and_licence() -> None:
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    rows = table("dependencies.md")

    assert set(rows) == {re.split(r"[\[=<>~!]", one)[0] for one in wanted}
    assert all(licence and why for licence, why, _ in rows.values())


def commands(group: click.Group, line: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{line} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{line} {name}")


def sections() -> dict[str, str]:
    """Heading -> text, of the page of commands."""
    _, *found = re.split(r"^## (.+)$", (DOCS / "commands.md").read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2], strict=True))


@pytest.fixture(scope="module")
def tree() -> dict[str, click.Command]:
    return dict(commands(cli, "sync-engine"))


def test_every_command_has_its_section_with_exit_codes_and_an_example(tree: dict[str, click.Command]) -> None:
    found = sections()

    assert set(found) == set(tree)
    for line, text in found.items():
        assert isinstance(tree[line], click.Group) or re.search(r"Exit codes? \d", text), f"{line}: no exit codes"
        assert re.search(rf"^```\n(sync-engine .*)?{line.removeprefix('sync-engine ')}", text, re.MULTILINE), f"{line}: no example"


def test_every_option_that_a_command_has_is_named_in_its_section(tree: dict[str, click.Command]) -> None:
    missing = [
        f"{line} {option}"
        for line, command in tree.items()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts[-1:]
        if option not in sections()[line] and parameter.opts[0] not in sections()[line]
    ]

    assert missing == []


def test_the_exit_codes_are_those_of_the_code() -> None:
    listed = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", (DOCS / "commands.md").read_text("utf-8"), re.MULTILINE)

    assert listed == [(str(code), meaning.en, meaning.zh) for code, meaning in EXIT_CODES.items()]


def test_a_command_names_no_other_exit_code() -> None:
    for line, text in sections().items():
        for codes in re.findall(r"Exit codes? ((?:\d+(?: \([^)]*\))?(?:, )?)+)", text):
            assert {int(code) for code in re.findall(r"\d+(?! [a-z])", re.sub(r"\([^)]*\)", "", codes))} <= EXIT_CODES.keys(), line


def test_every_suite_and_marker_is_described() -> None:
    suites = {path.parent.relative_to(ROOT).parts[1] for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "tests"}
    page = (DOCS / "testing.md").read_text("utf-8")
    rows = table("testing.md")

    assert {f"tests/{suite}" for suite in suites} <= set(rows)
    assert all(proves and budget for proves, budget in rows.values())
    for marker in PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]:
        assert f"`{marker.partition(':')[0]}`" in page


def test_the_topology_names_every_stage_and_what_it_writes() -> None:
    assert topology.__doc__ is not None
    told = {line.split()[0] for line in topology.__doc__.splitlines() if line.startswith("    ")}
    stages = {path.parent.name for path in (ROOT / "sync_engine").glob("*/stage.py")} - {"model"}

    assert stages | {"observe"} <= told


def test_every_page_stands_in_the_list_of_pages() -> None:
    listed = (DOCS / "README.md").read_text("utf-8")

    assert [page.name for page in sorted(DOCS.glob("*.md")) if page.name != "README.md" and f"({page.name})" not in listed] == []


def test_every_link_between_pages_leads_somewhere() -> None:
    dead = [
        f"{page.name}: {link}"
        for page in (*DOCS.glob("*.md"), ROOT / "README.md")
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
        if not (page.parent / Path(link)).exists()
    ]

    assert dead == []


def test_every_test_that_a_guarantee_rests_on_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (DOCS / "guarantees.md").read_text("utf-8"))

    assert len(named) > 20
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text("utf-8")]
    assert missing == []
