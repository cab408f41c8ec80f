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
from sync_engine.provision.plan import REFUSED, plan_foreign_connectors
from sync_engine.provision.topics import topics_of

DECLARATIONS = declared.read()
DEPARTMENT = DECLARATIONS.departments["jinan/public_security"]
DATABASE = Database("db", 5432, "hj", "capture", "${file:/secrets/hj.properties:password}")
CAPTURE = Capture("http://registry/apis/registry/v2", 3, "kafka:9092")


def config(department: Department = DEPARTMENT, capture: Capture = CAPTURE) -> dict[str, str]:
    return connector_config(DECLARATIONS, department, DATABASE, capture)


def test_nothing_is_skipped_or_tolerated() -> None:
    said = config()

    assert said["skipped.operations"] == "none"
    assert said["errors.tolerance"] == "none"
    assert said["event.processing.failure.handling.mode"] == "fail"
    assert said["exactly.once.support"] == "required"
    assert said["transaction.boundary"] == "poll"


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


def test_a_signal_needs_no_table_in_the_departments_database() -> None:
    said = config()

    assert said["signal.enabled.channels"] == "kafka"
    assert said["read.only"] == "true"
    assert "signal.data.collection" not in said
    assert said["signal.kafka.topic"] in {topic.name for topic in topics_of(DECLARATIONS, "jinan")}
    assert not [setting for setting in config(capture=replace(CAPTURE, signals=False)) if setting.startswith(("signal.", "read."))]


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


# --- MariaDB, MySQL ---

BINLOG_KINDS = ("mariadb", "mysql")


def of_kind(kind: str) -> dict[str, str]:
    return config(replace(DEPARTMENT, kind=kind))


def test_a_quiet_binlog_gives_a_beat_well_before_its_source_would_be_dark() -> None:
    for kind in BINLOG_KINDS:
        sign_of_life_ms = 0.8 * int(of_kind(kind)["connect.keep.alive.interval.ms"])

        assert int(of_kind(kind)["heartbeat.interval.ms"]) < sign_of_life_ms < DARK_AFTER_MS / 3


def test_mariadb_and_mysql_differ_in_the_plugin_and_tls_only() -> None:
    mariadb, mysql = of_kind("mariadb"), of_kind("mysql")

    differ = {setting for setting in mariadb.keys() | mysql.keys() if mariadb.get(setting) != mysql.get(setting)}
    assert differ == {"connector.class", "database.ssl.mode"}
    assert mariadb["connector.class"] == "io.debezium.connector.mariadb.MariaDbConnector"
    assert mysql["connector.class"] == "io.debezium.connector.mysql.MySqlConnector"


@pytest.mark.parametrize("kind", BINLOG_KINDS)
def test_what_a_binlog_connector_shares_with_postgresql_is_the_same(kind: str) -> None:
    postgresql, other = config(), of_kind(kind)

    shared = [setting for setting in postgresql if setting in other and setting not in ("connector.class", "time.precision.mode")]
    assert len(shared) > 30
    assert {setting for setting in shared if postgresql[setting] != other[setting]} == {"heartbeat.action.query"}
    assert not [setting for setting in other if setting.startswith(("slot.", "publication.", "plugin."))]


@pytest.mark.parametrize("kind", BINLOG_KINDS)
def test_the_schema_history_loses_nothing_in_silence(kind: str) -> None:
    said = of_kind(kind)

    assert said["schema.history.internal.kafka.topic"] == "jinan.schema_history.public_security"
    assert said["schema.history.internal.kafka.bootstrap.servers"] == "kafka:9092"
    assert said["schema.history.internal.skip.unparseable.ddl"] == "false"
    assert said["inconsistent.schema.handling.mode"] == "fail"


@pytest.mark.parametrize("kind", BINLOG_KINDS)
def test_no_date_is_made_another(kind: str) -> None:
    said = of_kind(kind)

    assert said["enable.time.adjuster"] == "false"
    assert said["time.precision.mode"] == "adaptive_time_microseconds"


def test_connectors_of_one_server_have_numbers_of_their_own() -> None:
    others = [config(replace(DEPARTMENT, kind="mariadb", name=name))["database.server.id"] for name in ("a", "b")]
    numbers = {of_kind("mariadb")["database.server.id"], *others}

    assert len(numbers) == 3
    assert all(2**31 <= int(number) < 2**32 for number in numbers), "above what people give their servers, within 32 bits"
    assert of_kind("mariadb")["database.server.id"] == of_kind("mysql")["database.server.id"], "of the name: it stays the same"


@pytest.mark.parametrize("kind", BINLOG_KINDS)
def test_the_beat_of_a_binlog_database_has_its_own_time(kind: str) -> None:
    beat = of_kind(kind)["heartbeat.action.query"]

    assert beat.startswith("INSERT INTO `hj`.`sync_heartbeat` (id, beat_at) VALUES (1, sysdate(6))")


def test_mysql_is_asked_where_it_answers() -> None:
    mariadb, mysql = (list(check_queries(replace(DEPARTMENT, kind=kind))) for kind in BINLOG_KINDS)

    assert [check.subject for check in mariadb] == [check.subject for check in mysql]
    differ = {one.subject for one, other in zip(mariadb, mysql, strict=True) if one != other}
    assert differ == {"log_bin", "binlog_format", "binlog_row_image", "role"}
    assert all("performance_schema" in check.sql for check in mysql[:3])
    assert mysql[3].parameters == {"privilege": "REPLICATION CLIENT"}


@pytest.mark.parametrize("kind", ["oracle", "sqlserver", "db2"])
def test_a_connector_that_is_not_ours_to_make_is_refused(kind: str) -> None:
    with pytest.raises(
        ValueError, match=rf"a connector for {kind} is not made by us \(jinan/public_security\); allowed: postgresql, mariadb, mysql"
    ):
        of_kind(kind)


def test_a_foreign_connector_is_refused_until_its_owner_has_made_it() -> None:
    wanted = {"jinan.cdc.public_security": "oracle"}

    (refused,) = plan_foreign_connectors(wanted, ())
    assert (refused.does, refused.name) == (REFUSED, "jinan.cdc.public_security")
    assert "oracle" in refused.effect.zh
    assert "oracle" in refused.effect.en
    assert not [*plan_foreign_connectors(wanted, ["jinan.cdc.public_security"])]
