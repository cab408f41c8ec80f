"""One claim against one record: accept it or not, and what then changes. Docs/merge.md is the contract.

The state of a record is all its slots and what golden last said. The surprise: version and digest are read back from the golden log, never
recomputed, so that a replay moves nothing.
"""

from collections.abc import Mapping

import msgspec

from sync_engine.model.claim import Claim, Position, join, same_word, swept
from sync_engine.model.finding import Finding
from sync_engine.model.golden import Golden, next_version
from sync_engine.resolve.content import Resolved, Rules
from sync_engine.resolve.plan import resolve


class RecordState(msgspec.Struct, array_like=True, gc=False):
    """What a node keeps of one record: its slots (from state.<entity>) and what golden.<entity> last said of it."""

    slots: list[Claim]
    version: int = 0
    digest: bytes = b""
    life_cycle: str = ""
    jurisdiction: str | None = None
    left: dict[str, int] = {}
    findings: list[Finding] | None = None
    """Findings now standing; None after a restore: they follow from the slots."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """What an accepted claim changes."""

    before: RecordState
    after: RecordState
    slots: list[Claim]
    """The slots that changed, as they now stand: what state.<entity> must say. One, but for a sweep."""
    passes_through: bool
    """Whether the one slot is the claim itself, so that its bytes may be written as they came."""
    golden: Golden | None
    """The new version, if the content changed."""
    raised: list[Finding]
    cleared: list[Finding]


EMPTY = RecordState([])
NO_SWEEPS: Mapping[str, Position] = {}


def decide(
    rules: Rules, generation: int, key: str, state: RecordState | None, claim: Claim, sweeps: Mapping[str, Position] = NO_SWEEPS
) -> Change | None:
    """What this claim changes; None if it says nothing new (a duplicate, a replay, an overtaken position).

    `sweeps` = the greatest sweep seen of each source: it also ends a slot that is heard of only after it.
    """
    before = state or EMPTY
    slots = before.slots
    for index, slot in enumerate(slots):
        if slot.row == claim.row and slot.source == claim.source and slot.mapping == claim.mapping:
            joined = join(slot, claim)
            if sweeps:
                joined = _after_sweep(joined, sweeps)
            if joined is slot or same_word(joined, slot):
                return None
            return _change(rules, generation, key, before, [*slots[:index], joined, *slots[index + 1 :]], [joined], claim)
    first = _after_sweep(claim, sweeps) if sweeps else claim
    return _change(rules, generation, key, before, [*slots, first], [first], claim)


def _after_sweep(slot: Claim, sweeps: Mapping[str, Position]) -> Claim:
    position = sweeps.get(slot.source)
    return slot if position is None else swept(slot, position)


def sweep(rules: Rules, generation: int, key: str, state: RecordState, source: str, position: Position) -> Change | None:
    """What the source's sweep changes in this record: one event, however many slots the finished snapshot no longer had."""
    slots = [swept(slot, position) if slot.source == source else slot for slot in state.slots]
    changed = [after for before, after in zip(state.slots, slots, strict=True) if after is not before]
    return _change(rules, generation, key, state, slots, changed, None) if changed else None


def _change(
    rules: Rules, generation: int, key: str, before: RecordState, slots: list[Claim], changed: list[Claim], claim: Claim | None
) -> Change:
    resolved = resolve(rules, key, slots)
    standing = before.findings
    if standing is None:
        standing = list(resolve(rules, key, before.slots).findings) if before.slots else []
    found = list(resolved.findings)
    raised = [finding for finding in found if finding not in standing] if found else found
    cleared = [finding for finding in standing if finding not in found] if standing else standing
    digest = resolved.content.digest()
    if digest == before.digest:
        after = RecordState(slots, before.version, digest, before.life_cycle, before.jurisdiction, before.left, found)
        return Change(before, after, changed, changed[0] is claim, None, raised, cleared)
    golden = _golden(rules, generation, before, resolved, digest, slots)
    content = golden.content
    after = RecordState(slots, golden.version, digest, content.life_cycle, content.jurisdiction, golden.left, found)
    return Change(before, after, changed, changed[0] is claim, golden, raised, cleared)


def _golden(rules: Rules, generation: int, before: RecordState, resolved: Resolved, digest: bytes, slots: list[Claim]) -> Golden:
    version = next_version(generation, before.version)
    content, left = resolved.content, before.left
    if content.jurisdiction != before.jurisdiction:
        left = {region: at for region, at in left.items() if region != content.jurisdiction}
        if before.jurisdiction is not None:
            left[before.jurisdiction] = version
    effective = max([slot.effective_ms for slot in slots])
    return Golden(content, version, digest, rules.version, effective, resolved.sources, left)
