"""A worker gives each kind of subscriber its target; nothing is connected before the first delivery."""

import asyncio
from dataclasses import replace
from pathlib import Path

from sync_engine import declared
from sync_engine.model.declaration import TableTarget, TopicTarget
from sync_engine.runtime.table_target import TableWriter
from sync_engine.runtime.target import WebhookTarget
from sync_engine.runtime.topic_target import TopicWriter
from sync_engine.runtime.worker import Worker
from sync_engine.setting_kinds import Secret
from sync_engine.settings import SubscriberSettings, load


async def test_each_kind_has_its_target(tmp_path: Path) -> None:
    declarations = declared.read()
    webhook = declarations.subscribers["anhui/credit_platform"]
    topic = replace(webhook, name="t", kind="topic", settings="t", topic=TopicTarget("credit", 2))
    table = replace(webhook, name="d", kind="table", settings="d", table=TableTarget("s.p", "id", "v", "st", {"name": "xm"}))
    subscribers = {
        webhook.settings: SubscriberSettings("https://credit.example/", (Secret("whsec_x"),)),
        "t": SubscriberSettings(bootstrap="127.0.0.1:1"),
        "d": SubscriberSettings(database_url=Secret("postgresql://writer:pw@127.0.0.1:1/db")),
    }
    worker = Worker(declarations, replace(load(None, {"HOME": str(tmp_path)}), subscribers=subscribers), webhook.node)
    running = asyncio.get_running_loop()

    kinds = [type(worker._target(subscriber, running)) for subscriber in (webhook, topic, table)]

    assert kinds == [WebhookTarget, TopicWriter, TableWriter]


async def test_a_topic_without_settings_is_on_the_engines_own_kafka(tmp_path: Path) -> None:
    declarations = declared.read()
    webhook = declarations.subscribers["anhui/credit_platform"]
    topic = replace(webhook, name="t", kind="topic", settings="t", topic=TopicTarget("credit", 2))
    worker = Worker(declarations, load(None, {"HOME": str(tmp_path)}), webhook.node)

    assert isinstance(worker._target(topic, asyncio.get_running_loop()), TopicWriter)
