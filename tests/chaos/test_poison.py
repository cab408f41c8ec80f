"""Records that nobody can use come between good ones: each is put aside as it came, none holds up the others, and these are all right.

For a drill: SYNC_POISON_BAD among SYNC_POISON_GOOD; SYNC_CHAOS_SEED says where, and what the good ones say.
"""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sync_engine.model import names
from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.schemas import MAGIC
from tests.chaos.place import COLUMNS, Place, Put, origin
from tests.simulation.departments import Envelopes

pytestmark = pytest.mark.broker

SEED = int(os.environ.get("SYNC_CHAOS_SEED", "1"))
BAD = int(os.environ.get("SYNC_POISON_BAD", "200"))
GOOD = int(os.environ.get("SYNC_POISON_GOOD", "10000"))
ROWS = 500
Poison = tuple[str, Put]
"""(reason, what comes)"""


@pytest.fixture
def place(broker: LocalStack, tmp_path: Path) -> Iterator[Place]:
    made = Place(broker, tmp_path)
    yield made
    made.worker.kill()


def test_poison_among_good_records_is_put_aside_and_holds_up_nothing(place: Place, record_property: Callable[[str, int], None]) -> None:
    chance = random.Random(SEED)
    where, kinds = set(chance.sample(range(GOOD + BAD), BAD)), poisons(place, chance)
    bad = {offset: next(kinds) for offset in sorted(where)}
    place.start()
    place.put([bad[at][1] if at in bad else place.change(chance.randint(1, ROWS), chance) for at in range(GOOD + BAD)])
    standstill = place.drained(120 + GOOD / 200)

    letters = [place.codec.decode(record.value)[1] for record in place.read(names.dead(place.node))]
    assert [(letter["offset"], letter["reason"]) for letter in letters] == [(offset, reason) for offset, (reason, _) in bad.items()]
    assert [(letter["value"], letter["key"]) for letter in letters] == [(put.value, put.key) for _, put in bad.values()]
    place.assert_holds_what_is_owed()
    counts = {"good": GOOD, "bad": BAD, "dead letters": len(letters), "longest standstill, ms": round(standstill * 1000)}
    for what, count in counts.items():
        record_property(what, count)


def poisons(place: Place, chance: random.Random) -> Iterator[Poison]:
    """Eight kinds, one after the other."""
    row = {"id": 9_999, "number": "K9999", "name": "赵六", "region": "341502", "since": "2020-01-01", "mobile": None}
    whole = place.envelope("c", None, row, 1)
    wider = {**row, "nobody_knows": "x"}
    other = Envelopes(place.registry, "place_other", (*COLUMNS, "nobody_knows"))
    place.note(wider)  # its key can be read, so its record is known to be in error
    while True:
        yield "undecodable", Put(b'{"op": "c", "after": {"id": %d' % chance.randrange(10**9))  # JSON, and broken off
        yield "unknown_column", Put(other.encode({"op": "c", "before": None, "after": wider, "source": origin(1)}))  # another table's
        yield "undecodable", Put(b"\xff" + chance.randbytes(1_000_000))  # nearly as large as Kafka lets it be
        yield "undecodable", Put(b"[" * 10_000 + b"]" * 10_000)  # nested deeply
        yield "undecodable", Put(whole[: chance.randrange(5, len(whole) - 40)], None)  # broken off, and without a key
        yield "undecodable", Put(whole.replace("赵六".encode(), "赵六".encode("gb18030") + b"\xff\xff"))  # another encoding
        yield "unknown_schema", Put(MAGIC + b"\x7f\xff\xff\xff" + chance.randbytes(40))  # a schema of tomorrow
        yield "invalid_position", Put(whole, header=("other", b"header"))  # from nobody's capture
