"""Rows that speak of two entities, or of one that they do not name: by ingest, and what is left by the oracle (docs/merge.md §7).

The declarations are registers/ with the shipped topics. The surprise: a mapping whose key is NULL says nothing only where that is declared.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from sync_engine import declared
from sync_engine.ingest.capture import CompiledSource, Keyed, Sweep, compile_source, read_change
from sync_engine.ingest.stage import IngestStage
from sync_engine.model import names
from sync_engine.model.avro import claim_schema, claim_to_datum, encoder, golden_schema
from sync_engine.model.avro_fast import claim_reader
from sync_engine.model.claim import Claim, Kind
from sync_engine.model.declaration import Declarations
from sync_engine.model.outcome import DeadLetter
from sync_engine.model.record import Record
from sync_engine.propagate.route import compile_routes
from sync_engine.resolve.content import compile_rules
from sync_engine.resolve.explain import explain
from tests.fakes.codec import FakeCodec
from tests.fakes.view import NoView
from tests.oracle.rows import claims_of, read_network

HERE = Path(__file__).parent / "registers"
COMPANY, ASSOCIATION, ORGAN = "91350100M000100Y43", "52350100M000100Y44", "11350100M000100Y4B"
ZHANG, LI = "341502199003071235", "341502198506120049"
PARCEL = "341502001002JB00001"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("registers")
    shutil.copytree(HERE, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("README.md"))
    shutil.copytree(declared.shipped() / "topics", root / "topics")
    shutil.copytree(declared.shipped() / "schemas" / "wire", root / "schemas" / "wire")
    return root


@pytest.fixture(scope="module")
def declarations(root: Path) -> Declarations:
    return declared.read(root)


def company(uscc: str, representative: str | None, capital: str | None = "100.00") -> dict[str, Any]:
    return {"id": 1, "uscc": uscc, "name": "某公司", "capital": capital, "representative": representative}


def change(op: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> dict[str, Any]:
    return {"op": op, "before": before, "after": after, "source": {"sequence": '["1", "2"]', "ts_ms": 3}}


def told(source: CompiledSource, changed: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(kind, entity, key, values) of each claim; (reason,) of each dead letter."""
    return [_told(one) for one in read_change(source, changed, 1, 0)]


def _told(read: Keyed | Sweep | DeadLetter) -> tuple[Any, ...]:
    if isinstance(read, DeadLetter):
        return (read.reason.value,)
    assert not isinstance(read, Sweep)
    entity, key, claim = read
    said = dict(claim.values) if claim.kind == Kind.ASSERT else dict.fromkeys(claim.unchanged, "unchanged")
    return (Kind(claim.kind).name.lower(), entity, key, said or claim.moved_to)


def source_of(declarations: Declarations, name: str) -> CompiledSource:
    return compile_source(declarations, declarations.sources[name])


def test_a_company_and_its_representative(declarations: Declarations) -> None:
    source = source_of(declarations, "east/market/company")
    of_company = ("assert", "legal_person", COMPANY, {"name": "某公司", "capital": "100"})

    assert told(source, change("c", None, company(COMPANY, ZHANG))) == [of_company, ("assert", "person", ZHANG, {"represents": "某公司"})]
    assert told(source, change("c", None, company(COMPANY, None))) == [of_company]
    assert told(source, change("c", None, company(COMPANY, "  "))) == [of_company]
    assert told(source, change("c", None, company(COMPANY, "341502"))) == [of_company, ("invalid_identifier",)]


def test_a_representative_who_leaves_is_withdrawn(declarations: Declarations) -> None:
    source = source_of(declarations, "east/market/company")
    of_company = ("assert", "legal_person", COMPANY, {"name": "某公司", "capital": "100"})

    left = told(source, change("u", company(COMPANY, ZHANG), company(COMPANY, None)))
    came = told(source, change("u", company(COMPANY, None), company(COMPANY, ZHANG)))
    nobody = told(source, change("d", company(COMPANY, None), None))

    assert left == [of_company, ("withdraw", "person", ZHANG, None)]
    assert came == [of_company, ("assert", "person", ZHANG, {"represents": "某公司"})]
    assert nobody == [("withdraw", "legal_person", COMPANY, None)]


def test_a_key_that_is_not_optional_must_be_there(declarations: Declarations) -> None:
    source = source_of(declarations, "east/civil/marriage")

    row = {"id": 1, "a": None, "b": LI, "day": 14853}
    assert told(source, change("c", None, row)) == [
        ("invalid_identifier",),
        ("assert", "person", LI, {"marital_status": "20", "married_on": "2010-09-01"}),
    ]


def test_a_constant_stands_in_every_row_and_is_in_error_with_it(declarations: Declarations) -> None:
    source = source_of(declarations, "east/civil/marriage")

    assert told(source, change("c", None, {"id": 1, "a": ZHANG, "b": None, "day": "soon"})) == [
        ("invalid_value",),
        ("in_error", "person", ZHANG, {"married_on": "unchanged", "marital_status": "unchanged"}),
    ]


def test_an_unknown_column_is_seen_without_a_key_too(declarations: Declarations) -> None:
    source = source_of(declarations, "east/civil/marriage")

    row = {"id": 1, "a": ZHANG, "b": None, "day": None, "new": 1}
    assert [one[0] for one in told(source, change("c", None, row))] == ["unknown_column", "in_error"]


def test_a_key_of_a_kind_that_nobody_registers(declarations: Declarations) -> None:
    source = source_of(declarations, "east/market/company")

    assert told(source, change("c", None, company(ORGAN, ZHANG)))[0] == ("no_authority",)
    assert told(source, change("c", None, company(ASSOCIATION, ZHANG)))[0][:3] == ("assert", "legal_person", ASSOCIATION)


def test_an_explanation_names_the_rules_that_stand_for_the_key(declarations: Declarations) -> None:
    classes = {source.id: source.department_class for source in declarations.sources.values()}
    rules = compile_rules(declarations.entities["legal_person"], classes.__getitem__)
    slot = Claim("east/market/company", "[1]", "company", int(Kind.ASSERT), (1, 1, 1, 2, 0), {"name": "某"})

    def named(key: str) -> list[tuple[str, str, str | None]]:
        return [(item.item, item.rule, item.status) for item in explain(rules, key, [slot]).items]

    assert named(COMPANY) == [("capital", "L1", None), ("name", "L1", "confirmed")]
    assert named(ASSOCIATION) == [("name", "L2", None)]
    assert named(ORGAN) == []


def test_a_class_that_any_kind_of_key_names_is_sent_up(declarations: Declarations) -> None:
    entry = declarations.entities["legal_person"]

    assert entry.classes == {"market", "civil"}
    assert compile_routes(declarations, "east", "legal_person").sent_up == {"east/market/company", "east/civil/marriage"}


def test_a_neighbours_claim_of_such_a_key(declarations: Declarations) -> None:
    codec = FakeCodec(declarations)
    north = declared.Declarations(**{**vars_of(declarations), "nodes": with_parent(declarations)})
    stage = IngestStage(north, "city", dict.fromkeys(north.entities, 1), codec)
    claim = Claim("east/market/company", "[1]", "company", int(Kind.ASSERT), (1, 1, 1, 2, 0), {"name": "某"})
    value = codec.encode_claim("legal_person", claim)

    def letters(key: str) -> list[str]:
        slot = f"{key}\x1feast/market/company\x1f[1]\x1fcompany".encode()
        record = Record(names.edge("east", "city", "legal_person"), 0, 0, slot, value, (("path", b"east"),), 0)
        return [output.reason.value for output in stage.decide(record, NoView(), 0) if isinstance(output, DeadLetter)]

    assert (letters(COMPANY), letters(ORGAN)) == ([], ["no_authority"])


def vars_of(declarations: Declarations) -> dict[str, Any]:
    return {name: getattr(declarations, name) for name in Declarations.__dataclass_fields__}


def with_parent(declarations: Declarations) -> dict[str, Any]:
    node = declarations.nodes["east"]
    node_type = type(node)
    city = node_type("city", "city", "341500", node.title)
    return {"city": city, "east": node_type("east", node.tier, node.region, node.title, "city")}


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("100.00", "100"),
        ("0", "0"),
        ("-0.00", "0"),
        ("-12.50", "-12.5"),
        ("007.10", "7.1"),
        ("1E+2", "100"),
        (".5", None),
        ("999999.99", "999999.99"),
        ("1000000", None),
        ("1.001", None),
        ("NaN", None),
        ("Infinity", None),
        ("1_000", None),
        ("１", None),
        ("1E+999999999", None),
        (100, "100"),
    ],
)
def test_a_decimal_as_the_connector_writes_it(raw: object, value: str | None, declarations: Declarations) -> None:
    first = told(source_of(declarations, "east/market/company"), change("c", None, {**company(COMPANY, None), "capital": raw}))[0]

    assert first == (("invalid_value",) if value is None else ("assert", "legal_person", COMPANY, {"name": "某公司", "capital": value}))


def test_a_decimal_goes_through_avro_to_the_digit(declarations: Declarations) -> None:
    """38 digits, which no float and no decimal context would keep."""
    digits = "123456789012345678901234567890123456.12"
    source = source_of(declarations, "east/land/parcel")
    ((_, key, claim),) = [
        one for one in read_change(source, change("c", None, {"id": 1, "code": PARCEL, "area": digits}), 1, 0) if isinstance(one, tuple)
    ]
    schema = claim_schema(declarations.entities["parcel"])

    assert (key, claim.values) == (PARCEL, {"area": digits})
    assert claim_reader(schema, schema)(encoder(schema)(claim_to_datum(claim)), "").values == {"area": digits}
    assert golden_schema(declarations.entities["parcel"])


@pytest.mark.parametrize(
    "code", ["341502001002JB0001", "341502001002KB00001", "341502001002JZ00001", "341502001002JB00000", "A41502001002JB00001"]
)
def test_a_parcel_code_that_is_none(code: str, declarations: Declarations) -> None:
    assert told(source_of(declarations, "east/land/parcel"), change("c", None, {"id": 1, "code": code, "area": "1"})) == [
        ("invalid_identifier",)
    ]


def test_the_oracle_says_the_same_of_the_rows(root: Path, declarations: Declarations) -> None:
    rows: dict[str, list[dict[str, Any]]] = {
        "east/market/company": [
            {**company(uscc, representative), "id": number}
            for number, (uscc, representative) in enumerate([(COMPANY, ZHANG), (ASSOCIATION, None), (ORGAN, LI), (COMPANY, "x")])
        ],
        "east/civil/marriage": [{"id": 1, "a": ZHANG, "b": None, "day": "2010-09-01"}, {"id": 2, "a": None, "b": LI, "day": None}],
        "east/land/parcel": [{"id": 1, "code": PARCEL.lower(), "area": "1.50"}, {"id": 2, "code": "1", "area": "1"}],
    }
    by_oracle = [
        (held.entity, held.key, {item: None if cell == "null" else cell["value"] for item, cell in held.claim["cells"].items()})
        for held, _ in claims_of(read_network(root), rows)
        if held
    ]
    by_engine = [
        (entity, key, said)
        for name, of_source in rows.items()
        for row in of_source
        for kind, entity, key, said in [one for one in told(source_of(declarations, name), change("c", None, row)) if one[0] == "assert"]
    ]
    letters = [why.reason for _, why in claims_of(read_network(root), rows) if why]

    assert by_engine == by_oracle
    assert sorted(letters) == ["invalid_identifier", "invalid_identifier", "missing_key", "no_authority"]
