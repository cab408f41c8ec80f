"""Every case of case/: findings raised and cleared, watermarks and time; then which cases stand and which alerts are written.

What a case may say stands in case/README.md. It runs in the engine's own loop, so that a restart has the topics and nothing else.
"""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sync_engine.case.stage import CaseStage
from sync_engine.model import names
from sync_engine.model.finding import Finding
from tests.cases.casefile import ANY, Named, load, parameters
from tests.cases.network import ENTITY, KEY, declarations
from tests.fakes.codec import FakeCodec
from tests.fakes.lane import FakeLane

STANDS = dict.fromkeys(("state", "owner", "raised", "opened", "closed", "pairs"), ANY)
STEP = {
    "at": ANY,
    "restart": True,
    "raised": [ANY],
    "cleared": [ANY],
    "watermarks": Named(ANY),
    "cases": Named({**STANDS, "pairs": [[ANY]]}),
    "alerts": [ANY],
}
SHAPE = {
    "node": ANY,
    "findings": Named({**dict.fromkeys(("item", "kind", "rule"), ANY), "pairs": [[ANY]]}),
    "steps": [STEP],
}


@pytest.mark.parametrize("file", parameters("case"))
def test_the_case_holds(file: Path) -> None:
    case = load(file, SHAPE)
    node, watermarks = case.get("node", "city"), {}
    findings = {name: finding_of(written) for name, written in case["findings"].items()}

    def watermark(source: str) -> int | None:
        seconds = watermarks.get(source)
        return None if seconds is None else int(seconds * 1000)

    lane = FakeLane(node, lambda: CaseStage(declarations(), node, codec(), watermark), codec(), [names.alert(node)])
    for number, step in enumerate(case["steps"], start=1):
        watermarks.update(step.get("watermarks", {}))
        if "restart" in step:
            lane.restart()
        now_ms, written = int(step["at"] * 1000), len(lane.broker.records(names.alert(node)))
        for standing, word in ((True, "raised"), (False, "cleared")):  # resolve writes them in this order
            for name in step.get(word, []):
                put(lane, node, findings[name], standing, now_ms)
        lane.turn(now_ms)

        where = f"{case['title']}: step {number}"
        told = step.get("cases", {})
        assert standing_cases(lane, node, told) == told, where
        assert [alert_of(one.value, node) for one in lane.broker.records(names.alert(node))[written:]] == step.get("alerts", []), where


@cache
def codec() -> FakeCodec:
    return FakeCodec(declarations())


def finding_of(written: dict[str, Any]) -> Finding:
    kind, rule = written.get("kind", "disagreement"), written.get("rule", "C1")
    return Finding(ENTITY, KEY, kind, rule, written.get("item", "name"), [(source, value) for source, value in written["pairs"]])


def put(lane: FakeLane, node: str, finding: Finding, standing: bool, now_ms: int) -> None:
    pairs = [{"source": source, "value": msgspec.json.encode(value).decode()} for source, value in finding.pairs]
    datum = {name: getattr(finding, name) for name in ("id", "subject", "entity", "key", "kind", "rule", "item")}
    value = codec().encode("sync.wire.Finding", {**datum, "pairs": pairs, "standing": standing, "at_ms": now_ms})
    lane.broker.put(names.finding(node), finding.subject.encode(), value)


def standing_cases(lane: FakeLane, node: str, told: dict[str, Any]) -> dict[str, Any]:
    """What compaction leaves of the case topic, by item: of each case what the step speaks of."""
    found = {}
    for value in lane.kept(names.case(node)).values():
        datum = codec().decode(value)[1]
        shown = {
            "state": datum["state"],
            "owner": datum["owner"],
            "raised": datum["raised_ms"] / 1000,
            "opened": datum["opened_ms"] and datum["opened_ms"] / 1000,
            "closed": datum["closed_ms"] and datum["closed_ms"] / 1000,
            "pairs": [[pair["source"], msgspec.json.decode(pair["value"])] for pair in datum["pairs"]],
        }
        found[datum["item"]] = {word: shown[word] for word in told.get(datum["item"], shown)}
    return found


def alert_of(value: bytes | None, node: str) -> str:
    assert value is not None
    datum = codec().decode(value)[1]
    assert (datum["kind"], datum["node"]) == ("conflict", node)
    assert KEY not in str(datum), "an alert names no record"
    return f"{datum['status']} {datum['labels']['item']}"
