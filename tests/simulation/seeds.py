"""The seeds that are kept, and the run over many."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.simulation.judge import simulate
from tests.simulation.network import Engine

KEPT = Path(__file__).parent / "seeds.txt"


def kept() -> list[int]:
    return [int(line) for line in KEPT.read_text().splitlines() if line and not line.startswith("#")]


def keep(seed: int) -> None:
    if seed not in kept():
        with KEPT.open("a") as file:
            file.write(f"{seed}\n")


def failing(seeds: Iterable[int], engine: Engine | None = None) -> Iterator[tuple[int, Exception]]:
    """Each seed that fails, and how: the judge's AssertionError, or an exception that the engine let out."""
    for seed in seeds:
        try:
            simulate(seed, engine)
        except Exception as failure:
            yield seed, failure
