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


SEED = "SYNC_CHAOS_SEED"
DRILLS = {
    "R1": Drill(
        "every process killed, ended or frozen at random while the departments work",
        "tests/workload/test_restarts.py",
        {"SYNC_RESTARTS_KILLS": "12", "SYNC_RESTARTS_CHANGES": "20000", "SYNC_RESTARTS_RATE": "100"},
        {"SYNC_RESTARTS_KILLS": "60", "SYNC_RESTARTS_CHANGES": "100000", "SYNC_RESTARTS_RATE": "100"},
        (1, 2, 3, 4, 5),
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
