"""One lane: a stage's loop in a thread of its own, behind a Faust agent that reads a channel of batches.

Faust gives the application its life cycle, supervision and timers; it never touches a record. The surprise: the next batch is fetched
only when the agent has committed the one before, so that a rebalance never meets a batch in hand; librdkafka fetches ahead meanwhile.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

import structlog
from mode import Service

from sync_engine.model.record import Record
from sync_engine.runtime.log import MustRestart, WorldFailure
from sync_engine.runtime.loop import BatchLoop

EXIT_RESTART = 75
"""EX_TEMPFAIL: the supervisor is to start the process again, which then restores from the log."""
BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 0.2, 10.0
GUARD_SECONDS = 2.0

T = TypeVar("T")
logger = structlog.get_logger()


class Lane(Service):
    """Feeds one loop's batches to its agent. `make` builds the loop, in the lane's thread, and may raise WorldFailure."""

    def __init__(self, name: str, make: Callable[[], BatchLoop], channel: Any) -> None:
        super().__init__()
        self.name = name
        self._make = make
        self._channel = channel
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._committed = asyncio.Event()
        self.loop_of_stage: BatchLoop | None = None
        self._wait_seconds = BACKOFF_SECONDS
        self.progressed_at: float = 0.0
        """Loop time of the last turn without a failure: readiness looks at it."""

    @property
    def label(self) -> str:
        return f"Lane: {self.name}"

    @property
    def shortlabel(self) -> str:
        return self.label

    @Service.task
    async def _fetch(self) -> None:
        self.loop_of_stage = loop = await self._weathering(self._start)
        while not self.should_stop:
            records = await self._weathering(loop.take)
            if records:
                self._committed.clear()
                await self._channel.put(records)
                await self._committed.wait()
            else:
                await self.commit(())

    async def commit(self, records: Sequence[Record]) -> None:
        """Decide the batch and commit it; called by the agent, and with nothing taken for work that is due.

        One try: a batch that meets bad weather is given back to the log and comes again. It must not be repeated here, since a member that
        was thrown out of its group joins again only inside `take`.
        """
        loop = self.loop_of_stage
        assert loop is not None
        try:
            await self._in_thread(lambda: loop.process(records))
            self.progressed_at = asyncio.get_running_loop().time()
            self._wait_seconds = BACKOFF_SECONDS
        except WorldFailure as failure:
            logger.warning("waiting", stage=self.name, why=str(failure), seconds=self._wait_seconds)
            await asyncio.sleep(self._wait_seconds)
            self._wait_seconds = min(self._wait_seconds * 2, BACKOFF_SECONDS_MAX)
        finally:
            self._committed.set()

    def _start(self) -> BatchLoop:
        loop = self._make()
        loop.start()
        return loop

    async def _weathering(self, call: Callable[[], T]) -> T:
        """Call it in the lane's thread until the world lets it; never gives up, never spins."""
        wait = BACKOFF_SECONDS
        while True:
            try:
                return await self._in_thread(call)
            except WorldFailure as failure:
                logger.warning("waiting", stage=self.name, why=str(failure), seconds=wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, BACKOFF_SECONDS_MAX)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except WorldFailure:
            raise
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # Fenced, fatal, unknown commit, or a bug in the loop itself: nothing here may go on. What was committed is in the log.
            self._leave(str(error) if isinstance(error, MustRestart) else type(error).__name__, not isinstance(error, MustRestart))

    @Service.task
    async def _guard(self) -> None:
        while not self.should_stop:
            await self.sleep(GUARD_SECONDS)
            if self.loop_of_stage is not None and (call := self.loop_of_stage.overdue()) is not None:
                self._leave(f"{call} does not come back")

    def _leave(self, why: str, with_trace: bool = False) -> NoReturn:
        logger.critical("leaving", stage=self.name, why=why, exc_info=with_trace)
        os._exit(EXIT_RESTART)

    async def on_stop(self) -> None:
        if self.loop_of_stage is not None:
            await self._in_thread(self.loop_of_stage.close)
        self._thread.shutdown(wait=False)
