"""What a lane owes its supervisor: to leave when nothing goes on any more."""

import subprocess
import sys

import pytest

from sync_engine.runtime.lane import EXIT_RESTART

PATIENCE_SECONDS = 60

STUCK = """
import asyncio, time
from sync_engine.runtime import lane
lane.GUARD_SECONDS = 0.05
class Loop:
    def start(self): pass
    def take(self): time.sleep(3600)
    def overdue(self): return {overdue!r}
async def main():
    stuck = lane.Lane("a stage", Loop, None)
    await stuck.start()
    await asyncio.sleep(1)
    print("still here", flush=True)
    lane.os._exit(0)
asyncio.run(main())
"""


@pytest.mark.parametrize(("overdue", "code"), [("send_offsets_to_transaction", EXIT_RESTART), (None, 0)])
def test_a_lane_whose_call_does_not_come_back_leaves(overdue: str | None, code: int) -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK.format(overdue=overdue)], capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    assert ended.returncode == code, ended.stderr
    assert ("send_offsets_to_transaction does not come back" in ended.stdout) == (overdue is not None)
