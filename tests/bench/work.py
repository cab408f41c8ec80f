"""What one claim causes, for the Python sides that are not the engine: the engine's pure functions and nothing around them."""

from typing import Any

import msgspec

from sync_engine.model import names
from sync_engine.model.finding import Finding
from sync_engine.resolve.content import compile_rules
from sync_engine.resolve.decide import RecordState, decide
from sync_engine.resolve.stage import slot_key
from tests.bench.catalogue import ENTITY, class_of, entity_type, read_entry
from tests.bench.catalogue import declarations as declare
from tests.bench.codec import new_codec

Output = tuple[str, bytes, bytes]
"""(topic, key, value)"""

encode_state = msgspec.msgpack.Encoder().encode
decode_state = msgspec.msgpack.Decoder(RecordState).decode
"""A record's state as MessagePack, as the engine's store has it."""


def outputs_of(node: str) -> tuple[str, str, str]:
    """The topics of state, golden and findings."""
    return names.state(node, ENTITY), names.golden(node, ENTITY), names.finding(node)


class Work:
    """The state is the caller's: in a store, in a table."""

    def __init__(self, node: str, registry: str) -> None:
        entry = read_entry()
        self._node = node
        self._codec = new_codec(declare(entry, node, 1), registry)
        self._rules = compile_rules(entity_type(entry), lambda source: class_of(entry, source))
        self._topics = outputs_of(node)

    def apply(self, key: bytes, value: bytes, before: RecordState | None, now_ms: int) -> tuple[RecordState, list[Output]] | None:
        """The record's next state and what to write; None if the claim says nothing new."""
        claim = self._codec.claim(value, self._node)
        assert claim is not None
        text = key.decode()
        change = decide(self._rules, 0, text, before, claim)
        if change is None:
            return None
        state, golden, finding = self._topics
        outputs = []
        for slot in change.slots:
            said = value if change.passes_through else self._codec.encode_claim(ENTITY, slot)
            outputs.append((state, slot_key(text, slot), said))
        if change.golden is not None:
            outputs.append((golden, key, self._codec.encode_golden(ENTITY, change.golden)))
        for standing, found in ((True, change.raised), (False, change.cleared)):
            for one in found:
                outputs.append((finding, one.subject.encode(), self._codec.encode("sync.wire.Finding", _finding(one, standing, now_ms))))
        return change.after, outputs


def _finding(finding: Finding, standing: bool, now_ms: int) -> dict[str, Any]:
    return {
        "id": finding.id,
        "subject": finding.subject,
        "entity": finding.entity,
        "key": finding.key,
        "kind": finding.kind,
        "rule": finding.rule,
        "item": finding.item,
        "pairs": [{"source": source, "value": msgspec.json.encode(value).decode()} for source, value in finding.pairs],
        "standing": standing,
        "at_ms": now_ms,
    }
