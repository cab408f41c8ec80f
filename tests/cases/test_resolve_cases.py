"""Every case of resolve/, by the oracle and by the engine: as written, replayed, and with its steps in other orders.

What a case may say stands in README.md beside this file. The surprise: both runners are asked after every step, so that a version or a
finding that came and went is seen.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine_adapter import Step, record_of, take
from tests.oracle.claims import Content, Finding, content_of, digest, findings_of, slots_of

HERE = Path(__file__).parent
CATALOGUE = yaml.safe_load((HERE / "catalogue.yaml").read_text(encoding="utf-8"))
BY_KIND = yaml.safe_load((HERE / "catalogue_by_kind.yaml").read_text(encoding="utf-8"))
"""Of the cases that say a key: the rules depend on it."""
CASES = sorted((HERE / "resolve").glob("*.yaml"))
KINDS = ("assert", "in_error", "withdraw", "out_of_scope")
EXPECTABLE = ("life_cycle", "moved_to", "jurisdiction", "items", "findings", "incomplete")


@dataclass(frozen=True)
class Outcome:
    """What stands after a step."""

    n: int
    content: Content | None
    findings: set[Finding]
    incomplete: set[str]


Catalogue = dict[str, Any]
Runner = Callable[[Catalogue, list[Step]], Iterator[Outcome]]


def class_of(source: str) -> str:
    return str(CATALOGUE["sources"].get(source) or BY_KIND["sources"][source])


def catalogue_of(case: dict[str, Any]) -> Catalogue:
    return {**BY_KIND, "key": case["key"]} if "key" in case else CATALOGUE


def by_oracle(catalogue: Catalogue, steps: list[Step]) -> Iterator[Outcome]:
    """By definition: all that has been said so far, from the beginning, after every step."""
    n, last = 0, b""
    for count in range(1, len(steps) + 1):
        claims = [said[1] for said in steps[:count] if said[0] == "claim"]
        sweeps = [(said[1], said[2]) for said in steps[:count] if said[0] == "sweep"]
        content = content_of(catalogue, class_of, catalogue["key"], claims, sweeps)
        if content is not None and digest(content) != last:
            n, last = n + 1, digest(content)
        findings = findings_of(catalogue, class_of, catalogue["key"], claims, sweeps)
        yield Outcome(n, content, findings, {slot["source"] for slot in slots_of(claims, sweeps) if slot["incomplete"]})


def by_engine(catalogue: Catalogue, steps: list[Step]) -> Iterator[Outcome]:
    record = record_of(catalogue, class_of, catalogue["key"])
    for step in steps:
        take(record, [step])
        yield Outcome(record.n, record.content(), record.findings(), {source for source, _, _ in record.incomplete_slots()})


# --- a case as it is written ---


def load(file: Path) -> dict[str, Any]:
    case: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert set(case) - {"key"} == {"title", "given", "expect"}, "a case says title, given and expect, and may say a key"
    return case


def steps_of(given: list[dict[str, Any]]) -> list[Step]:
    steps: list[Step] = []
    for written in given:
        if "replay" in written:
            assert set(written) <= {"replay", "n", "then"}
            steps.append(steps[written["replay"] - 1])
        elif "sweep" in written:
            assert set(written) <= {"sweep", "at", "n", "then"}
            steps.append(("sweep", written["sweep"], position_of(written)))
        else:
            steps.append(("claim", claim_of(written)))
    return steps


def claim_of(written: dict[str, Any]) -> dict[str, Any]:
    (kind,) = set(written) & set(KINDS)
    assert set(written) <= {kind, "row", "at", "says", "withheld", "unchanged", "moved_to", "n", "then"}
    source, row = written[kind], written.get("row", 1)
    scope = source.startswith("scope/")
    assert scope or source in CATALOGUE["sources"] or source in BY_KIND["sources"]
    cells: dict[str, Any] = {item: "null" if value is None else {"value": value} for item, value in written.get("says", {}).items()}
    cells |= {item: word for word in ("withheld", "unchanged") for item in written.get(word, [])}
    assert set(cells) <= set(CATALOGUE["items"]) | set(BY_KIND["items"])
    return {
        "source": source,
        "row": row if scope else f"[{row}]",
        "mapping": "scope" if scope else "self",
        "kind": kind,
        "position": position_of(written),
        "cells": cells,
        "moved_to": written.get("moved_to"),
    }


def position_of(written: dict[str, Any]) -> tuple[int, ...]:
    epoch, phase, major, minor, sub = written["at"]
    return (epoch, phase, major, minor, sub)


# --- what is expected ---


def seen(outcome: Outcome) -> dict[str, Any] | str:
    """An outcome in the words of `expect`."""
    if outcome.content is None:
        return "nothing"
    _, _, life_cycle, moved_to, jurisdiction, redirect, items, flags = outcome.content
    assert (redirect, flags) == (None, [])
    return {
        "life_cycle": life_cycle,
        "moved_to": moved_to,
        "jurisdiction": jurisdiction,
        "items": {item: [status, value] for item, status, value in items},
        "findings": outcome.findings,
        "incomplete": outcome.incomplete,
    }


def expected(written: dict[str, Any] | str) -> dict[str, Any] | str:
    if isinstance(written, str):
        return written
    assert set(written) <= set(EXPECTABLE)
    told = dict(written)
    if "findings" in told:
        told["findings"] = {
            (one["kind"], one["rule"], one["item"], tuple((source, value) for source, value in one["pairs"])) for one in told["findings"]
        }
    if "incomplete" in told:
        told["incomplete"] = set(told["incomplete"])
    return told


def in_full(written: dict[str, Any] | str) -> dict[str, Any] | str:
    nothing: dict[str, Any] = {"moved_to": None, "jurisdiction": None, "items": {}, "findings": [], "incomplete": []}
    return written if isinstance(written, str) else {**nothing, **written}


def only(told: dict[str, Any] | str, all_of_it: dict[str, Any] | str) -> dict[str, Any] | str:
    """The part of `all_of_it` that `told` speaks of."""
    if isinstance(told, str) or isinstance(all_of_it, str):
        return all_of_it
    return {name: all_of_it[name] for name in told}


RUNNERS = pytest.mark.parametrize("runner", [by_oracle, by_engine])
FILES = pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)


@RUNNERS
@FILES
def test_the_case_holds_after_every_step(file: Path, runner: Runner) -> None:
    case = load(file)
    outcomes = list(runner(catalogue_of(case), steps_of(case["given"])))
    for number, (written, outcome) in enumerate(zip(case["given"], outcomes, strict=True), start=1):
        assert outcome.n == written.get("n", outcome.n), f"{case['title']}: version after step {number}"
        told = expected(written.get("then", {}))
        assert only(told, seen(outcome)) == told, f"{case['title']}: after step {number}"
    assert seen(outcomes[-1]) == expected(in_full(case["expect"])), case["title"]


@RUNNERS
@FILES
def test_the_case_ends_the_same_when_everything_comes_again(file: Path, runner: Runner) -> None:
    case = load(file)
    steps = steps_of(case["given"])
    outcomes = list(runner(catalogue_of(case), steps + steps))
    assert all(outcome == outcomes[len(steps) - 1] for outcome in outcomes[len(steps) :]), case["title"]


@FILES
def test_the_case_ends_the_same_in_every_order(file: Path) -> None:
    case = load(file)
    steps = steps_of(case["given"])
    orders = [steps[::-1], *(random.Random(seed).sample(steps, len(steps)) for seed in range(20))]
    for order in orders:
        *_, last = by_engine(catalogue_of(case), order)
        assert seen(last) == expected(in_full(case["expect"])), f"{case['title']}: {order}"


def test_no_two_cases_say_the_same() -> None:
    titles = [load(file)["title"] for file in CASES]
    assert len(set(titles)) == len(titles) >= 25
