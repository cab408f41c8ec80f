"""A run counts as passed only if all its tests ran and passed; one drill's results leave the others' alone."""

import json
from pathlib import Path

import pytest

from tests.drill.results import Result, Run, run_of, save

PASSED = '<testcase name="a"><properties><property name="claims" value="3"/></properties></testcase>'
FAILED = '<testcase name="b"><failure message="one is lost">…</failure></testcase>'
SKIPPED = '<testcase name="c"><skipped message="no server"/></testcase>'


@pytest.mark.parametrize(
    ("cases", "exit_code", "lost", "failures"),
    [
        (PASSED + PASSED, 0, 0, []),
        (PASSED + FAILED, 1, None, ["one is lost"]),
        (PASSED + SKIPPED, 0, None, ["no server"]),
        ("", 5, None, ["pytest ended with exit code 5 after 0 tests"]),
        (PASSED, -9, None, ["pytest ended with exit code -9 after 1 tests"]),
        (None, 2, None, ["pytest ended with exit code 2 after 0 tests"]),
    ],
)
def test_a_run_of_a_report(tmp_path: Path, cases: str | None, exit_code: int, lost: int | None, failures: list[str]) -> None:
    report = tmp_path / "report.xml"
    if cases is not None:
        report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>", encoding="utf-8")

    run = run_of(report, 7, 1.0, exit_code)

    assert (run.seed, run.lost, run.wrong, run.failures) == (7, lost, lost, failures)
    assert run.counts == ({"claims": 3 * (cases or "").count("claims")} if cases else {})
    assert Result("what", "commit", {}, [run]).passed == (lost == 0)


def test_the_results_of_another_drill_stay(tmp_path: Path) -> None:
    file = tmp_path / "results" / "drill.json"
    for name in ("R22", "R1"):
        save(file, name, Result(name, "commit", {}, [Run(1, 1.0, 1, {}, 0, 0)]))
    assert {name: result["what"] for name, result in json.loads(file.read_text()).items()} == {"R1": "R1", "R22": "R22"}


def test_another_seed_of_the_same_commit_and_size_is_added(tmp_path: Path) -> None:
    file = tmp_path / "drill.json"
    for commit, seed, seconds in (("old", 3, 1.0), ("new", 2, 1.0), ("new", 1, 1.0), ("new", 2, 5.0)):
        save(file, "R1", Result("what", commit, {"changes": "1"}, [Run(seed, seconds, 1, {}, 0, 0)]))
    told = json.loads(file.read_text())["R1"]
    assert (told["commit"], [(run["seed"], run["seconds"]) for run in told["runs"]]) == ("new", [(1, 1.0), (2, 5.0)])
    save(file, "R1", Result("what", "new", {"changes": "2"}, [Run(4, 1.0, 1, {}, 0, 0)]))
    assert [run["seed"] for run in json.loads(file.read_text())["R1"]["runs"]] == [4]
