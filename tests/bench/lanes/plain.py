"""The plain side of each lane: a confluent-kafka loop, the engine's pure functions, one transaction a batch; a client of the target's own.

It writes what the engine writes: the same claims, the same bodies with the same signatures, the same guarded rows.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import aiohttp
import confluent_kafka as ck
import psycopg
import pymysql
import sqlalchemy as sa
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from sync_engine.deliver.payload import body_of, event_of, webhook_id
from sync_engine.ingest.capture import compile_source, read_change
from sync_engine.model import names
from sync_engine.model.avro import golden_of_datum
from sync_engine.model.declaration import Declarations
from sync_engine.model.golden import Golden
from sync_engine.model.names import partition_of
from sync_engine.runtime.push import CONTENT_TYPE, ID, IN_FLIGHT_MAX, SIGNATURE, TIMESTAMP, sign
from sync_engine.runtime.schemas import AvroCodec
from sync_engine.runtime.table_target import upsert
from tests.bench.catalogue import ENTITY, read_entry
from tests.bench.codec import new_codec
from tests.bench.job import Measured, run
from tests.bench.lanes.job import INPUT_OF, SECRET, LaneJob
from tests.bench.lanes.network import ITEMS, KEY_COLUMN, county_of, network, tables
from tests.bench.plain_loop import After, loop

Batch = list[ck.Message]
Write = Callable[[Sequence[Golden]], None]


def plain(job: LaneJob) -> Measured | None:
    declared = network(read_entry(), INPUT_OF[job.lane], job.partitions)
    codec = new_codec(declared, job.registry)
    if job.lane == "ingest":
        return _ingest(job, declared, codec)
    if job.lane == "link":
        return _link(job, codec)
    return _deliver(job, declared, codec, WRITERS[job.lane](job))


def _ingest(job: LaneJob, declared: Declarations, codec: AvroCodec) -> Measured | None:
    """Decode, map, normalise, encode."""
    node = INPUT_OF[job.lane]
    sources = {topic: compile_source(declared, declared.sources[source]) for source, topic in tables(read_entry(), node)}
    claims = names.claim(job.node, ENTITY)

    def work(batch: Batch, producer: ck.Producer) -> None:
        for message in batch:
            epoch = int(dict(message.headers())["x-epoch"])
            change = codec.decode(message.value())[1]
            for _, key, claim in read_change(sources[message.topic()], change, epoch, message.offset()):  # type: ignore[misc]
                raw = key.encode()
                producer.produce(claims, codec.encode_claim(ENTITY, claim), raw, partition_of(raw, job.partitions))

    return loop(job, list(sources), work)


def _link(job: LaneJob, codec: AvroCodec) -> Measured | None:
    """A neighbour's claims as they came, with this node in their path; that they are claims of the slots that their keys name is tested."""
    node = INPUT_OF[job.lane]
    county, claims = county_of(node), names.claim(job.node, ENTITY)

    def work(batch: Batch, producer: ck.Producer) -> None:
        for message in batch:
            key, source, row, mapping = message.key().split(b"\x1f")
            claim = codec.claim(message.value(), "")
            assert claim is not None and claim.slot == (source.decode(), row.decode(), mapping.decode())
            path = dict(message.headers())["path"]
            assert path == county.encode()
            producer.produce(
                claims, message.value(), key, partition_of(key, job.partitions), headers=[("path", path + b"," + node.encode())]
            )

    return loop(job, [names.edge(county, node, ENTITY)], work)


def _deliver(job: LaneJob, declared: Declarations, codec: AvroCodec, write: Write) -> Measured | None:
    subscriber = declared.subscribers[f"{INPUT_OF[job.lane]}/{job.lane}"]
    receipts = names.receipt(job.node)

    def work(batch: Batch, producer: ck.Producer) -> After | None:
        goldens = [golden_of_datum(ENTITY, message.key().decode(), codec.decode(message.value())[1]) for message in batch]
        write(goldens)
        now_ms = time.time_ns() // 1_000_000
        for golden in goldens:
            told = webhook_id(subscriber, golden)
            datum = {
                "subscriber": subscriber.id,
                "webhook_id": told,
                "entity": ENTITY,
                "key_digest": blake2b(golden.content.key.encode(), digest_size=8).hexdigest(),
                "version": golden.version,
                "outcome": "acknowledged",
                "status": 204,
                "attempts": 1,
                "at_ms": now_ms,
                "effective_ms": golden.effective_ms,
            }
            producer.produce(receipts, codec.encode("sync.wire.Receipt", datum), told.encode())
        return None

    return loop(job, [names.golden(INPUT_OF[job.lane], ENTITY)], work)


def _webhook(job: LaneJob) -> Write:
    declared = network(read_entry(), INPUT_OF[job.lane], job.partitions)
    subscriber = declared.subscribers[f"{INPUT_OF[job.lane]}/{job.lane}"]
    running = asyncio.new_event_loop()
    places = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    client = running.run_until_complete(session())

    async def post(golden: Golden) -> None:
        event = event_of(subscriber, golden)
        assert event is not None
        body, told, now = body_of(subscriber, golden, event, None, declared.labels), webhook_id(subscriber, golden), int(time.time())  # type: ignore[arg-type]  # of Avro only
        headers = {ID: told, TIMESTAMP: str(now), SIGNATURE: sign([SECRET], told, now, body), "Content-Type": CONTENT_TYPE}
        async with places, client.post(job.target, data=body, headers=headers) as answer:
            assert answer.status == 204

    async def post_all(goldens: Sequence[Golden]) -> None:
        await asyncio.gather(*(post(golden) for golden in goldens))

    return lambda goldens: running.run_until_complete(post_all(goldens))


def _row(golden: Golden) -> dict[str, Any]:
    values = {item: value for item, _, value in golden.content.items}
    row: dict[str, Any] = {item: values.get(item) for item in ITEMS}
    return {KEY_COLUMN: golden.content.key, "sync_version": golden.version, **row, "sync_state": golden.content.life_cycle}


def _statement(job: LaneJob, dialect: sa.Dialect) -> str:
    """As the engine guards it: in one statement, a row is overwritten by a greater version only."""
    target = network(read_entry(), job.node, job.partitions).subscribers[f"{job.node}/{job.lane}"].table
    assert target is not None
    return str(upsert(target, dialect.name).compile(dialect=dialect))


def _postgresql(job: LaneJob) -> Write:
    statement = _statement(job, PGDialect_psycopg(paramstyle="pyformat"))
    connection = psycopg.connect(job.target)

    def write(goldens: Sequence[Golden]) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(statement, [_row(golden) for golden in goldens])

    return write


def _mariadb(job: LaneJob) -> Write:
    statement = _statement(job, MySQLDialect_pymysql(paramstyle="pyformat"))
    at = sa.make_url(job.target)
    connection = pymysql.connect(host=at.host, port=at.port or 3306, user=at.username, database="bench", charset="utf8mb4")

    def write(goldens: Sequence[Golden]) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(statement, [_row(golden) for golden in goldens])
        connection.commit()

    return write


WRITERS: dict[str, Callable[[LaneJob], Write]] = {"webhook": _webhook, "postgresql": _postgresql, "mariadb": _mariadb}


if __name__ == "__main__":
    run(plain, LaneJob)
