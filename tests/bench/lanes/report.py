"""Rounds of a lane into medians and a ratio; the table on stdout and the part `lanes` of docs/results/bench.json."""

from statistics import median

import msgspec

from tests.bench.lanes.job import LANES
from tests.bench.lanes.judge import Left
from tests.bench.report import RESULTS, Round, save, spread

SIDES = ("engine", "plain")
AIM = 0.7


class Side(msgspec.Struct, frozen=True):
    """As `tests.bench.report.Side`."""

    changes_per_second: float
    cpu_us_per_change: float
    spread: float
    cpu_spread: float
    left: Left
    rounds: list[Round]


class Lane(msgspec.Struct, frozen=True):
    bytes_per_change: float
    sides: dict[str, Side]
    ratio: float
    """The engine's changes per second over the plain loop's, medians."""
    ratio_cpu: float
    ratios_per_round: list[float]
    aim: float
    reached: bool
    equal: bool
    """Both sides have left the same."""


def lane_of(bytes_per_change: float, rounds: dict[str, list[Round]], left: dict[str, Left]) -> Lane:
    sides = {name: _side(rounds[name], left[name]) for name in SIDES}
    ours, theirs = (sides[name] for name in SIDES)
    ratio = ours.changes_per_second / theirs.changes_per_second
    each = [round(a.changes_per_second / b.changes_per_second, 2) for a, b in zip(ours.rounds, theirs.rounds, strict=True)]
    ratio_cpu = round(theirs.cpu_us_per_change / ours.cpu_us_per_change, 2)
    equal = (ours.left.records, ours.left.digest) == (theirs.left.records, theirs.left.digest)
    return Lane(round(bytes_per_change, 1), sides, round(ratio, 2), ratio_cpu, each, AIM, ratio >= AIM, equal)


def _side(rounds: list[Round], left: Left) -> Side:
    rates, costs = [each.changes_per_second for each in rounds], [each.cpu_us_per_change for each in rounds]
    return Side(round(median(rates), 1), round(median(costs), 2), spread(rates), spread(costs), left, rounds)


def save_lanes(found: dict[str, Lane]) -> None:
    """Of the lanes that ran; the others keep what they have."""
    before = msgspec.json.decode(RESULTS.read_bytes()).get("lanes", {}) if RESULTS.exists() else {}
    known = {**before, **msgspec.to_builtins(found)}
    save({"lanes": {lane: known[lane] for lane in LANES if lane in known}})


def show(found: dict[str, Lane]) -> None:
    print(f"\n{'lane':<12}{'engine/s':>10}{'plain/s':>10}{'ratio':>7}{'engine µs':>11}{'plain µs':>10}{'by CPU':>8}  rounds; left")
    for name, lane in found.items():
        ours, theirs = (lane.sides[side] for side in SIDES)
        rates = f"{ours.changes_per_second:>10,.0f}{theirs.changes_per_second:>10,.0f}{lane.ratio:>7.2f}"
        costs = f"{ours.cpu_us_per_change:>11.1f}{theirs.cpu_us_per_change:>10.1f}{lane.ratio_cpu:>8.2f}"
        rounds = ", ".join(f"{each:.2f}" for each in lane.ratios_per_round)
        left = f"{ours.left.records:,}/{theirs.left.records:,}, {ours.left.receipts:,}/{theirs.left.receipts:,}"
        print(f"{name:<12}{rates}{costs}  {rounds}; {left}{'' if lane.equal else ' DIFFER'}")
