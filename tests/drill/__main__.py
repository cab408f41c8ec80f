"""`make drill`: reliability tests in their full sizes, a run for each seed; writes docs/results/drill.json after every drill."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.drill.plan import DRILLS, SEED, Drill
from tests.drill.results import RESULTS, Result, Run, run_of, save


def main() -> int:
    asked = _arguments()
    results = {}
    for name in asked.drills or DRILLS:
        drill = DRILLS[name]
        size = dict(drill.small if asked.small else drill.middle if asked.middle else drill.full)
        seeds = asked.seed or (drill.seeds[:1] if asked.small else drill.seeds)
        runs = []
        for number, seed in enumerate(seeds, 1):
            print(f"--- {name}: {drill.what}; {size}, seed {seed}, run {number} of {len(seeds)}", flush=True)
            runs.append(_run(drill, size, seed))
        results[name] = Result(drill.what, _commit(), size, runs)
        save(asked.results, name, results[name])
    for name, result in results.items():
        for run in result.runs:
            print(f"{name:<8} seed {run.seed}: {run.tests} tests, {run.seconds:g} s, lost {run.lost}, wrong {run.wrong}, {run.counts}")
    return 0 if all(result.passed for result in results.values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("drills", nargs="*", metavar="DRILL", help=f"of {', '.join(DRILLS)}; all, if none is named")
    parser.add_argument("--seed", type=int, action="append", help="instead of the drill's own; may be given again")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--small", action="store_true", help="small sizes and one seed, for trying; needs --results")
    sizes.add_argument("--middle", action="store_true", help="the size that takes minutes, of drills that have one")
    parser.add_argument("--results", type=Path, default=None)
    asked = parser.parse_args()
    if unknown := [name for name in asked.drills if name not in DRILLS]:
        parser.error(f"no such drill: {', '.join(unknown)}")
    if asked.middle and (without := [name for name in asked.drills or DRILLS if not DRILLS[name].middle]):
        parser.error(f"no such size of {', '.join(without)}")
    if asked.small and asked.results is None:
        parser.error("small sizes are not for docs/results: say --results FILE")
    asked.results = asked.results or RESULTS
    return asked


def _run(drill: Drill, size: dict[str, str], seed: int) -> Run:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-s", "-v", f"--junit-xml={report}", "-o", "junit_family=xunit1", drill.tests]
        code = subprocess.run(command, env={**os.environ, **size, SEED: str(seed)}, check=False).returncode
        return run_of(report, seed, time.monotonic() - began, code)


def _commit() -> str:
    """As git names it; `-dirty` if the tree is not that commit's."""
    said = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
