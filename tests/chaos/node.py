"""A whole worker of the node above a world, as `sync-engine run` makes it, but one that is found to be late within seconds.

python -m tests.chaos.node WORLD_NODE SETTINGS
"""

import ctypes
import signal
import sys
from dataclasses import replace
from pathlib import Path

from faust.worker import Worker as FaustWorker

from sync_engine import declared, settings
from sync_engine.model.declaration import Declarations
from sync_engine.runtime import reads
from sync_engine.runtime.worker import Worker
from tests.chaos.catalogue import UP, declarations_of
from tests.chaos.lane import PR_SET_PDEATHSIG

STALLED_SECONDS = 3.0


def declarations_around(node: str) -> Declarations:
    """The world's, with what only a whole worker needs."""
    return replace(declarations_of(node), topics=declared.read().topics, lag_objectives={"any": 60.0})


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    reads.STALLED_SECONDS = STALLED_SECONDS
    node, file = sys.argv[1:]
    worker = Worker(declarations_around(node), settings.load(Path(file), {}), UP)
    FaustWorker(worker.app(), loglevel="INFO", redirect_stdouts=False, quiet=True).execute_from_commandline()
