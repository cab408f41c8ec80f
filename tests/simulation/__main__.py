"""Looks long: `python -m tests.simulation --seeds 50000 --from 0`. Exit code 1 if a seed fails; it is kept in seeds.txt, and said again by
`--from <seed> --seeds 1`."""

import argparse
import sys
import time

from tests.simulation.seeds import failing, keep

PROGRESS = 500


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--from", type=int, default=0, dest="first")
    asked = parser.parse_args()
    began, failed = time.monotonic(), 0
    end = asked.first + asked.seeds
    for first in range(asked.first, end, PROGRESS):
        last = min(first + PROGRESS, end)
        for seed, failure in failing(range(first, last)):
            failed += 1
            keep(seed)
            print(f"seed {seed}: {type(failure).__name__}: {failure}", flush=True)
        rate = (last - asked.first) / (time.monotonic() - began)
        print(f"{last - asked.first} of {asked.seeds} seeds, {failed} failed, {rate:.0f} a second", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
