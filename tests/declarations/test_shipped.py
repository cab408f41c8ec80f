"""The shipped declarations are valid, whole and without orphans; every schema has an example that is of it."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import avro.schema
import fastavro
import pytest

from sync_engine import declared
from sync_engine.format import DAY_MS
from sync_engine.ingest.identifiers import is_resident_id
from sync_engine.model import names
from sync_engine.model.avro import claim_of_datum, claim_schema, golden_of_datum, golden_schema
from sync_engine.model.declaration import Declarations

ROOT = declared.shipped()
EXAMPLES = ROOT / "schemas" / "examples"
DECLARATIONS = declared.read()


@pytest.fixture
def declarations() -> Declarations:
    return DECLARATIONS


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, schema) of every record that the engine writes: the hand-written and the generated ones."""
    for path in sorted((ROOT / "schemas" / "wire").glob("*.avsc")):
        yield path.stem, json.loads(path.read_text("utf-8"))
    for entity in DECLARATIONS.entities.values():
        yield f"{entity.entity}.claim", claim_schema(entity)
        yield f"{entity.entity}.golden", golden_schema(entity)


SCHEMAS = dict(schemas())


def test_the_shipped_declarations_are_valid() -> None:
    assert declared.inspect()[1] == ()


def test_the_whole_tree_of_a_source_is_read(declarations: Declarations) -> None:
    source = declarations.sources["jinan/public_security/resident"]
    (mapping,) = source.mappings

    assert (source.table, source.primary_key, source.department_class) == ("hj.t_czrk", ("rybh",), "public_security")
    assert (mapping.entity, mapping.key_column) == ("natural_person", "gmsfhm")
    assert {mapped.item: (mapped.column, mapped.codes) for mapped in mapping.items}["ethnicity"] == ("mz", "ethnicity_names")


# --- no orphans -----------------------------------------------------------------------------------------------------------------


def test_every_wire_schema_is_in_a_topic(declarations: Declarations) -> None:
    used = {schema for family in declarations.topics.values() for schema in (family.value, *family.also)}

    assert {schema.removeprefix("wire:") for schema in used if schema.startswith("wire:")} == {
        path.stem for path in (ROOT / "schemas" / "wire").glob("*.avsc")
    }


def test_every_code_table_is_used(declarations: Declarations) -> None:
    of_items = {item.codes for entity in declarations.entities.values() for item in entity.items.values()}
    of_columns = {mapped.codes for source in declarations.sources.values() for mapping in source.mappings for mapped in mapping.items}

    assert set(declarations.codes) == (of_items | of_columns) - {None}


def test_every_entity_has_a_source_and_somebody_who_wants_it(declarations: Declarations) -> None:
    mapped = {mapping.entity for source in declarations.sources.values() for mapping in source.mappings}
    wanted = {demand.entity for demand in declarations.demands} | {one.entity for one in declarations.subscribers.values()}

    assert set(declarations.entities) == mapped == wanted


def test_every_item_has_a_source_of_its_authority(declarations: Declarations) -> None:
    mapped = {
        (mapping.entity, mapped.item, source.department_class)
        for source in declarations.sources.values()
        for mapping in source.mappings
        for mapped in mapping.items
    }

    for entity in declarations.entities.values():
        for rule in entity.authority:
            for item in rule.items:
                assert (entity.entity, item, rule.authority_class) in mapped


def test_every_department_class_is_that_of_a_source(declarations: Declarations) -> None:
    assert set(declarations.department_classes) == {source.department_class for source in declarations.sources.values()}


def test_every_topic_family_is_one_that_the_engine_names(declarations: Declarations) -> None:
    assert set(declarations.topics) == set(names.FAMILIES)


# --- topics ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names.FAMILIES)
def test_retention_is_from_the_allowed_list_and_compacted_topics_never_delete(declarations: Declarations, name: str) -> None:
    family = declarations.topics[name]

    if family.cleanup == "compact":
        assert family.retention_ms == -1
        assert family.delete_retention_ms in (DAY_MS, 7 * DAY_MS, 30 * DAY_MS)
    else:
        assert family.retention_ms in (DAY_MS, 7 * DAY_MS, 30 * DAY_MS, 180 * DAY_MS)


def test_what_a_stage_is_restored_from_is_compacted(declarations: Declarations) -> None:
    restored = {name for name, family in declarations.topics.items() if set(family.writes) & set(family.reads) - {"observe", "command"}}

    assert restored == {"state", "golden", "case", "parked", "hold"}
    assert all(declarations.topics[name].cleanup == "compact" for name in restored)


def test_changelogs_are_partitioned_like_their_input(declarations: Declarations) -> None:
    assert len({declarations.topics[name].partitions for name in ("claim", "state", "golden", "edge", "parked")}) == 1


def test_every_topic_is_written_and_only_the_connectors_own_heartbeat_is_read_by_nobody(declarations: Declarations) -> None:
    assert all(family.writes for family in declarations.topics.values())
    assert [name for name, family in declarations.topics.items() if not family.reads] == ["heartbeat"]


# --- schemas and examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_parses_with_both_libraries(name: str) -> None:
    text = json.dumps(SCHEMAS[name])

    assert avro.schema.parse(text).type == "record"
    assert fastavro.parse_schema(json.loads(text))


def test_every_schema_has_one_example_and_every_example_a_schema() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} == set(SCHEMAS)


def example(name: str) -> dict[str, Any]:
    """The example's datum, read by Avro's own JSON encoding."""
    text = json.dumps(json.loads((EXAMPLES / f"{name}.json").read_text("utf-8")))
    (datum,) = fastavro.json_reader(io.StringIO(text), SCHEMAS[name])
    assert isinstance(datum, dict)
    return datum


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_example_is_of_its_schema(name: str) -> None:
    datum, stream = example(name), io.BytesIO()

    assert fastavro.validation.validate(datum, SCHEMAS[name], strict=True)
    fastavro.schemaless_writer(stream, SCHEMAS[name], datum)
    stream.seek(0)
    assert fastavro.schemaless_reader(stream, SCHEMAS[name], None) == datum


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_example_says_nothing_that_its_schema_does_not(name: str) -> None:
    said = json.loads((EXAMPLES / f"{name}.json").read_text("utf-8"))

    assert set(said) == {field["name"] for field in SCHEMAS[name]["fields"]}


def test_the_examples_of_a_person_hold_together(declarations: Declarations) -> None:
    finding, case = example("finding"), example("case")
    golden = golden_of_datum("natural_person", finding["key"], example("natural_person.golden"))
    claim = claim_of_datum(example("natural_person.claim"))

    assert is_resident_id(finding["key"])
    assert golden.digest == golden.content.digest()
    assert claim.source in declarations.sources
    assert claim.live
    assert (case["id"], case["finding"], case["pairs"]) == (finding["subject"], finding["id"], finding["pairs"])


def test_the_sample_is_found_from_any_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert declared.shipped().is_absolute()
    assert declared.inspect()[1] == ()
