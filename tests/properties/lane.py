"""One partition of the resolve stage with its log in memory: batches that commit or abort, restarts that read the changelogs again.

It is the loop's protocol and nothing else (design §5): decide on an overlay, commit the outputs and the overlay together, or neither. The
surprise: after an abort the stage is opened again, since what it had in hand is void.
"""

import random
from typing import Any

import msgspec

from sync_engine.model import names
from sync_engine.model.avro import (
    claim_of_datum,
    claim_schema,
    claim_to_datum,
    decoder,
    encoder,
    golden_of_datum,
    golden_schema,
    golden_to_datum,
)
from sync_engine.model.avro_fast import Standing
from sync_engine.model.claim import Claim
from sync_engine.model.golden import Golden
from sync_engine.model.outcome import DeadLetter, Emit
from sync_engine.model.record import Record
from sync_engine.resolve.stage import ResolveStage
from tests.engine_adapter import FIRST_GENERATION, claim_of, record_of
from tests.properties.histories import Event
from tests.properties.worlds import World

NODE, PARTITION, NOW_MS = "here", 0, 0
POSITION = ("epoch", "phase", "major", "minor", "sub")


class AvroAndJson:
    """Codec: the entity's own schemas as Avro, the entity-free records as JSON. A name and a NUL frame the bytes."""

    def __init__(self, world: World) -> None:
        entity = record_of(world.entity, world.class_of, "").entity
        schemas = {"Claim": claim_schema(entity), "Golden": golden_schema(entity)}
        named = {f"sync.{entity.entity}.{name}": schema for name, schema in schemas.items()}
        self._encode = {name: encoder(schema) for name, schema in named.items()}
        self._decode = {name: decoder(schema) for name, schema in named.items()}

    def encode(self, name: str, datum: dict[str, Any]) -> bytes:
        body: bytes = self._encode[name](datum) if name in self._encode else msgspec.json.encode(datum)
        return name.encode() + b"\0" + body

    def decode(self, framed: bytes) -> tuple[str, dict[str, Any]]:
        name, _, body = framed.partition(b"\0")
        return name.decode(), self._decode.get(name.decode(), msgspec.json.decode)(body)

    def name(self, framed: bytes) -> str:
        return self.decode(framed)[0]

    def claim(self, framed: bytes, path: str) -> Claim | None:
        name, datum = self.decode(framed)
        return claim_of_datum(datum, path) if name.endswith(".Claim") else None

    def standing(self, framed: bytes) -> Standing:
        datum = self.decode(framed)[1]
        return datum["version"], datum["digest"], datum["life_cycle"], datum["jurisdiction"], datum["left"]

    def encode_claim(self, entity: str, claim: Claim) -> bytes:
        return self.encode(f"sync.{entity}.Claim", claim_to_datum(claim))

    def encode_golden(self, entity: str, golden: Golden) -> bytes:
        return self.encode(f"sync.{entity}.Golden", golden_to_datum(golden))


class Overlay:
    """View: what a batch wrote, over what is committed."""

    def __init__(self, committed: dict[bytes, Any]) -> None:
        self._committed = committed
        self.written: dict[bytes, Any] = {}

    def get(self, key: bytes) -> Any:
        return self.written[key] if key in self.written else self._committed.get(key)

    def put(self, key: bytes, state: Any) -> None:
        self.written[key] = state

    def scan(self, after: bytes, limit: int) -> list[tuple[bytes, Any]]:
        together = {**self._committed, **self.written}
        return [(key, state) for key, state in sorted(together.items()) if key > after and state is not None][:limit]

    def commit(self) -> None:
        for key, state in self.written.items():
            self._committed.pop(key, None) if state is None else self._committed.update({key: state})


class Lane:
    """The stage, its committed state and everything that it has written to its topics."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.codec = AvroAndJson(world)
        self.state: dict[bytes, Any] = {}
        self.log: list[Emit] = []
        self.start()

    def start(self) -> None:
        entity = self.world.entity["entity"]
        rules = record_of(self.world.entity, self.world.class_of, "").rules
        self.stage = ResolveStage(NODE, rules, FIRST_GENERATION, self.codec, (), lambda key, before, after, slot: ())
        self.topics = {"claim": names.claim(NODE, entity), "state": names.state(NODE, entity), "golden": names.golden(NODE, entity)}
        self.open()

    def open(self) -> None:
        self.stage.open(PARTITION, Overlay(self.state))

    def record_of(self, event: Event) -> Record:
        if event[0] == "claim":
            key, name, datum = event[1].encode(), f"sync.{self.world.entity['entity']}.Claim", claim_to_datum(claim_of(event[2]))
        else:
            key, name, datum = None, "sync.wire.Sweep", {"source": event[1], **dict(zip(POSITION, event[2], strict=True))}
        return Record(self.topics["claim"], PARTITION, 0, key, self.codec.encode(name, datum), (), NOW_MS)

    def run(self, events: list[Event], chance: random.Random) -> None:
        """All events, in batches of any size, some of which abort and come again."""
        while events:
            size = chance.randint(1, 8)
            if self.batch(events[:size], works=chance.random() < 0.5, aborts=chance.random() < 0.2):
                events = events[size:]
            if chance.random() < 0.2:
                self.restart(chance)
        self.batch([], works=True, aborts=False)

    def batch(self, events: list[Event], works: bool, aborts: bool) -> bool:
        """Whether it was committed."""
        view = Overlay(self.state)
        outputs: list[Any] = []
        for event in events:
            outputs += self.stage.decide(self.record_of(event), view, NOW_MS)
        while works and self.stage.has_more(PARTITION):
            outputs += self.stage.work(PARTITION, view, NOW_MS)
        assert not [one for one in outputs if isinstance(one, DeadLetter)], outputs
        if aborts:
            self.open()
            return False
        view.commit()
        self.log += outputs
        return True

    def restart(self, chance: random.Random) -> None:
        """Another worker takes over: it has the changelogs, one before the other, and perhaps compacted, and nothing else."""
        changelogs = chance.sample([self.topics["state"], self.topics["golden"]], 2)
        self.state = {}
        self.start()
        for topic in changelogs:
            view = Overlay(self.state)
            for emit in self.compacted(topic) if chance.random() < 0.5 else [one for one in self.log if one.topic == topic]:
                assert emit.key is not None
                self.stage.restore(topic, emit.key, emit.value, emit.headers, view)
            view.commit()
        self.open()

    def compacted(self, topic: str) -> list[Emit]:
        return list({emit.key: emit for emit in self.log if emit.topic == topic}.values())

    def goldens(self, key: str) -> list[Golden]:
        """Every version of a record that was written."""
        mine = [emit.value for emit in self.log if emit.topic == self.topics["golden"] and emit.key == key.encode()]
        return [golden_of_datum(self.world.entity["entity"], key, self.codec.decode(value)[1]) for value in mine if value]

    def standing(self, key: str) -> set[str]:
        """Ids of the findings that were raised and not cleared."""
        standing: set[str] = set()
        for emit in self.log:
            if emit.topic == names.finding(NODE) and emit.value:
                datum = self.codec.decode(emit.value)[1]
                if datum["key"] == key:
                    (standing.add if datum["standing"] else standing.discard)(datum["id"])
        return standing
