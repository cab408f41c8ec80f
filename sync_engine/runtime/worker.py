"""One worker process of one node: a Faust application whose agents read channels of batches.

Faust keeps the application, its agents, services, signals and the control topic; its own web server is off, since it shows table data to
anybody. Everything that is configured comes in as values: whether a broker is local is nobody's business here.
"""

import asyncio
import gc
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import faust
import structlog
from mode import Service

from sync_engine.case.stage import CaseStage
from sync_engine.deliver.stage import DeliverStage
from sync_engine.ingest.stage import IngestStage
from sync_engine.model import names
from sync_engine.model.core import TOLD
from sync_engine.model.declaration import WEBHOOK, Declarations, Subscriber
from sync_engine.model.stage import Answer, Codec, Request, Stage
from sync_engine.observe.captures import CaptureWatch
from sync_engine.runtime.alertmanager import Alertmanagers
from sync_engine.runtime.clock import SystemClock
from sync_engine.runtime.connect import ConnectClient, KafkaConnectError, Retry
from sync_engine.runtime.exporter import Metrics
from sync_engine.runtime.holds import Holds
from sync_engine.runtime.kafka import KafkaLog
from sync_engine.runtime.lane import Lane
from sync_engine.runtime.log import WorldFailure
from sync_engine.runtime.loop import BatchLoop, Perform
from sync_engine.runtime.observer import Observer
from sync_engine.runtime.push import WebhookPusher
from sync_engine.runtime.reads import Reads
from sync_engine.runtime.registry import SchemaRegistry
from sync_engine.runtime.schemas import AvroCodec, all_schemas
from sync_engine.runtime.store import Memory, RocksStore, Store
from sync_engine.runtime.table_target import TableWriter
from sync_engine.runtime.tail import KafkaTail
from sync_engine.runtime.target import Target, WebhookTarget
from sync_engine.runtime.topic_target import TopicWriter
from sync_engine.runtime.views import Views
from sync_engine.settings import Settings, SubscriberSettings
from sync_engine.topology import group_of, stages_of

CAPTURES_SECONDS = 5.0
logger = structlog.get_logger()


@dataclass
class Worker:
    """Builds everything one process of `node` runs. `instance` distinguishes processes of one node on one machine."""

    declarations: Declarations
    settings: Settings
    node: str
    instance: str = "0"

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        self.metrics = Metrics(self.node)
        self._schemas = all_schemas(self.declarations)
        self._pusher = WebhookPusher()
        self._client = self.settings.kafka.client
        # The rest is what Python, the clients' queues and the states at hand need.
        self._memory = Memory(cache_mib=self.settings.worker.memory_mib // 6, unwritten_mib=self.settings.worker.memory_mib // 12)
        self.observer: Observer | None = None
        self.observed_at: float = 0.0
        """Loop time of the observer's last turn: the broker answered then. An idle lane cannot tell one that is away from nothing to do."""
        generation = self.settings.generation(self.node)
        self.stages: list[Stage] = list(stages_of(self.declarations, self.node, generation, self.new_codec, self._watermark))
        self.lanes: list[Lane] = []
        self.failed_captures: frozenset[str] | None = None
        """Departments whose capture has been started again in vain; None while nobody has looked."""
        self.targets: dict[str, Target] = {}
        self._connectors = {each.connector: each.id for each in self.declarations.departments_of(self.node)}

    def new_codec(self) -> Codec:
        return AvroCodec(SchemaRegistry(self.settings.registry.url), self._schemas)

    def _watermark(self, source: str) -> int | None:
        return None if self.observer is None else self.observer.watermark(source)

    def app(self) -> Any:
        """The Faust application with all its agents and services."""
        own_folder = self.settings.state.dir / "faust" / self.node / self.instance
        own_folder.mkdir(parents=True, exist_ok=True)
        app = faust.App(
            f"{self.node}.control",
            broker=f"kafka://{self.settings.kafka.bootstrap}",
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            web_tables_enabled=False,
            # Its own consumer reads control only, but the lanes start behind it. A worker that was killed takes its place again at once
            # (static membership, KIP-345) instead of waiting until the group has given up on it.
            consumer_group_instance_id=f"{self.node}.{self.instance}",
            broker_session_timeout=self.settings.kafka.session_timeout_ms / 1000,
            broker_heartbeat_interval=1.0,
            store="memory://",
            datadir=str(own_folder),
        )
        for stage in self.stages:
            self._add_lane(app, stage)
        app.service(_observing(self))
        app.service(_serving(self))
        if self.settings.alertmanager.urls:
            app.service(_telling(self))
        if self._connectors:
            app.service(_watching_captures(self))
        self._add_control(app)
        _collect_less_garbage()
        logger.info("core", core=TOLD)
        return app

    def _add_lane(self, app: Any, stage: Stage) -> None:
        channel = app.channel(maxsize=1)
        lane = Lane(f"{self.node}.{stage.name}", lambda: self._loop(stage, lane), channel)
        self.lanes.append(lane)

        async def commit(batches: Any) -> None:
            async for records in batches:
                await lane.commit(records)

        app.agent(channel, name=f"{self.node}.{stage.name}")(commit)
        app.service(_service_of(lane))

    def _add_control(self, app: Any) -> None:
        # A Faust application without any topic of its own does not start; commands to a node's workers come this way.
        control = app.topic(names.control(self.node), value_type=bytes, value_serializer="raw", key_serializer="raw")

        async def obey(commands: Any) -> None:
            async for command in commands:
                logger.info("control", bytes=len(command or b""))

        app.agent(control, name=f"{self.node}.obey")(obey)

    def _loop(self, stage: Stage, lane: Lane) -> BatchLoop:
        settings = self.settings
        group = group_of(self.node, stage.name)
        log = KafkaLog(
            settings.kafka.bootstrap,
            group,
            f"{group}.{self.instance}",
            session_timeout_ms=settings.kafka.session_timeout_ms,
            transaction_timeout_ms=settings.kafka.session_timeout_ms,
            company_seconds=settings.worker.quiet_wait_ms / 1000,
            client=self._client,
        )
        perform = self._delivering(stage.subscriber, lane.loop) if isinstance(stage, DeliverStage) else None
        # What is more than one slice tries would be parked first: written to the log, and written away again.
        most = stage.tries if isinstance(stage, DeliverStage) else settings.worker.batch_records
        return BatchLoop(
            self.node,
            stage,
            log,
            self.new_codec(),
            lambda partition: self._store(stage, partition),
            self.clock,
            self.metrics,
            perform=perform,
            holds=Holds(self.node, stage.captured, self.new_codec()) if isinstance(stage, IngestStage) else None,
            batch_records=min(most, settings.worker.batch_records),
            quiet_wait_seconds=0.25,
        )

    def _store(self, stage: Stage, partition: int) -> Store:
        path = self.settings.state.dir / self.node / self.instance / stage.name / str(partition)
        path.mkdir(parents=True, exist_ok=True)
        return RocksStore(path, self._memory)

    # --- deliveries ---

    def _delivering(self, subscriber: Subscriber, running: asyncio.AbstractEventLoop) -> Perform:
        target = self.targets.get(subscriber.id)
        if target is None:
            target = self.targets[subscriber.id] = self._target(subscriber, running)
        if subscriber.kind == WEBHOOK:
            return target.deliver  # tells of each attempt by itself

        def perform(requests: Sequence[Request]) -> Sequence[Answer]:
            began = time.monotonic()
            answers = target.deliver(requests)
            for answer in answers:
                self.metrics.delivered(subscriber.name, answer.acknowledged, time.monotonic() - began)
            return answers

        return perform

    def _target(self, subscriber: Subscriber, running: asyncio.AbstractEventLoop) -> Target:
        """Where the subscriber's deliveries go in this installation. `check` has seen to it that nothing is missing."""
        found = self.settings.subscribers.get(subscriber.settings, SubscriberSettings())
        if subscriber.topic is not None:
            own = found.bootstrap is None
            client = self._client if own else found.client
            codec = self.new_codec()
            return TopicWriter(
                subscriber.topic,
                found.bootstrap or self.settings.kafka.bootstrap,
                client,
                lambda body: int(codec.decode(body)[1]["version"]),
            )
        if subscriber.table is not None:
            assert found.database_url is not None, "check lets none pass"
            return TableWriter(subscriber.table, found.database_url)
        assert found.url is not None, "check lets none pass"

        def delivered(acknowledged: bool, seconds: float) -> None:
            self.metrics.delivered(subscriber.name, acknowledged, seconds)

        return WebhookTarget(self._pusher, found.url, found.secrets, running, self.clock.now_ms, delivered)

    # --- what others ask ---

    def incomplete(self, place: str) -> int:
        """Records parked before a place."""
        stage = next((stage for stage in self.stages if stage.name == place), None)
        return stage.parked() if isinstance(stage, DeliverStage) else 0

    def gauges(self) -> None:
        """Metrics that are read off the stages, not told by the loop."""
        for stage in self.stages:
            if isinstance(stage, DeliverStage):
                self.metrics.pending(stage.name.removeprefix("deliver."), stage.parked())
            elif isinstance(stage, CaseStage):
                self.metrics.cases(*stage.counts())


def _collect_less_garbage() -> None:
    """A batch's records and states have no cycles. By default, all that came about at the start is walked again every few batches."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


def _service_of(lane: Lane) -> type[Service]:
    """Faust takes service classes; ours has been made already."""

    class OfLane(Service):
        async def on_start(self) -> None:
            await self.add_runtime_dependency(lane)

    OfLane.__name__ = f"Lane {lane.name}"
    return OfLane


def _observing(worker: Worker) -> type[Service]:
    class Observing(Service):
        @Service.task
        async def _observe(self) -> None:
            thread = ThreadPoolExecutor(1, thread_name_prefix=f"{worker.node}.observe")
            loop = asyncio.get_running_loop()
            while not self.should_stop:
                try:
                    if worker.observer is None:
                        worker.observer = await loop.run_in_executor(thread, _make_observer, worker)
                    await loop.run_in_executor(thread, worker.observer.turn, worker.settings.worker.tick_seconds / 4)
                    worker.observed_at = loop.time()
                    worker.gauges()
                except WorldFailure as failure:
                    logger.warning("waiting", stage="observe", why=str(failure))
                    await self.sleep(1.0)

    return Observing


def _make_observer(worker: Worker) -> Observer:
    tail = KafkaTail(worker.settings.kafka.bootstrap, f"{worker.node}.observe", client=worker._client)
    observer = Observer(
        worker.declarations,
        worker.node,
        tail,
        worker.new_codec(),
        worker.clock,
        worker.metrics,
        worker.incomplete,
        lambda: worker.failed_captures,
    )
    tail.start(observer.topics, from_beginning=observer.from_beginning.__contains__)
    return observer


def _watching_captures(worker: Worker) -> type[Service]:
    """Every worker of the node does it: a restart of what is failed, said twice, is one restart."""

    class WatchingCaptures(Service):
        @Service.task
        async def _watch(self) -> None:
            watch = CaptureWatch()
            said = ""
            async with ConnectClient(worker.settings.connect.url, retry=Retry(attempts=1)) as connect:
                while not self.should_stop:
                    why = ""
                    try:
                        await self._look(connect, watch)
                    except KafkaConnectError as failure:
                        why = str(failure)
                    if why != said:
                        logger.warning("captures not seen" if why else "captures seen again", why=why)
                        said = why
                    await self.sleep(CAPTURES_SECONDS)

        async def _look(self, connect: ConnectClient, watch: CaptureWatch) -> None:
            found = await connect.connectors("status")
            status = {name: found[name].status for name in worker._connectors if name in found}
            failed = {name: each for name, each in status.items() if each is not None and "FAILED" in each.states}
            for name, source in worker._connectors.items():
                worker.metrics.capture(source, name in failed)
            # Once is weather: the restart that follows at once mends it.
            worker.failed_captures = frozenset(worker._connectors[name] for name in failed if watch.tries(name) > 1)
            for name in watch.judge(failed, worker.clock.now_ms()):
                # The kind of the failure alone: its text may hold a row.
                kind = (failed[name].cause or "no trace").partition(":")[0]
                logger.warning("capture failed, starting it again", connector=name, tries=watch.tries(name), why=kind)
                await connect.restart(name, only_failed=True)

    return WatchingCaptures


def _telling(worker: Worker) -> type[Service]:
    """Every worker of the node tells: to an Alertmanager the same labels are the same alert."""

    class Telling(Service):
        async def on_start(self) -> None:
            self.alertmanagers = Alertmanagers(worker.settings.alertmanager.urls)

        @Service.task
        async def _tell(self) -> None:
            while not self.should_stop:
                await self.sleep(1.0)
                await self.alertmanagers.tell(() if worker.observer is None else worker.observer.firing, worker.clock.now_ms())

        async def on_stop(self) -> None:
            await self.alertmanagers.close()

    return Telling


def _serving(worker: Worker) -> type[Service]:
    class Serving(Service):
        async def on_start(self) -> None:
            self.reads = Reads(worker)
            await self.reads.start()
            self.views = Views(worker.settings.redis.url, worker.node)

        @Service.task
        async def _publish(self) -> None:
            while not self.should_stop:
                await self.sleep(1.0)
                await self.views.publish(self.reads.status())

        async def on_stop(self) -> None:
            await self.reads.stop()
            await worker._pusher.close()
            for target in worker.targets.values():
                target.close()

    return Serving
