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
AIMS = {"kafka_streams_eos": 2.0, "kafka_streams_alos": 1.5, "faust_idiomatic": 50.0, "quix": 5.0, "plain_loop": 0.9}
"""The engine over each, by wall time; in this order everywhere."""
ENGINE = "engine"
SIDES = (ENGINE, *AIMS)
PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "fastavro", "msgspec", "rocksdict")


class Amount(msgspec.Struct, frozen=True):
    """What a side gets: records that stand before the clock, and changes a round."""

    keys: int
    load: int
    """Claims that make them."""
    warm_up: int
    changes: int
    """Measured, behind the warm-up."""
    tail: int
    """Not measured either: so that no partition is at its end while the clock runs."""
    bytes_per_change: float
    """Key and value, of the rounds."""


class Settings(msgspec.Struct, frozen=True):
    """What a run was asked to do."""

    rounds: int
    amount: Amount
    amount_faust: Amount
    """Idiomatic Faust alone: it is slow."""
    partitions: int
    batch_records: int
    seed: int
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


class Side(msgspec.Struct, frozen=True):
    """`spread` = (greatest - smallest) / median of the rounds' changes per second; `cpu_spread` the same of CPU time."""

    changes_per_second: float
    cpu_us_per_change: float
    spread: float
    cpu_spread: float
    digests_equal: bool
    outcome: Outcome
    rounds: list[Round]


class Resolve(msgspec.Struct, frozen=True):
    sides: dict[str, Side]
    ratios: dict[str, float]
    """The engine's changes per second over theirs, medians."""
    ratios_cpu: dict[str, float]
    """The same of CPU time, which other work on the machine disturbs less: how many times less the engine uses."""
    ratios_per_round: dict[str, list[float]]
    aims: dict[str, float]
    reached: dict[str, bool]


class Results(msgspec.Struct, frozen=True):
    versions: dict[str, str]
    cpu_count: int
    settings: Settings
    resolve: Resolve
    digests_equal: bool
    """Every side's contents are the oracle's."""
    records_equal: bool
    """Sides that got the same changes have written the same numbers of records."""


def round_of(measured: Measured) -> Round:
    changes, wall, cpu = measured.changes, measured.wall_seconds, measured.cpu_seconds
    rate, each = round(changes / wall, 1), round(cpu / changes * 1e6, 2)
    return Round(changes, round(wall, 3), round(cpu, 3), rate, each, round(os.getloadavg()[0], 2))


def side_of(rounds: list[Round], outcome: Outcome) -> Side:
    rates = [each.changes_per_second for each in rounds]
    costs = [each.cpu_us_per_change for each in rounds]
    rate, cost = round(median(rates), 1), round(median(costs), 2)
    return Side(rate, cost, spread(rates), spread(costs), outcome.wrong_keys == 0, outcome, rounds)


def spread(values: list[float]) -> float:
    return round((max(values) - min(values)) / median(values), 3)


def resolve_of(sides: dict[str, Side]) -> Resolve:
    """Ratios to those of the others that ran, if the engine did."""
    engine = sides.get(ENGINE)
    others = {name: sides[name] for name in AIMS if engine and name in sides}
    ratios = {name: engine.changes_per_second / side.changes_per_second for name, side in others.items() if engine}
    per_round = {
        name: [
            round(ours.changes_per_second / theirs.changes_per_second, 2) for ours, theirs in zip(engine.rounds, side.rounds, strict=True)
        ]
        for name, side in others.items()
        if engine
    }
    return Resolve(
        {name: sides[name] for name in SIDES if name in sides},
        {name: round(ratio, 2) for name, ratio in ratios.items()},
        {name: round(side.cpu_us_per_change / engine.cpu_us_per_change, 2) for name, side in others.items() if engine},
        per_round,
        {name: AIMS[name] for name in others},
        {name: ratio >= AIMS[name] for name, ratio in ratios.items()},
    )


def results_of(settings: Settings, versions: dict[str, str], sides: dict[str, Side]) -> Results:
    ours = {"python": platform.python_version(), **versions, **{name: importlib.metadata.version(name) for name in PACKAGES}}
    equal = all(side.digests_equal for side in sides.values())
    return Results(ours, os.cpu_count() or 0, settings, resolve_of(sides), equal, same_records(sides))


def same_records(sides: dict[str, Side]) -> bool:
    """Idiomatic Faust has changes of its own."""
    written = {msgspec.structs.astuple(side.outcome)[2:5] for name, side in sides.items() if name != "faust_idiomatic"}
    return len(written) <= 1


def save(results: object, path: Path = RESULTS) -> None:
    """Its fields in place of those that stand in the file; what other parts of the bench have written there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
    path.write_bytes(msgspec.json.format(msgspec.json.encode({**before, **msgspec.to_builtins(results)}), indent=2) + b"\n")


def show(results: Results) -> None:
    asked, resolve = results.settings, results.resolve
    print()
    print(f"{asked.rounds} rounds of {asked.amount.changes:,} changes, {asked.amount.bytes_per_change:,.0f} bytes a change; ", end="")
    print(f"{asked.amount.keys:,} records on disk before the first ({asked.amount_faust.keys:,} of idiomatic Faust)")
    print(f"{'side':<20}{'changes/s':>11}{'spread':>8}{'CPU µs each':>13}{'spread':>8}{'golden bytes':>14}{'contents':>12}")
    for name, side in resolve.sides.items():
        equal = "as oracle" if side.digests_equal else "DIFFER"
        rate, cost = f"{side.changes_per_second:>11,.0f}{side.spread:>8.0%}", f"{side.cpu_us_per_change:>13.1f}{side.cpu_spread:>8.0%}"
        print(f"{name:<20}{rate}{cost}{side.outcome.golden_bytes_mean:>14,.0f}{equal:>12}")
    print()
    for name, ratio in resolve.ratios.items():
        each = ", ".join(f"{one:.2f}" for one in resolve.ratios_per_round[name])
        verdict = f"aim {resolve.aims[name]:g}: {'reached' if resolve.reached[name] else 'NOT reached'}"
        print(f"engine over {name:<20}{ratio:>7.2f} x   by CPU {resolve.ratios_cpu[name]:.2f} x   rounds: {each}   {verdict}")
