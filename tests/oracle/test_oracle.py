"""The oracle against examples that were worked out by hand, and its independence of the engine."""

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.oracle.claims import Claim, canonical, content_of, digest, finding_id, findings_of, slot_of

HERE = Path(__file__).parent

ENTITY: dict[str, Any] = {
    "entity": "person",
    "existence": "police",
    "jurisdiction": "region",
    "authority": [
        {"rule": "P-A1", "items": ["name"], "class": "police", "fallback": ["social"], "order_by": "since"},
        {"rule": "P-A2", "items": ["region", "since"], "class": "police", "order_by": "since", "together": True},
        {"rule": "P-A3", "items": ["mobile"], "class": "social", "fallback": ["police"]},
    ],
    "compare": [{"rule": "P-C1", "items": ["name"], "classes": ["police", "social"]}],
}
CLASSES = {"a": "police", "b": "police", "s": "social", "x": "other"}
SWEPT = (1, 1, 9, 0, 0)


def claim(source: str, major: int, kind: str = "assert", moved_to: str | None = None, epoch: int = 1, **cells: Any) -> Claim:
    """A claim in which a plain value is written bare and None is *null*."""
    words = {None: "null", "withheld": "withheld", "unchanged": "unchanged"}
    written = {item: words.get(cell, {"value": cell}) for item, cell in cells.items()}
    position = (epoch, 1, major, 0, 0)
    return {"source": source, "row": "[1]", "mapping": "self", "kind": kind, "position": position, "cells": written, "moved_to": moved_to}


def content(*claims: Claim, sweeps: Any = ()) -> Any:
    return content_of(ENTITY, CLASSES.__getitem__, "K1", list(claims), list(sweeps))


def items(*claims: Claim) -> Any:
    return content(*claims)[6]


def findings(*claims: Claim) -> set[tuple[str, str, str]]:
    return {(kind, rule, item) for kind, rule, item, _ in findings_of(ENTITY, CLASSES.__getitem__, "K1", list(claims), [])}


def imported_modules(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return plain | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("file", sorted(HERE.glob("*.py")), ids=lambda file: file.name)
def test_nothing_of_the_oracle_imports_the_engine(file: Path) -> None:
    allowed = {"tests.oracle.claims", "tests.oracle.normal", "tests.oracle.rows", "yaml", "pytest"}
    standard = {"ast", "collections.abc", "dataclasses", "datetime", "decimal", "hashlib", "json", "pathlib", "re", "typing", "unicodedata"}
    assert imported_modules(file) <= allowed | standard


def test_canonical_bytes_and_digest_are_those_worked_out_with_b2sum() -> None:
    record = content(claim("a", 1, name="张三", region="341502"))
    expected = [["name", "confirmed", "张三"], ["region", "confirmed", "341502"]]
    assert record == ["person", "K1", "live", None, "341502", None, expected, []]
    written = ["person", "K1", "live", None, "341502", None, [["name", "confirmed", "张三"]], []]
    assert canonical(written) == '["person","K1","live",null,"341502",null,[["name","confirmed","张三"]],[]]'.encode()
    assert digest(written).hex() == "4b6d045b9e40de75f0bc56e4640f527f"


def test_the_id_of_a_finding_is_the_one_worked_out_with_b2sum() -> None:
    finding = ("disagreement", "P-C1", "name", (("a", "张三"), ("b", "张山")))
    assert finding_id("person", "K1", finding) == "73ffeaf9d6fec26f0c4fa1710e39b5b7"


def test_a_key_without_claims_has_no_record() -> None:
    assert content() is None
    assert content(sweeps=[("a", SWEPT)]) is None


class TestSlot:
    def test_the_newest_claim_is_the_head_whatever_the_order(self) -> None:
        older, newer = claim("a", 1, name="old"), claim("a", 2, name="new")
        assert slot_of([newer, older], [])["cells"] == slot_of([older, newer], [])["cells"] == {"name": {"value": "new"}}

    def test_a_complete_claim_drops_items_that_it_does_not_mention(self) -> None:
        assert slot_of([claim("a", 1, name="n", mobile="1"), claim("a", 2, name="m")], [])["cells"] == {"name": {"value": "m"}}

    def test_an_unchanged_item_keeps_its_value_and_position(self) -> None:
        slot = slot_of([claim("a", 1, name="n", mobile="1"), claim("a", 2, name="m", mobile="unchanged")], [])
        assert slot["cells"] == {"name": {"value": "m"}, "mobile": {"value": "1"}}
        assert slot["positions"] == {"name": (1, 1, 2, 0, 0), "mobile": (1, 1, 1, 0, 0)}
        assert not slot["incomplete"]

    def test_an_unchanged_item_that_was_never_known_makes_the_slot_incomplete(self) -> None:
        assert slot_of([claim("a", 2, name="m", mobile="unchanged")], [])["incomplete"]

    def test_a_complete_claim_between_two_ends_the_older_value_of_an_unchanged_item(self) -> None:
        between = [claim("a", 1, mobile="1"), claim("a", 2, name="m"), claim("a", 3, mobile="unchanged")]
        assert slot_of(between, [])["cells"] == {"name": {"value": "m"}, "mobile": "unchanged"}

    def test_a_withdrawal_ends_the_older_value_of_an_unchanged_item(self) -> None:
        between = [claim("a", 1, mobile="1"), claim("a", 2, "withdraw"), claim("a", 3, mobile="unchanged")]
        assert slot_of(between, [])["cells"] == {"mobile": "unchanged"}

    def test_at_one_position_a_withdrawal_beats_a_row_and_a_row_beats_a_sweep(self) -> None:
        row = claim("a", 9, name="n")
        assert not slot_of([row, claim("a", 9, "withdraw")], [])["live"]
        assert slot_of([row], [("a", SWEPT)])["live"]
        assert not slot_of([claim("a", 8, name="n")], [("a", SWEPT)])["live"]
        assert slot_of([row, claim("a", 9, "in_error", name="unchanged")], [])["cells"] == {"name": {"value": "n"}}

    def test_at_one_position_the_greater_cell_stands_item_by_item(self) -> None:
        one, other = claim("a", 1, name="b", mobile=None, since="withheld"), claim("a", 1, name="a", mobile="1", since=None)
        assert slot_of([one, other], [])["cells"] == {"name": {"value": "b"}, "mobile": {"value": "1"}, "since": "null"}

    def test_an_older_epoch_is_forgotten_by_the_first_word_of_a_newer_one(self) -> None:
        slot = slot_of([claim("a", 99, name="n"), claim("a", 1, "in_error", epoch=2, name="unchanged")], [])
        assert slot["cells"] == {"name": "unchanged"}
        assert slot["live"]

    def test_a_sweep_ends_a_live_slot_and_leaves_an_ended_one_its_forward(self) -> None:
        row, forward, back = claim("a", 1, name="n"), claim("a", 5, "withdraw", moved_to="K2"), claim("a", 10, name="m")
        assert slot_of([row, forward], [("a", SWEPT)])["moved_to"] == "K2"
        assert slot_of([row, forward, back], [("a", SWEPT)])["cells"] == {"name": {"value": "m"}}
        assert slot_of([forward, claim("a", 6, name="n")], [("a", SWEPT)])["moved_to"] is None

    def test_a_sweep_below_the_head_still_ends_what_stood_before_it(self) -> None:
        later = claim("a", 10, "in_error", name="unchanged")
        assert slot_of([claim("a", 1, name="n"), later], [("a", SWEPT)])["cells"] == {"name": "unchanged"}

    def test_an_unreadable_change_is_an_error_until_the_floor_passes_it(self) -> None:
        row, error, partial = claim("a", 1, name="n"), claim("a", 2, "in_error", name="unchanged"), claim("a", 3, name="unchanged")
        assert slot_of([row, error, partial], [])["error"] == (1, 1, 2, 0, 0, 2)
        assert slot_of([row, error, partial, claim("a", 4, name="m")], [])["error"] is None

    def test_another_sources_sweep_does_nothing(self) -> None:
        assert slot_of([claim("a", 8, name="n")], [("b", SWEPT)])["live"]


class TestContent:
    def test_the_authority_is_confirmed_and_the_fallback_is_said_to_be_one(self) -> None:
        assert items(claim("a", 1, name="n", mobile="1")) == [["mobile", "fallback", "1"], ["name", "confirmed", "n"]]

    def test_a_null_of_the_authority_clears_without_fallback(self) -> None:
        assert items(claim("a", 1, name=None), claim("s", 1, name="n")) == [["name", "confirmed", None]]

    def test_withheld_has_no_value_and_no_fallback(self) -> None:
        assert items(claim("a", 1, name="withheld"), claim("s", 1, name="n")) == [["name", "withheld", None]]

    def test_in_error_is_unverified_also_by_fallback(self) -> None:
        error = claim("s", 2, "in_error", name="unchanged")
        assert items(claim("s", 1, name="n"), error) == [["name", "unverified", "n"]]
        assert items(claim("s", 1, name="n"), error, claim("s", 3, name="unchanged")) == [["name", "unverified", "n"]]
        assert items(claim("s", 1, name="n"), error, claim("s", 3, name="m", mobile="unchanged")) == [["name", "fallback", "m"]]

    def test_greatest_order_by_then_smallest_source(self) -> None:
        assert items(claim("a", 1, name="A", since="2020"), claim("b", 1, name="B", since="2021"))[0][2] == "B"
        assert items(claim("a", 1, name="A", since=None), claim("b", 1, name="B", since="2021"))[0][2] == "B"
        assert items(claim("b", 1, name="B"), claim("a", 9, name="A"))[0][2] == "A"

    def test_a_group_comes_from_one_winner_and_leaves_out_what_it_does_not_know(self) -> None:
        one, other = claim("a", 1, region="341502"), claim("b", 1, since="2021")
        assert items(one, other) == [["since", "confirmed", "2021"]]

    def test_life_cycles(self) -> None:
        row, gone, forward = claim("a", 1, name="n"), claim("a", 2, "withdraw"), claim("b", 2, "withdraw", moved_to="K2")
        assert content(row)[2:4] == ["live", None]
        assert content(claim("s", 1, name="n"))[2:4] == ["unconfirmed", None]
        assert content(row, gone, claim("s", 1, name="n"))[2:] == ["withdrawn", None, None, None, [], []]
        assert content(forward)[2:4] == ["moved", "K2"]
        assert content(forward, gone)[2:4] == ["withdrawn", None]
        assert content(claim("a", 1, name="n"), sweeps=[("a", SWEPT)])[2:] == ["withdrawn", None, None, None, [], []]

    def test_out_of_scope_is_moved_whatever_the_rows_say_until_it_is_back_in_scope(self) -> None:
        row, left, back = claim("a", 1, name="n"), claim("scope/up", 1, "out_of_scope", moved_to="341525"), claim("scope/up", 2)
        assert content(row, left) == ["person", "K1", "moved", "341525", None, None, [], []]
        assert content(row, left, back)[2] == "live"
        assert content(row, left, claim("scope/other", 1))[2] == "live"
        assert content(claim("s", 1, name="n"), left, back)[2] == "unconfirmed"


class TestFindings:
    def test_a_disagreement_needs_two_values_and_two_classes(self) -> None:
        assert findings(claim("a", 1, name="A"), claim("s", 1, name="B")) == {("disagreement", "P-C1", "name")}
        assert findings(claim("a", 1, name="A"), claim("s", 1, name="A")) == set()
        assert findings(claim("a", 1, name="A"), claim("s", 1, name=None)) == set()
        assert findings(claim("a", 1, mobile="1"), claim("s", 1, mobile="2")) == set()
        assert findings(claim("a", 1, name="A"), claim("x", 1, name="B")) == set()

    def test_the_pairs_are_sorted_and_hold_every_value_once(self) -> None:
        claims = [claim("s", 1, name="B"), claim("b", 1, name="C"), claim("a", 1, name="D"), {**claim("a", 1, name="A"), "row": "[2]"}]
        found = findings_of(ENTITY, CLASSES.__getitem__, "K1", [*claims, {**claims[0], "row": "[2]"}], [])
        pairs = {kind: pairs for kind, _, _, pairs in found}
        assert pairs["disagreement"] == (("a", "A"), ("a", "D"), ("b", "C"), ("s", "B"))

    def test_two_authorities_need_two_sources_of_the_authoritative_class(self) -> None:
        assert findings(claim("a", 1, name="A"), claim("b", 1, name="B")) == {("two_authorities", "P-A1", "name")}
        assert findings(claim("a", 1, mobile="1"), claim("b", 1, mobile="2")) == set()
        one_source = [claim("a", 1, region="1"), {**claim("a", 1, region="2"), "row": "[2]"}]
        assert findings(*one_source) == {("duplicate_in_source", "a", "region")}

    def test_a_source_that_says_two_things_of_one_key(self) -> None:
        second = {**claim("x", 1, name="B"), "row": "[2]"}
        assert findings(claim("x", 1, name="A"), second) == {("duplicate_in_source", "x", "name")}
        found = findings_of(ENTITY, CLASSES.__getitem__, "K1", [claim("x", 1, name="A"), second], [])
        assert found == {("duplicate_in_source", "x", "name", (("x", "A"), ("x", "B")))}

    def test_an_ended_record_has_no_findings(self) -> None:
        disagreeing = [claim("x", 1, name="A"), {**claim("x", 1, name="B"), "row": "[2]"}]
        assert findings(*disagreeing, claim("b", 1, name="B"))
        assert findings(*disagreeing, claim("b", 1, name="B"), claim("b", 2, "withdraw")) == set()
