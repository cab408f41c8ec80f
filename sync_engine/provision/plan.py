"""What differs between what is declared and what is there, and what making it so does. Pure: `runtime/provisioning` looks and acts.

Nothing is ever deleted: what is there and not declared is another's, or a person's to remove. What would move keys, make old records
unreadable or let a source's older rows win is refused, with the reason.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from sync_engine.model.declaration import CONNECTOR_KINDS, Title
from sync_engine.provision.topics import Topic

TOPIC, SCHEMA, CONNECTOR = "topic", "schema", "connector"
CREATE, CHANGE, CAPTURE_ANEW, REFUSED = "create", "change", "capture_anew", "refused"
EPOCH = "transforms.epoch.value.literal"


class ActualTopic(msgspec.Struct, frozen=True):
    partitions: int
    config: Mapping[str, str]


class ActualConnector(msgspec.Struct, frozen=True):
    config: Mapping[str, str]
    tasks: int


class Action(msgspec.Struct, frozen=True):
    """One thing to do. `details` name settings and fields, never a value that could be a secret."""

    what: str
    name: str
    does: str
    details: tuple[str, ...]
    effect: Title


def plan_topics(wanted: Sequence[Topic], actual: Mapping[str, ActualTopic]) -> Iterator[Action]:
    for topic in wanted:
        there = actual.get(topic.name)
        if there is None:
            yield Action(TOPIC, topic.name, CREATE, (f"{topic.partitions} partition(s)",), Title("新建", "makes it"))
            continue
        if there.partitions != topic.partitions:
            details = (f"{there.partitions} partition(s), declared are {topic.partitions}",)
            yield Action(TOPIC, topic.name, REFUSED, details, Title("分区数一变, 键就会移动", "its keys would move to other partitions"))
        if changed := tuple(f"{name} = {value}" for name, value in sorted(topic.config.items()) if there.config.get(name) != value):
            yield Action(TOPIC, topic.name, CHANGE, changed, Title("立即生效, 不重启任何进程", "at once, nothing is restarted"))


def plan_schemas(wanted: Mapping[str, str], actual: Mapping[str, str | None]) -> Iterator[Action]:
    """Texts by full name; `actual` None: the registry has none."""
    for name, text in sorted(wanted.items()):
        there = actual.get(name)
        if there is None:
            yield Action(SCHEMA, name, CREATE, (), Title("登记", "registers it"))
        elif msgspec.json.decode(there) != msgspec.json.decode(text):
            wrong = tuple(dict.fromkeys([*_unreadable(text, there, "new reads old"), *_unreadable(there, text, "old reads new")]))
            if wrong:
                effect = Title("新旧版本不能互读", "old and new versions of the engine could not read each other's records")
                yield Action(SCHEMA, name, REFUSED, wrong, effect)
            else:
                yield Action(SCHEMA, name, CHANGE, (), Title("登记新版本", "registers a new version"))


def plan_connectors(wanted: Mapping[str, Mapping[str, str]], actual: Mapping[str, ActualConnector]) -> Iterator[Action]:
    for name, config in sorted(wanted.items()):
        there = actual.get(name)
        if there is None:
            yield Action(CONNECTOR, name, CREATE, (), Title("新建, 并读取全部行", "makes it; it reads every row"))
            continue
        changed = tuple(sorted(key for key in config.keys() | there.config.keys() if config.get(key) != there.config.get(key)))
        if not changed:
            continue
        before, after = _epoch(there.config), _epoch(config)
        if after < before:
            effect = Title("纪元只能增大", "an epoch is never lowered: what is captured from now on would lose against what was")
            yield Action(CONNECTOR, name, REFUSED, (f"epoch {before}, declared is {after}",), effect)
        elif after > before:
            effect = Title("停止, 忘记位点, 重新读取全部行", "stops it, forgets its offsets, reads every row again")
            yield Action(CONNECTOR, name, CAPTURE_ANEW, changed, effect)
        else:
            effect = Title(f"重启 {there.tasks} 个任务", f"restarts {there.tasks} task(s)")
            yield Action(CONNECTOR, name, CHANGE, changed, effect)


def plan_foreign_connectors(wanted: Mapping[str, str], actual: Collection[str]) -> Iterator[Action]:
    """Of the departments whose connector is not ours to make, those that have none. `wanted`: kind of database by connector."""
    for name, kind in sorted(wanted.items()):
        if name not in actual:
            effect = Title(f"{kind} 的连接器由库方自建", f"a connector for {kind} is not made by us: README, other databases")
            yield Action(CONNECTOR, name, REFUSED, (f"kind {kind}; we make those of {', '.join(CONNECTOR_KINDS)}",), effect)


def _epoch(config: Mapping[str, str]) -> int:
    text = config.get(EPOCH, "")
    return int(text) if text.isdigit() else 0


def _unreadable(reader: str, writer: str, which: str) -> Iterator[str]:
    checker: Any = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # published without types
    found = checker.get_compatibility(parse(reader), parse(writer))
    if found.compatibility is not SchemaCompatibilityType.compatible:
        kinds = ", ".join(sorted(kind.value for kind in found.incompatibilities))
        yield f"{which}: {kinds} ({', '.join(sorted(found.messages))})"
