"""From rows to what every node is owed, on a network small enough to work out by hand: a province, a city, two counties."""

import unicodedata
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.oracle.rows import Held, LeftOut, Network, claims_of, is_named, left_out_of, read_network, records_of, sent_by

ZHANG = "11010519491231002X"  # the example of GB 11643 itself
ACUTE_JOINED, ACUTE_SPLIT = "\u00e9", "e\u0301"

FILES = {
    "connectors/network.yaml": """
        nodes:
          prov: {region: "340000"}
          city: {region: "341500", parent: prov}
          east: {region: "341502", parent: city}
          west: {region: "341525", parent: city}
        demands:
          - {node: city, entity: person, items: all}
          - {node: east, entity: person, items: [name, region, level]}
    """,
    "connectors/sources/east/police.yaml": """
        class: police
        tables:
          resident:
            primary_key: [id]
            mappings:
              self:
                entity: person
                key: number
                items: {name: {column: xm}, born: {column: csrq}, region: {column: qh}, sex: {column: xb}}
    """,
    "connectors/sources/west/social.yaml": """
        class: social
        tables:
          insured:
            primary_key: [id]
            mappings:
              self: {entity: person, key: number, items: {name: {column: xm}, mobile: {column: dh}, sex: {column: xb, codes: si_sex}}}
    """,
    "connectors/sources/prov/school.yaml": """
        class: school
        tables:
          graduate:
            primary_key: [a, b]
            mappings:
              self: {entity: person, key: number, items: {level: {column: lv}}}
    """,
    "connectors/sources/east/shop.yaml": """
        class: shop
        tables:
          card:
            primary_key: [id]
            mappings:
              self: {entity: person, key: number, items: {mobile: {column: dh}}}
    """,
    "schemas/entities/person.yaml": """
        entity: person
        key: {name: number, type: resident_id}
        existence: police
        jurisdiction: region
        items:
          name: {type: string, max_length: 5}
          born: {type: date}
          region: {type: region}
          sex: {type: code, codes: sex}
          mobile: {type: string}
          level: {type: string}
        authority:
          - {rule: A1, items: [name, born, region, sex], class: police, fallback: [social]}
          - {rule: A2, items: [mobile], class: social}
          - {rule: A3, items: [level], class: school}
    """,
    "schemas/codes/sex.yaml": 'values: {"1": 男, "2": 女}',
    "schemas/codes/si_sex.yaml": 'maps_to: sex\nmap: {M: "1", F: "2"}',
}


@pytest.fixture(scope="module")
def declarations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("declarations")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def resident(**changed: Any) -> dict[str, Any]:
    return {"id": 1, "number": ZHANG, "xm": "张三", "csrq": date(1949, 12, 31), "qh": "341502", "xb": "2", **changed}


def insured(**changed: Any) -> dict[str, Any]:
    return {"id": 7, "number": ZHANG, "xm": "张山", "dh": "13800000000", "xb": "F", **changed}


GRADUATE = {"a": 1, "b": "x", "number": ZHANG, "lv": "MASTER"}


def test_one_row_goes_up_and_comes_back_to_nobody(declarations: Path) -> None:
    records = records_of(declarations, {"east/police/resident": [resident()]})
    said = {"born": "1949-12-31", "name": "张三", "region": "341502", "sex": "2"}
    items = [[item, "confirmed", value] for item, value in said.items()]
    content = ["person", ZHANG, "live", None, "341502", None, items, []]
    assert records["east"] == records["city"] == records["prov"] == {"person": {ZHANG: content}}
    assert records["west"] == {}


def test_what_the_demand_leaves_out_is_withheld_below_and_nobody_gets_what_it_did_not_ask_for(declarations: Path) -> None:
    records = records_of(
        declarations, {"east/police/resident": [resident()], "west/social/insured": [insured()], "prov/school/graduate": [GRADUATE]}
    )
    mobile = {node: [item for item in records[node]["person"][ZHANG][6] if item[0] == "mobile"] for node in records}
    assert mobile["prov"] == mobile["city"] == [["mobile", "confirmed", "13800000000"]]
    assert mobile["east"] == [["mobile", "withheld", None]]
    assert [node for node in records if ["level", "confirmed", "MASTER"] in records[node]["person"][ZHANG][6]] == ["prov", "city", "east"]
    assert records["west"]["person"][ZHANG][2:5] == ["unconfirmed", None, None]


def test_a_record_that_lies_elsewhere_is_sent_up_but_not_down(declarations: Path) -> None:
    rows = {"east/police/resident": [resident(qh="341525")], "prov/school/graduate": [GRADUATE]}
    records = records_of(declarations, rows)
    assert "level" in [item[0] for item in records["city"]["person"][ZHANG][6]]
    assert records["east"]["person"][ZHANG][2:5] == ["live", None, "341525"]
    assert "level" not in [item[0] for item in records["east"]["person"][ZHANG][6]]


def test_a_record_that_once_lay_in_the_area_and_has_left_is_moved_there(declarations: Path) -> None:
    rows = {"east/police/resident": [resident(qh="341525")]}
    records = records_of(declarations, rows, once_within=frozenset({("east", "person", ZHANG)}))
    assert records["east"]["person"][ZHANG] == ["person", ZHANG, "moved", "341525", None, None, [], []]
    assert records["city"]["person"][ZHANG][2] == "live"


def test_a_class_that_the_catalogue_does_not_name_stays_at_home(declarations: Path) -> None:
    records = records_of(declarations, {"east/shop/card": [{"id": 1, "number": ZHANG, "dh": "1"}]})
    assert list(records["east"]["person"]) == [ZHANG]
    assert records["city"] == records["prov"] == {}


def test_nothing_is_sent_to_a_node_in_its_path(declarations: Path) -> None:
    network = read_network(declarations)
    for path, receivers in ((("city",), {"prov", "east"}), (("prov", "city"), {"east"}), (("east", "city"), {"prov"})):
        claim = next(held for held, _ in claims_of(network, {"east/police/resident": [resident()]}) if held).claim
        assert {node for node, _ in sent_by(network, "city", [Held("person", ZHANG, path, claim)], frozenset())} == receivers


@pytest.mark.parametrize("named", ["existence", "authority", "fallback", "compared"])
def test_the_catalogue_names_a_class_in_four_ways(named: str) -> None:
    rule = {"class": "authority", "fallback": ["fallback"]}
    entity = {"existence": "existence", "authority": [rule], "compare": [{"classes": ["compared"]}]}
    network = Network({}, [], {"thing": entity}, {}, {f"here/{name}": {"class": name} for name in (named, "nobody")})
    assert is_named(network, Held("thing", "K", (), {"source": f"here/{named}/t"}))
    assert not is_named(network, Held("thing", "K", (), {"source": "here/nobody/t"}))


def test_keys_strings_and_codes_are_normalised(declarations: Path) -> None:
    row = insured(number=f" {ZHANG.lower()} ", xm=f"\u3000{ACUTE_SPLIT} ", dh="  ", xb=" M ")
    content = records_of(declarations, {"west/social/insured": [row]})["west"]["person"][ZHANG]
    assert content[6] == [["mobile", "confirmed", None], ["name", "fallback", ACUTE_JOINED], ["sex", "fallback", "1"]]
    assert unicodedata.normalize("NFC", ACUTE_SPLIT) == ACUTE_JOINED


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"number": "110105194912310021"}, "invalid_identifier"),
        ({"number": "110105194913310021"}, "invalid_identifier"),
        ({"number": None}, "missing_key"),
        ({"xb": "3"}, "unknown_code"),
        ({"xm": "一二三四五六"}, "invalid_value"),
        ({"csrq": "1949-13-31"}, "invalid_value"),
        ({"qh": "34150"}, "invalid_value"),
    ],
)
def test_a_row_that_cannot_be_read_is_left_out_and_reported(declarations: Path, changed: dict[str, Any], reason: str) -> None:
    rows = {"east/police/resident": [resident(**changed)]}
    assert left_out_of(declarations, rows) == [LeftOut("east/police/resident", "[1]", "self", reason)]
    assert records_of(declarations, rows) == {"prov": {}, "city": {}, "east": {}, "west": {}}


def test_a_mapped_code_is_looked_up_and_never_taken_as_it_is(declarations: Path) -> None:
    rows = {"west/social/insured": [insured(xb="1")]}
    assert [left.reason for left in left_out_of(declarations, rows)] == ["unknown_code"]
