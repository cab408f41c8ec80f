"""Whether a side's turn did the work: the same claims as the other side's, or everything acknowledged and standing at the receiver."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa

from sync_engine.model import names
from sync_engine.runtime.table_target import DRIVERS
from tests.bench.broker import read_all
from tests.bench.catalogue import ENTITY
from tests.bench.lanes.network import ITEMS, KEY_COLUMN, table_of


class Left(msgspec.Struct, frozen=True):
    """What all turns of a side have left."""

    records: int
    """Claims in the topic, or records at the receiver."""
    digest: str
    """Of all of them: the same on both sides."""
    receipts: int
    """0 where nothing is delivered. As many as deliveries, if none was tried twice."""


def claims(bootstrap: str, node: str, partitions: int) -> Left:
    """In the order of each partition."""
    topic = names.claim(node, ENTITY)
    digests, records = [], 0
    for partition in range(partitions):
        # The topics of a captured table lie in any order to one another.
        found = sorted(read_all(bootstrap, topic, [partition]))
        records += len(found)
        digests.append(_digest(found))
    return Left(records, _digest(digests), 0)


def rows(url: str, bootstrap: str, lane: str, node: str) -> Left:
    at = sa.make_url(url)
    engine = sa.create_engine(at.set(drivername=DRIVERS[at.drivername]))
    columns = ", ".join((KEY_COLUMN, "sync_version", "sync_state", *ITEMS))
    with engine.begin() as connection:
        found = sorted(map(tuple, connection.execute(sa.text(f"SELECT {columns} FROM {table_of(lane, node)}"))))
    engine.dispose()
    return Left(len(found), _digest(found), receipts(bootstrap, node))


def versions(received: dict[tuple[str, str], int], bootstrap: str, node: str) -> Left:
    return Left(len(received), _digest(sorted(received.items())), receipts(bootstrap, node))


def receipts(bootstrap: str, node: str) -> int:
    return sum(1 for _ in read_all(bootstrap, names.receipt(node), [0]))


def _digest(things: Iterable[Any]) -> str:
    whole = blake2b(digest_size=8)
    for thing in things:
        whole.update(repr(thing).encode())
    return whole.hexdigest()
