"""Whether a side did the work: its golden records, read to the end, against the oracle's contents of the whole input.

A digest is made anew from the record's fields and compared with the one that stands in the record and with the oracle's.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sync_engine.model import names
from sync_engine.model.avro import golden_of_datum
from tests.bench.broker import read_all
from tests.bench.catalogue import ENTITY, Entry, class_of, declarations
from tests.bench.codec import new_codec
from tests.bench.job import Job
from tests.bench.workload import Change, as_the_oracle_says_it
from tests.oracle.claims import content_of, digest

Digests = Mapping[str, bytes]


class Outcome(msgspec.Struct, frozen=True):
    """What a run left in its topics."""

    keys: int
    wrong_keys: int
    golden_records: int
    state_records: int
    findings: int


def digests_by_the_oracle(entry: Entry, changes: Iterable[Change]) -> Digests:
    by_key: dict[str, list[Change]] = {}
    for change in changes:
        by_key.setdefault(change.key, []).append(change)
    found = {}
    for key, said in by_key.items():
        content = content_of(entry, lambda source: class_of(entry, source), key, [as_the_oracle_says_it(change) for change in said], [])
        assert content is not None
        found[key] = digest(content)
    return found


def outcome(job: Job, entry: Entry, expected: Digests) -> Outcome:
    bootstrap, node, partitions = job.bootstrap, job.node, job.partitions
    codec = new_codec(declarations(entry, node, partitions), job.registry)
    last: dict[bytes, bytes] = {}
    golden_records = 0
    for key, value in read_all(bootstrap, names.golden(node, ENTITY), partitions):
        last[key] = value
        golden_records += 1
    wrong = len(expected.keys() - {key.decode() for key in last})
    for key, value in last.items():
        golden = golden_of_datum(ENTITY, key.decode(), codec.decode(value)[1])
        wrong += not golden.content.digest() == golden.digest == expected.get(key.decode())
    counts = [sum(1 for _ in read_all(bootstrap, topic, partitions)) for topic in _others(node)]
    return Outcome(len(last), wrong, golden_records, *counts)


def _others(node: str) -> Sequence[str]:
    return (names.state(node, ENTITY), names.finding(node))
