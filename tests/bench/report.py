"""Rounds into medians and ratios; the table on stdout and docs/results/bench.json."""

import importlib.metadata
import os
import platform
from pathlib import Path
from statistics import median

import msgspec

from tests.bench.check import Outcome
from tests.bench.job import Measured

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "bench.json"
AIMS = {"engine/faust_idiomatic": 30.0, "engine/plain_loop": 0.7}
PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "fastavro", "msgspec", "rocksdict")


class Settings(msgspec.Struct, frozen=True):
    """What a run was asked to do."""

    rounds: int
    changes: int
    changes_faust: int
    keys: int
    rows: int
    partitions: int
    batch_records: int
    seed: int
    claim_bytes_mean: float
    worker_core: int
    broker_core: int


class Round(msgspec.Struct, frozen=True):
    """One side in one round."""

    changes: int
    wall_seconds: float
    cpu_seconds: float
    changes_per_second: float
    cpu_us_per_change: float
    load_average: float
    outcome: Outcome


class Side(msgspec.Struct, frozen=True):
    """`spread` = (greatest - smallest) / median of the rounds' changes per second."""

    changes_per_second: float
    cpu_us_per_change: float
    spread: float
    digests_equal: bool
    rounds: list[Round]


class Results(msgspec.Struct, frozen=True):
    versions: dict[str, str]
    cpu_count: int
    settings: Settings
    sides: dict[str, Side]
    ratios: dict[str, float]
    """Of the medians of changes per second."""
    ratios_cpu: dict[str, float]
    """The same of CPU time, which other work on the machine disturbs less: how many times less the engine uses."""
    ratios_per_round: dict[str, list[float]]
    aims: dict[str, float]
    digests_equal: bool
    """Every side's contents are the oracle's."""
    records_equal: bool
    """Sides that did the same changes have written the same numbers of records."""


def round_of(measured: Measured, outcome: Outcome) -> Round:
    changes, wall, cpu = measured.changes, measured.wall_seconds, measured.cpu_seconds
    return Round(
        changes,
        round(wall, 3),
        round(cpu, 3),
        round(changes / wall, 1),
        round(cpu / changes * 1e6, 2),
        round(os.getloadavg()[0], 2),
        outcome,
    )


def side_of(rounds: list[Round]) -> Side:
    rates = [each.changes_per_second for each in rounds]
    return Side(
        round(median(rates), 1),
        round(median(each.cpu_us_per_change for each in rounds), 2),
        round((max(rates) - min(rates)) / median(rates), 3),
        all(each.outcome.wrong_keys == 0 for each in rounds),
        rounds,
    )


def results_of(settings: Settings, kafka_version: str, sides: dict[str, list[Round]]) -> Results:
    summed = {name: side_of(rounds) for name, rounds in sides.items()}
    engine = summed["engine"]
    others = [name for name in summed if name != "engine"]
    return Results(
        {"python": platform.python_version(), "kafka": kafka_version, **{name: importlib.metadata.version(name) for name in PACKAGES}},
        os.cpu_count() or 0,
        settings,
        summed,
        {f"engine/{name}": round(engine.changes_per_second / summed[name].changes_per_second, 2) for name in others},
        {f"engine/{name}": round(summed[name].cpu_us_per_change / engine.cpu_us_per_change, 2) for name in others},
        {
            f"engine/{name}": [
                round(ours.changes_per_second / theirs.changes_per_second, 2)
                for ours, theirs in zip(engine.rounds, summed[name].rounds, strict=True)
            ]
            for name in others
        },
        AIMS,
        all(side.digests_equal for side in summed.values()),
        _same_records(sides),
    )


def _same_records(sides: dict[str, list[Round]]) -> bool:
    written = {(each.changes, *msgspec.structs.astuple(each.outcome)) for rounds in sides.values() for each in rounds}
    return len({changes for changes, *_ in written}) == len(written)


def save(results: Results, path: Path = RESULTS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")


def show(results: Results) -> None:
    print()
    print(f"{'side':<18}{'changes/s':>12}{'spread':>9}{'CPU µs each':>13}{'golden/change':>15}{'contents':>12}")
    for name, side in results.sides.items():
        first = side.rounds[0]
        share = first.outcome.golden_records / first.changes
        equal = "as oracle" if side.digests_equal else "DIFFER"
        print(f"{name:<18}{side.changes_per_second:>12,.0f}{side.spread:>9.0%}{side.cpu_us_per_change:>13.1f}{share:>15.2f}{equal:>12}")
    print()
    for name, ratio in results.ratios.items():
        each = ", ".join(f"{one:.2f}" for one in results.ratios_per_round[name])
        verdict = f"aim {results.aims[name]:g}: {'reached' if ratio >= results.aims[name] else 'NOT reached'}"
        print(f"{name:<26}{ratio:>7.2f} x   by CPU {results.ratios_cpu[name]:.2f} x   rounds: {each}   {verdict}")
