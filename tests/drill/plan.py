"""Which tests are drilled, in which sizes. Size and seed reach a test by the environment; its counts come back by `record_property`."""

from collections.abc import Mapping
from typing import NamedTuple


class Drill(NamedTuple):
    what: str
    tests: str
    small: Mapping[str, str]
    full: Mapping[str, str]
    seeds: tuple[int, ...]
    """Of the full size; the small one runs with the first."""
    middle: Mapping[str, str] = {}
    """A size that takes minutes, with any of the seeds; empty: there is none."""


SEED = "SYNC_CHAOS_SEED"
DRILLS = {
    "R1": Drill(
        "every process killed at random while the departments work",
        "tests/workload/test_restarts.py",
        {"SYNC_RESTARTS_KILLS": "3", "SYNC_RESTARTS_CHANGES": "500"},
        {"SYNC_RESTARTS_KILLS": "60", "SYNC_RESTARTS_CHANGES": "100000", "SYNC_RESTARTS_RATE": "100"},
        (1, 2, 3, 4, 5),
        {"SYNC_RESTARTS_KILLS": "12", "SYNC_RESTARTS_CHANGES": "20000", "SYNC_RESTARTS_RATE": "120"},
    ),
    "R4": Drill(
        "workers come and go",
        "tests/chaos/test_rebalances.py",
        {"SYNC_REBALANCES": "4"},
        {"SYNC_REBALANCES": "30"},
        (1, 2, 3),
    ),
    "R5": Drill(
        "the broker gone for long, the broker's disk full, the registry gone",
        "tests/chaos/test_servers.py",
        {"SYNC_AWAY_SECONDS": "10"},
        {"SYNC_AWAY_SECONDS": "600"},
        (1,),
    ),
    "R6": Drill(
        "poison among good records",
        "tests/chaos/test_poison.py",
        {"SYNC_POISON_BAD": "20", "SYNC_POISON_GOOD": "1000"},
        {"SYNC_POISON_BAD": "1000", "SYNC_POISON_GOOD": "50000"},
        (1, 2, 3),
    ),
    "R22": Drill(
        "a frozen owner wakes up after another took over",
        "tests/chaos/test_fencing.py",
        {"SYNC_FENCING_TRIALS": "4"},
        {"SYNC_FENCING_TRIALS": "200"},
        (1,),
    ),
    "storm": Drill(
        "kills and freezes of two workers by chance",
        "tests/chaos/test_storm.py",
        {"SYNC_CHAOS_SECONDS": "5"},
        {"SYNC_CHAOS_SECONDS": "600"},
        (1, 2, 3, 4, 5),
    ),
    "losses": Drill("the seven losses of bare Faust, and the engine", "tests/losses", {}, {}, (1, 2, 3, 4, 5)),
}
