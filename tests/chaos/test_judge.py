"""The judge refuses every kind of loss: each is done to the logs of a faultless run, made in memory."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from sync_engine.model import names
from sync_engine.model.avro import claim_to_datum
from sync_engine.model.outcome import DeadLetter
from sync_engine.model.record import Record
from sync_engine.model.stage import Codec
from sync_engine.resolve.stage import State
from sync_engine.runtime.clock import SystemClock
from sync_engine.runtime.loop import BatchLoop
from sync_engine.runtime.registry import FakeRegistry
from sync_engine.runtime.schemas import AvroCodec, all_schemas
from sync_engine.runtime.store import RocksStore
from sync_engine.topology import resolve_stage
from tests.chaos.catalogue import ENTITY, UP, Departments, declarations_of
from tests.chaos.judge import Logs, assert_logs_are_the_oracles, assert_store_is_the_logs
from tests.engine_adapter import claim_of
from tests.fakes.log import FakeBroker, FakeLog

NODE, NAME = "judged", ENTITY["entity"]


class Unwatched:
    def committed(self, stage: str, records: int, emits: int, letters: list[DeadLetter]) -> None: ...

    def aborted(self, stage: str) -> None: ...

    def restored(self, stage: str, records: int) -> None: ...


@dataclass(frozen=True)
class Run:
    logs: Logs
    codec: Codec
    store: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A faultless one."""
    declarations, folder = declarations_of(NODE), tmp_path_factory.mktemp("judged")
    codec = AvroCodec(FakeRegistry(), all_schemas(declarations))
    topics = [named(NODE, NAME) for named in (names.claim, names.state, names.golden)]
    topics += [names.edge(NODE, UP, NAME), names.finding(NODE), names.dead(NODE)]
    broker = FakeBroker()
    for topic in topics:
        broker.create(topic)
    for key, claim in Departments(random.Random(0), keys=5).say(200):
        broker.put(topics[0], key.encode(), codec.encode(f"sync.{NAME}.Claim", claim_to_datum(claim_of(claim))))
    stage = resolve_stage(declarations, NODE, NAME, 1, codec)
    log = FakeLog(broker, "group", "id")
    loop = BatchLoop(NODE, stage, log, codec, lambda _: RocksStore(folder), SystemClock(), Unwatched(), batch_records=20)
    loop.start()
    while loop.run_once(0):
        pass
    loop.close()
    return Run(Logs(*(broker.records(topic) for topic in topics)), codec, folder)


def test_a_faultless_run_is_accepted(run: Run) -> None:
    assert_logs_are_the_oracles(run.logs, run.codec)
    assert_store_is_the_logs(run.store, 0, run.logs, run.codec)
    assert min(len(one) for one in (run.logs.golden, run.logs.edge, run.logs.finding)) > 20


def without_last(records: list[Record]) -> list[Record]:
    return records[:-1]


def without_one(records: list[Record]) -> list[Record]:
    return records[:50] + records[51:]


def doubled(records: list[Record]) -> list[Record]:
    return records[:51] + records[50:]


def of_an_earlier_one(records: list[Record]) -> list[Record]:
    """The last record of a key says what an earlier one of this key said."""
    last = records[-1]
    earlier = [record for record in records[:-1] if record.key == last.key]
    return [*records[:-1], replaced(last, earlier[0].value)]


def replaced(record: Record, value: bytes | None) -> Record:
    return Record(record.topic, record.partition, record.offset, record.key, value, record.headers, record.timestamp_ms)


LOSSES = [without_last, without_one, doubled, of_an_earlier_one]


@pytest.mark.parametrize("log", ["golden", "state", "edge", "finding"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_fault_in_a_log_is_refused(run: Run, log: str, loss: Callable[[list[Record]], list[Record]]) -> None:
    records: list[Record] = getattr(run.logs, log)
    with pytest.raises(AssertionError):
        assert_logs_are_the_oracles(replace(run.logs, **{log: loss(records)}), run.codec)


def test_an_older_content_under_a_new_version_is_refused(run: Run) -> None:
    """What a stale overwrite looks like: the versions rise, the content goes back."""
    last = run.logs.golden[-1]
    first = next(record for record in run.logs.golden if record.key == last.key)
    datum = run.codec.decode(first.value or b"")[1]
    version = run.codec.decode(last.value or b"")[1]["version"]
    stale = replaced(last, run.codec.encode(f"sync.{NAME}.Golden", {**datum, "version": version + 1}))
    with pytest.raises(AssertionError, match="versions of"):
        assert_logs_are_the_oracles(replace(run.logs, golden=[*run.logs.golden, stale]), run.codec)


@pytest.mark.parametrize("fault", ["a slot less", "an older version", "a record less"])
def test_a_store_that_is_not_what_the_logs_say_is_refused(run: Run, fault: str) -> None:
    store = RocksStore(run.store)
    key, kept = store.scan(b"", 1)[0]
    state = msgspec.msgpack.decode(kept, type=State)
    assert state.record is not None
    if fault == "a slot less":
        state.record.slots.pop()
    else:
        state.record.version -= 1
    store.write({key: None if fault == "a record less" else msgspec.msgpack.encode(state)}, {})
    store.close()
    try:
        with pytest.raises(AssertionError):
            assert_store_is_the_logs(run.store, 0, run.logs, run.codec)
    finally:
        store = RocksStore(run.store)
        store.write({key: kept}, {})
        store.close()
