"""A whole worker of the node above a world, as `sync-engine run` makes it, but one that is found to be late within seconds.

python -m tests.chaos.node WORLD_NODE SETTINGS
"""

import ctypes
import signal
import sys
from pathlib import Path

from faust.worker import Worker as FaustWorker

from sync_engine import settings
from sync_engine.runtime import reads
from sync_engine.runtime.worker import Worker
from tests.chaos.catalogue import UP, declarations_of
from tests.chaos.lane import PR_SET_PDEATHSIG

STALLED_SECONDS = 3.0

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    reads.STALLED_SECONDS = STALLED_SECONDS
    node, file = sys.argv[1:]
    worker = Worker(declarations_of(node), settings.load(Path(file), {}), UP)
    FaustWorker(worker.app(), loglevel="INFO", redirect_stdouts=False, quiet=True).execute_from_commandline()
