"""`check` reports the faults of declarations and settings together, and where the two contradict each other."""

import shutil
from pathlib import Path

import pytest

from sync_engine import declared
from sync_engine.check import check

SETTINGS = """
[databases.jinan_public_security]
dbname = "hj"
user = "capture"
[databases.jinan_human_resources]
dbname = "si"
user = "capture"
"""


def faults(tmp_path: Path, text: str, node: str | None = None, declarations: Path | None = None) -> list[str]:
    file = tmp_path / "s.toml"
    file.write_text(text, "utf-8")
    return [str(fault).replace(f"{tmp_path}/", "") for fault in check(declarations, file, node, {})]


@pytest.mark.parametrize("node", [None, "jinan", "luan"])
def test_nothing_is_wrong(node: str | None, tmp_path: Path) -> None:
    assert faults(tmp_path, SETTINGS, node) == []


def test_a_section_that_no_declaration_names(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, SETTINGS + "[nodes.hefei]\ngeneration = 1\n")

    assert fault.startswith("s.toml: nodes.hefei: no declaration names it; allowed: anhui, ")


def test_what_a_node_needs_must_be_there(tmp_path: Path) -> None:
    assert faults(tmp_path, SETTINGS.partition("[databases.jinan_human")[0], "jinan") == [
        "connectors/sources/jinan/human_resources.yaml: database.settings: no settings section databases.jinan_human_resources; "
        "allowed: jinan_public_security"
    ]
    assert "connectors/subscribers/anhui/credit_platform.yaml: settings: no settings section subscribers.credit_platform" in faults(
        tmp_path, SETTINGS, "anhui"
    )


def test_an_unknown_node(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, SETTINGS, "nowhere")

    assert fault.startswith('node: unknown node "nowhere"; allowed: anhui, ')


def test_faults_of_both_are_reported_together(tmp_path: Path) -> None:
    root = tmp_path / "declarations"
    for folder in declared.FOLDERS:
        shutil.copytree(declared.shipped() / folder, root / folder)
    (root / "topics" / "cut.yaml").unlink()

    assert faults(tmp_path, "worker.batch_records = 0", None, root) == [
        "topics/cut.yaml: missing or unreadable",
        "s.toml: worker.batch_records: 0 is not within 1 to 10000",
    ]


TABLE = """title: {zh: 核查系统, en: Verification}
kind: table
settings: benefits
table: {name: TABLE, key: id, version: v, state: s, columns: {name: xm}}
demand: {entity: natural_person, area: "340000", items: [name]}
"""
CANARY_URL = {"BENEFITS": "postgresql://writer:CANARY@127.0.0.1/hj"}


def with_subscriber(tmp_path: Path, text: str) -> Path:
    root = tmp_path / "declarations"
    for folder in declared.FOLDERS:
        shutil.copytree(declared.shipped() / folder, root / folder)
    (root / "connectors" / "subscribers" / "anhui" / "benefits.yaml").write_text(text, "utf-8")
    return root


def test_a_subscriber_has_the_settings_of_its_kind_and_no_others(tmp_path: Path) -> None:
    root = with_subscriber(tmp_path, TABLE.replace("TABLE", "shared.person"))

    assert faults(tmp_path, SETTINGS + '[subscribers.benefits]\nurl = "https://b.example/"\n', None, root) == [
        "settings: subscribers.benefits.database_url: missing; in a settings file or as SYNC_ENGINE__SUBSCRIBERS__BENEFITS__DATABASE_URL",
        "s.toml: subscribers.benefits.url: is not for a subscriber of kind table; allowed: database_url",
    ]


def test_a_captured_table_is_never_written(tmp_path: Path) -> None:
    captured = declared.read().departments["jinan/public_security"].sources[0].table
    root = with_subscriber(tmp_path, TABLE.replace("TABLE", captured))
    file = tmp_path / "s.toml"
    file.write_text(SETTINGS + '[subscribers.benefits]\ndatabase_url = "${env:BENEFITS}"\n', "utf-8")

    (fault,) = check(root, file, None, CANARY_URL)

    assert str(fault) == (
        f"connectors/subscribers/anhui/benefits.yaml: table.name: {captured} is captured from jinan/public_security: never written"
    )


def test_on_mariadb_a_captured_table_is_the_same_table_whatever_database_the_address_names(tmp_path: Path) -> None:
    captured = declared.read().departments["jinan/public_security"].sources[0].table
    root = with_subscriber(tmp_path, TABLE.replace("TABLE", captured))
    source = root / "connectors" / "sources" / "jinan" / "public_security.yaml"
    source.write_text(source.read_text("utf-8").replace("kind: postgresql", "kind: mariadb"), "utf-8")
    file = tmp_path / "s.toml"
    at = SETTINGS.replace('dbname = "hj"', 'dbname = "hj"\nport = 3306')
    file.write_text(at + '[subscribers.benefits]\ndatabase_url = "${env:BENEFITS}"\n', "utf-8")

    (fault,) = check(root, file, None, {"BENEFITS": "mariadb://writer:CANARY@127.0.0.1/elsewhere"})

    assert "is captured from jinan/public_security: never written" in str(fault)


def test_a_topic_on_the_engines_own_kafka_needs_no_settings(tmp_path: Path) -> None:
    text = TABLE.replace("kind: table", "kind: topic").replace(
        "table: {name: TABLE, key: id, version: v, state: s, columns: {name: xm}}", "topic: {name: benefits, partitions: 2}"
    )

    assert not [fault for fault in faults(tmp_path, SETTINGS, "anhui", with_subscriber(tmp_path, text)) if "benefits" in fault]
