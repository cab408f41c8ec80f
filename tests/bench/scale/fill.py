"""Changelogs of very many keys, and changes of them, made from a few thousand patterns: each encoded by itself would take an hour.

The records are as the engine writes them but for golden's digest, which is the pattern's: a restore takes it as it stands.
"""

import random
from collections.abc import Iterator

from sync_engine.model import names
from sync_engine.model.golden import Golden
from sync_engine.model.names import partition_of
from sync_engine.resolve.content import compile_rules
from sync_engine.resolve.decide import RecordState, decide
from sync_engine.runtime.schemas import AvroCodec
from tests.bench.broker import Claims, Headers
from tests.bench.catalogue import ENTITY, Entry, class_of, entity_type
from tests.bench.lanes.inputs import key_of, said
from tests.bench.workload import datum

PATTERNS = 2_000
SLOTS = ("bench/police_east/resident", "bench/insurance/insured")
"""Two rows a record."""
NO_ROW = 0
NO_HEADERS: Headers = ()


class Patterns:
    """Claims and golden records of which only the row's number is another from key to key."""

    def __init__(self, entry: Entry, codec: AvroCodec) -> None:
        rules = compile_rules(entity_type(entry), lambda source: class_of(entry, source))
        items = {source: entry["sources"][source]["items"] for source in SLOTS}
        self.claims: list[tuple[tuple[bytes, bytes], ...]] = []
        self.goldens: list[bytes] = []
        self.changes: list[tuple[bytes, bytes]] = []
        for number in range(PATTERNS):
            state: RecordState | None = None
            golden: Golden | None = None
            framed = []
            for source in SLOTS:
                change = said(entry, source, items[source], number, 0)._replace(row=_row(NO_ROW))
                framed.append(codec.encode(f"sync.{ENTITY}.Claim", datum(change)))
                claim = codec.claim(framed[-1], "")
                assert claim is not None
                decided = decide(rules, 0, change.key, state, claim)
                assert decided is not None
                state, golden = decided.after, decided.golden or golden
            assert golden is not None
            self.claims.append(tuple(_around_row(each) for each in framed))
            self.goldens.append(codec.encode_golden(ENTITY, golden))
            changed = said(entry, SLOTS[0], items[SLOTS[0]], number, 1)._replace(row=_row(NO_ROW))
            self.changes.append(_around_row(codec.encode(f"sync.{ENTITY}.Claim", datum(changed))))


def _row(number: int) -> str:
    return f"[{number:09}]"


def _around_row(framed: bytes) -> tuple[bytes, bytes]:
    before, found, after = framed.partition(_row(NO_ROW).encode())
    assert found
    return before, after


def fill(bootstrap: str, node: str, patterns: Patterns, keys: int, partitions: int) -> Claims:
    """The changelogs as they are when each record's rows came one behind the other."""
    put = Claims(bootstrap, "", partitions, compression="lz4")
    state, golden = names.state(node, ENTITY), names.golden(node, ENTITY)
    for number in range(keys):
        key = key_of(number).encode()
        row = _row(number).encode()
        partition = partition_of(key, partitions)
        for source, (before, after) in zip(SLOTS, patterns.claims[number % PATTERNS], strict=True):
            slot = b"\x1f".join((key, source.encode(), row, b"resident"))
            put.put_one(state, slot, before + row + after, partition, NO_HEADERS)
        put.put_one(golden, key, patterns.goldens[number % PATTERNS], partition, NO_HEADERS)
    put.flush()
    return put


def changes(patterns: Patterns, keys: int, count: int, chance: random.Random) -> Iterator[tuple[bytes, bytes]]:
    """Updates of records of any number, each of them once: two items are new, so each makes a state and a golden record."""
    for number in chance.sample(range(keys), count):
        before, after = patterns.changes[number % PATTERNS]
        yield key_of(number).encode(), before + _row(number).encode() + after
