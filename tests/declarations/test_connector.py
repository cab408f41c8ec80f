"""The connector's configuration, as far as promises rest on it; what Debezium makes of it is in test_capture.py."""

import re
from dataclasses import replace

import pytest

from sync_engine import declared
from sync_engine.ingest.capture import UNAVAILABLE as READ_AS_UNAVAILABLE
from sync_engine.ingest.stage import EPOCH_HEADER as READ_HEADER
from sync_engine.model import names
from sync_engine.model.declaration import Department
from sync_engine.observe.lag import DARK_AFTER_MS
from sync_engine.provision.connector import EPOCH_HEADER, UNAVAILABLE, Capture, Database, connector_config
from sync_engine.provision.database import capture_name, captured_tables, check_queries, publication_ddl
from sync_engine.provision.topics import topics_of

DECLARATIONS = declared.read()
DEPARTMENT = DECLARATIONS.departments["jinan/public_security"]
DATABASE = Database("db", 5432, "hj", "capture", "${file:/secrets/hj.properties:password}")
CAPTURE = Capture("http://registry/apis/registry/v2", 3)


def config(department: Department = DEPARTMENT, capture: Capture = CAPTURE) -> dict[str, str]:
    return connector_config(DECLARATIONS, department, DATABASE, capture)


def test_nothing_is_skipped_or_tolerated() -> None:
    said = config()

    assert said["skipped.operations"] == "none"
    assert said["errors.tolerance"] == "none"
    assert said["event.processing.failure.handling.mode"] == "fail"
    assert said["exactly.once.support"] == "required"
    assert said["transaction.boundary"] == "poll"


def test_a_quiet_mariadb_gives_a_beat_well_before_its_source_would_be_dark() -> None:
    said = config(replace(DEPARTMENT, kind="mariadb"), replace(CAPTURE, bootstrap="kafka:9092"))
    sign_of_life_ms = 0.8 * int(said["connect.keep.alive.interval.ms"])

    assert int(said["heartbeat.interval.ms"]) < sign_of_life_ms < DARK_AFTER_MS / 3


@pytest.mark.parametrize("mode", ["always", "when_needed", "never"])
def test_a_snapshot_that_nobody_asked_for_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=f'snapshot mode "{mode}" is refused; allowed: initial, no_data'):
        replace(CAPTURE, snapshot_mode=mode)


def test_a_publication_for_all_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed: filtered, disabled"):
        replace(CAPTURE, publication_mode="all_tables")


def test_a_raised_epoch_stands_in_every_record() -> None:
    said = config(replace(DEPARTMENT, epoch=7))

    assert said["transforms.epoch.header"] == EPOCH_HEADER == READ_HEADER
    assert said["transforms.epoch.value.literal"] == "7"


def test_ingest_knows_the_placeholder_of_an_unchanged_value() -> None:
    assert config()["unavailable.value.placeholder"] == UNAVAILABLE == READ_AS_UNAVAILABLE


def test_only_the_declared_tables_are_captured() -> None:
    patterns = config()["table.include.list"].split(",")

    def captured(table: str) -> bool:
        return any(re.fullmatch(pattern, table) for pattern in patterns)

    assert all(captured(table) for table in captured_tables(DEPARTMENT))
    assert not captured("hj_t_czrk")
    assert not captured("hj.t_czrk_2019")
    assert not captured("hjxt_czrk")


def test_everything_the_connector_writes_is_a_topic_of_the_node() -> None:
    said = config()
    written = {f"{said['topic.prefix']}.{table}" for table in captured_tables(DEPARTMENT)}
    written.add(f"{said['topic.heartbeat.prefix']}.{said['topic.prefix']}")

    assert written <= {topic.name for topic in topics_of(DECLARATIONS, "jinan")}
    assert names.heartbeat(DEPARTMENT) in written


def test_a_topic_that_connect_makes_itself_is_like_a_declared_one() -> None:
    said = config()

    assert said["topic.creation.default.partitions"] == "1"
    assert said["topic.creation.default.replication.factor"] == "3"
    assert said["topic.creation.default.cleanup.policy"] == "delete"


def test_the_beat_has_the_databases_own_time() -> None:
    assert "clock_timestamp()" in config()["heartbeat.action.query"]
    assert '"hj"."sync_heartbeat"' in config()["heartbeat.action.query"]


def test_the_password_is_a_reference() -> None:
    assert config()["database.password"] == "${file:/secrets/hj.properties:password}"


def test_slots_of_departments_never_collide() -> None:
    one = capture_name(replace(DEPARTMENT, node="a_b", name="c"))
    other = capture_name(replace(DEPARTMENT, node="a", name="b_c"))

    assert one != other
    assert capture_name(DEPARTMENT) == "sync_jinan__public_security"


def test_a_long_slot_name_is_cut_and_stays_one_of_a_kind() -> None:
    long = [capture_name(replace(DEPARTMENT, name="x" * 70 + last)) for last in "ab"]

    assert long[0] != long[1]
    assert all(re.fullmatch("[a-z0-9_]{1,63}", name) for name in long)


def test_the_publication_is_asked_for_only_where_its_owner_makes_it() -> None:
    assert "publication" not in {check.subject for check in check_queries(DEPARTMENT)}
    assert "publication" in {check.subject for check in check_queries(DEPARTMENT, "disabled")}
    assert "truncate" in publication_ddl(DEPARTMENT)
