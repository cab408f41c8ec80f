"""The resolve stage as it runs in production: Lane, BatchLoop and KafkaLog behind a Faust application. Orders as for tests/chaos/lane.

python -m tests.losses.engine ORDERS
"""

import os
import signal
from pathlib import Path
from typing import Any

import faust
from faust.worker import Worker as FaustWorker
from mode import Service

from sync_engine.model import names
from sync_engine.runtime.lane import Lane
from sync_engine.runtime.worker import _service_of
from tests.chaos.lane import Orders, Told, as_child, make_loop, say


def new_app(orders: Orders, told: Told) -> faust.App:
    app = faust.App(
        f"{orders.node}.control",
        broker=f"kafka://{orders.bootstrap}",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        # As in production: one that was killed takes its place again at once.
        consumer_group_instance_id=f"{orders.node}.{orders.instance}",
        broker_session_timeout=orders.session_ms / 1000,
        broker_heartbeat_interval=0.5,
        store="memory://",
        datadir=str(Path(orders.folder).with_suffix(".faust")),
    )
    channel = app.channel(maxsize=1)
    lane = Lane(f"{orders.node}.resolve", lambda: make_loop(orders, told), channel)

    async def commit(batches: Any) -> None:
        async for records in batches:
            await lane.commit(records)

    app.agent(channel, name=lane.name)(commit)
    app.service(_service_of(lane))
    app.service(_obeying(told))
    control = app.topic(names.control(orders.node), value_type=bytes, value_serializer="raw", key_serializer="raw")

    async def obey(commands: Any) -> None:
        async for _ in commands:
            pass

    app.agent(control, name=f"{orders.node}.obey")(obey)
    return app


def _obeying(told: Told) -> type[Service]:
    """Ends the process when the test says `stop`. All else that it says is for the traps, which take it themselves."""

    class Obeying(Service):
        @Service.task
        async def _obey(self) -> None:
            say("started")
            while not self.should_stop:
                await self.sleep(0.05)
                if "stop" in told.others.queue:
                    say("closing")
                    os.kill(os.getpid(), signal.SIGTERM)  # as a supervisor does
                    return

    return Obeying


if __name__ == "__main__":
    asked = as_child()
    FaustWorker(new_app(asked, Told(asked.traps)), loglevel="INFO", redirect_stdouts=False, quiet=True).execute_from_commandline()
