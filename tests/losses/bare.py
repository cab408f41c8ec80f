"""A small Faust application in a process of its own, as the framework's guide has it: numbers come in, each is to have its effect.

python -m tests.losses.bare ORDERS   (JSON of the class below; "go-on" comes on stdin)

The effect is a record in the topic of effects, for M8 one in the table's changelog. What an application did, it says on stdout.
"""

import asyncio
import ctypes
import signal
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import faust
import msgspec
from faust.worker import Worker

PR_SET_PDEATHSIG = 1
BATCH = 10
REQUEST_TIMEOUT_SECONDS = 5.0
TABLE = "numbers"


class Orders(msgspec.Struct):
    case: str
    bootstrap: str
    app: str
    incoming: str
    effects: str
    folder: str


class Number(faust.Record):
    number: int


SETTINGS: dict[str, dict[str, Any]] = {
    "M2": {"stream_wait_empty": False},
    "M7": {"producer_request_timeout": REQUEST_TIMEOUT_SECONDS},
    "M8": {"producer_request_timeout": REQUEST_TIMEOUT_SECONDS},
}
"""What is not Faust's default. The other four losses need no setting."""


def new_app(orders: Orders) -> faust.App:
    app = faust.App(
        orders.app,
        broker=f"kafka://{orders.bootstrap}",
        store="memory://",
        datadir=orders.folder,
        topic_partitions=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=0.5,
        web_enabled=False,
        **SETTINGS.get(orders.case, {}),
    )
    agent = {"M1": raises, "M2": sleeps, "M3": hurries, "M4": takes, "M7": sends, "M8": keeps, "M9": passes}[orders.case]
    agent(app, app.topic(orders.incoming, value_type=Number, value_serializer="json"), app.topic(orders.effects))
    return app


# --- the agents ---


def raises(app: faust.App, incoming: Any, effects: Any) -> None:
    @app.agent(incoming)
    async def apply(numbers: AsyncIterator[Number]) -> None:
        async for each in numbers:
            if each.number == 7:
                raise ValueError("a bug, or a database that is away")
            await (await effects.send(value=each.number))


def sleeps(app: faust.App, incoming: Any, effects: Any) -> None:
    @app.agent(incoming)
    async def apply(numbers: AsyncIterator[Number]) -> None:
        async for each in numbers:
            if each.number == 2:
                say("working")
                await asyncio.sleep(3_600)
            await (await effects.send(value=each.number))


def hurries(app: faust.App, incoming: Any, effects: Any) -> None:
    @app.agent(incoming, concurrency=4)
    async def apply(numbers: AsyncIterator[Number]) -> None:
        async for each in numbers:
            if each.number == 0:
                say("working")
                await asyncio.sleep(3_600)
            await (await effects.send(value=each.number))


def takes(app: faust.App, incoming: Any, effects: Any) -> None:
    @app.agent(incoming)
    async def apply(numbers: Any) -> None:
        async for some in numbers.take(BATCH, within=1):
            if some[0].number == 0:
                raise ValueError("the first batch")
            for each in some:
                await (await effects.send(value=each.number))


def sends(app: faust.App, incoming: Any, effects: Any) -> None:
    @app.agent(incoming)
    async def apply(numbers: AsyncIterator[Number]) -> None:
        async for each in numbers:
            if each.number == 1:
                await told()
            await effects.send(value=each.number)


def keeps(app: faust.App, incoming: Any, effects: Any) -> None:
    table = app.Table(TABLE, default=int)

    @app.agent(incoming)
    async def apply(numbers: AsyncIterator[Number]) -> None:
        async for each in numbers:
            if each.number == 1:
                await told()
            table[str(each.number)] = each.number


def passes(app: faust.App, incoming: Any, effects: Any) -> None:
    @app.agent(incoming)
    async def apply(numbers: AsyncIterator[Number]) -> None:
        async for each in numbers:
            await (await effects.send(value=each.number))


# --- with the test ---


async def told() -> None:
    """The test has said that it goes on."""
    say("working")
    await asyncio.get_running_loop().run_in_executor(None, _GO_ON.wait)


def say(line: str) -> None:
    print(line, flush=True)


def _listen() -> None:
    for _ in sys.stdin:
        _GO_ON.set()


_GO_ON = threading.Event()

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_listen, daemon=True).start()
    app = new_app(msgspec.json.decode(sys.argv[1], type=Orders))
    Worker(app, loglevel="WARNING", redirect_stdouts=False, quiet=True).execute_from_commandline()
