"""A lane in a process of its own, for tests that freeze or kill it. It says on stdout how far it is and waits on stdin to go on.

python -m tests.contract.log_child BOOTSTRAP GROUP TRANSACTIONAL_ID SOURCE TARGET SESSION_MS
"""

import sys
from collections.abc import Mapping
from functools import partial

from sync_engine.model.outcome import Emit
from sync_engine.runtime.kafka import KafkaLog
from sync_engine.runtime.log import BatchAborted, MustRestart
from tests.contract.log_worlds import PATIENCE_SECONDS, Lane, lost_its_place, take, until


class StepByStep(KafkaLog):
    """Stops before its transaction ends: everything has reached the broker, the offsets too, but the commit."""

    def _end_transaction(self) -> None:
        assert self._producer.flush(PATIENCE_SECONDS) == 0
        step("produced")
        super()._end_transaction()


def step(say: str) -> None:
    print(say, flush=True)
    command = sys.stdin.readline().strip()
    if command == "when you know":
        until(partial(lost_its_place, log), "the end of its membership")
    elif command != "go on":
        sys.exit(f"told to {command!r}")


def result(offsets: Mapping[tuple[str, int], int]) -> str:
    try:
        log.commit([Emit(target, b"k", b"666", 0)], offsets)
    except BatchAborted:
        return "aborted"
    except MustRestart:
        return "must restart"
    return "committed"


if __name__ == "__main__":
    bootstrap, group, transactional_id, source, target, session_ms = sys.argv[1:]
    log = StepByStep(bootstrap, group, transactional_id, session_timeout_ms=int(session_ms), transaction_timeout_ms=int(session_ms))
    lane = Lane(log, [source])
    records = take(log, 1)
    step("took")
    print(result({(source, 0): records[-1].offset + 1}), flush=True)
    print(f"committed offset {log.committed([(source, 0)])[source, 0]}", flush=True)
