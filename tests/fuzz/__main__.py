"""`python -m tests.fuzz --runs 2000000 [target …]` (extra `fuzz`): atheris, each target in a process of its own, from its corpus.

A crash, a hang of more than a second, or more than 512 MB ends the run with the input in the working folder.
"""

import argparse
import multiprocessing
import sys
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def fuzz(target: str, runs: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["sync_engine", "tests.fuzz.targets"]):  # else it cannot see branches
        from tests.fuzz.targets import TARGETS

    found = Path(".fuzz", target)
    found.mkdir(parents=True, exist_ok=True)
    limits = [f"-runs={runs}", "-timeout=1", "-rss_limit_mb=512", "-max_len=4096", "-print_final_stats=1"]
    atheris.Setup([target, *limits, str(found), str(CORPUS / target)], TARGETS[target])
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("targets", nargs="*", default=sorted(folder.name for folder in CORPUS.iterdir()))
    asked = parser.parse_args()
    codes = {}
    for target in asked.targets:
        child = multiprocessing.get_context("fork").Process(target=fuzz, args=(target, asked.runs))
        child.start()
        child.join()
        codes[target] = child.exitcode
    print("\n".join(f"{target}: {'well' if code == 0 else f'failed ({code})'}" for target, code in codes.items()))
    return 1 if any(codes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
