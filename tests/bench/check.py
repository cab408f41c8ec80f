"""Whether a side did the work: its golden records, read to the end, against the oracle's contents of the whole input.

A digest is made anew from the record's fields and compared with the one that stands in the record and with the oracle's.
"""

from collections.abc import Iterable, Mapping

import msgspec

from sync_engine.model.avro import golden_of_datum
from sync_engine.model.names import partition_of
from tests.bench.broker import read_all
from tests.bench.catalogue import ENTITY, Entry, class_of, declarations
from tests.bench.codec import new_codec
from tests.bench.work import outputs_of
from tests.bench.workload import Change, as_the_oracle_says_it
from tests.oracle.claims import content_of, digest

Digests = Mapping[str, bytes]


class Outcome(msgspec.Struct, frozen=True):
    """What a side's turns left in its topics."""

    keys: int
    wrong_keys: int
    golden_records: int
    state_records: int
    findings: int
    golden_bytes_mean: float


def digest_by_the_oracle(entry: Entry, key: str, said: Iterable[Change]) -> bytes:
    content = content_of(entry, lambda source: class_of(entry, source), key, [as_the_oracle_says_it(change) for change in said], [])
    assert content is not None
    return digest(content)


def outcome(bootstrap: str, registry: str, node: str, partitions: int, entry: Entry, expected: Digests) -> Outcome:
    codec = new_codec(declarations(entry, node, partitions), registry)
    state_topic, golden_topic, finding_topic = outputs_of(node)
    keys = wrong = golden_records = golden_bytes = 0
    for partition in range(partitions):
        last: dict[bytes, bytes] = {}
        for key, value in read_all(bootstrap, golden_topic, [partition]):
            last[key] = value
            golden_records += 1
            golden_bytes += len(value)
        keys += len(last)
        for raw, value in last.items():
            key = raw.decode()
            golden = golden_of_datum(ENTITY, key, codec.decode(value)[1])
            as_it_should = golden.content.digest() == golden.digest == expected.get(key)
            wrong += not (as_it_should and partition_of(raw, partitions) == partition)
    counts = [sum(1 for _ in read_all(bootstrap, topic, range(partitions))) for topic in (state_topic, finding_topic)]
    missing = len(expected) - keys
    return Outcome(keys, wrong + max(missing, 0), golden_records, *counts, round(golden_bytes / max(golden_records, 1), 1))
