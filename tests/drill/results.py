"""What came of a run of a drill, read from pytest's report, and the file of all results."""

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "drill.json"


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run with one seed. `lost` and `wrong` are 0 only if every test of it passed: they compare all that there is with the oracle.

    None: a test failed, so nobody knows; `failures` says what was found.
    """

    seed: int
    seconds: float
    tests: int
    counts: dict[str, int]
    lost: int | None
    wrong: int | None
    failures: list[str] = []


class Result(msgspec.Struct, frozen=True):
    """`size`: what its tests were told, beside the seed."""

    what: str
    commit: str
    size: dict[str, str]
    runs: list[Run]

    @property
    def passed(self) -> bool:
        return all(run.lost == run.wrong == 0 for run in self.runs)


def run_of(report: Path, seed: int, seconds: float, exit_code: int) -> Run:
    """A run without a report, or one in which nothing ran, did not pass either."""
    cases = list(ET.parse(report).iter("testcase")) if report.exists() else []
    wrongs = [wrong for case in cases for kind in ("failure", "error", "skipped") for wrong in case.iter(kind)]
    failures = [wrong.get("message", "")[:500] for wrong in wrongs]
    if not failures and (exit_code or not cases):
        failures = [f"pytest ended with exit code {exit_code} after {len(cases)} tests"]
    counts: dict[str, int] = {}
    for each in (each for case in cases for each in case.iter("property")):
        counts[each.attrib["name"]] = counts.get(each.attrib["name"], 0) + int(each.attrib["value"])
    found = None if failures else 0
    return Run(seed, round(seconds, 1), len(cases), counts, found, found, failures)


def save(path: Path, name: str, result: Result) -> None:
    """Beside the results of the other drills, and of the same one's other seeds if commit and size are the same: these stay as they are."""
    everything = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
    before = msgspec.convert(everything[name], Result) if name in everything else result
    others = [] if (before.commit, before.size) != (result.commit, result.size) else before.runs
    runs = {run.seed: run for run in (*others, *result.runs)}
    everything[name] = msgspec.to_builtins(Result(result.what, result.commit, result.size, [runs[seed] for seed in sorted(runs)]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(dict(sorted(everything.items()))), indent=2) + b"\n")
