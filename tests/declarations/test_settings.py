"""Settings: where a value comes from, what is refused and in which words, and that no secret is shown."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from sync_engine import settings
from sync_engine.setting_kinds import Secret
from sync_engine.settings import NAMED_SECTIONS, SECTIONS, TABLE, SettingsInvalid, describe, load

REFERENCES = "allowed: ${env:NAME}, ${file:PATH}"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(text, "utf-8")
    return path


def faults_of(file: Path | None, environ: Mapping[str, str]) -> list[str]:
    with pytest.raises(SettingsInvalid) as refused:
        load(file, environ)
    folder = f"{file.parent}/" if file else ""
    return str(refused.value).replace(folder, "").splitlines()


def test_without_anything_every_setting_has_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    found = load(environ={"HOME": str(tmp_path)})

    assert found.kafka.bootstrap == "127.0.0.1:9092"
    assert (found.worker.listen_host, found.worker.listen_port, found.worker.batch_records) == ("127.0.0.1", 0, 2000)
    assert (found.databases, found.subscribers, found.generation("jinan")) == ({}, {}, 0)
    assert found.state.dir == Path(".sync-engine/state")
    assert {shown.origin for shown in describe(found)} == {"default"}


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(tmp_path: Path) -> None:
    file = written(tmp_path, '[worker]\nbatch_records = 500\nquiet_wait_ms = 30\n[kafka]\nbootstrap = "k:1"\n')

    found = load(file, {"SYNC_ENGINE__WORKER__BATCH_RECORDS": "200", "UNRELATED": "x"})

    assert (found.worker.batch_records, found.worker.quiet_wait_ms, found.worker.tick_seconds) == (200, 30, 1.0)
    origins = {shown.name: shown.origin for shown in describe(found)}
    assert origins["worker.batch_records"] == "SYNC_ENGINE__WORKER__BATCH_RECORDS"
    assert origins["worker.quiet_wait_ms"] == str(file)
    assert origins["worker.tick_seconds"] == "default"


def test_the_first_file_that_exists_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "config" / "sync-engine"
    home.mkdir(parents=True)
    (home / "config.toml").write_text('kafka.bootstrap = "of-xdg:1"', "utf-8")
    monkeypatch.chdir(tmp_path)
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config")}

    assert load(environ=environ).kafka.bootstrap == "of-xdg:1"
    (tmp_path / "sync-engine.toml").write_text('kafka.bootstrap = "of-here:1"', "utf-8")
    assert load(environ=environ).kafka.bootstrap == "of-here:1"
    assert load(home / "config.toml", environ).kafka.bootstrap == "of-xdg:1"


DATABASE = '[databases.hj]\ndbname = "hj"\nuser = "capture"\n'
SUBSCRIBER = '[subscribers.credit]\nurl = "https://credit.example/hook"\n'


def test_secrets_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "hooks").write_text("whsec_new\nwhsec_old\n", "utf-8")
    (tmp_path / "pw").write_text("from-file\n", "utf-8")
    file = written(tmp_path, DATABASE + 'password = "${env:HJ_PASSWORD}"\n' + SUBSCRIBER + 'secrets_file = "hooks"\n')

    found = load(file, {"HJ_PASSWORD": "from-env"})
    assert found.databases["hj"].password == Secret("from-env")
    assert [secret.reveal() for secret in found.subscribers["credit"].secrets] == ["whsec_new", "whsec_old"]

    found = load(file, {"HJ_PASSWORD": "", "SYNC_ENGINE__DATABASES__HJ__PASSWORD_FILE": str(tmp_path / "pw")})
    assert found.databases["hj"].password == Secret("from-file")

    found = load(file, {"SYNC_ENGINE__DATABASES__HJ__PASSWORD": "plain", "SYNC_ENGINE__SUBSCRIBERS__CREDIT__SECRETS": '["a", "b"]'})
    assert found.databases["hj"].password == Secret("plain")
    assert found.subscribers["credit"].secrets == (Secret("a"), Secret("b"))


def test_no_secret_is_shown(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("CANARY", "utf-8")
    file = written(
        tmp_path,
        DATABASE
        + 'password_file = "pw"\nconnect_password = "${file:/run/hj.properties:password}"\n'
        + SUBSCRIBER
        + 'secrets = ["${file:pw}", "${env:HOOK}"]\n'
        + '[kafka.options]\n"sasl.mechanism" = "PLAIN"\n"sasl.password" = "${env:HOOK}"\n[redis]\nurl = "${env:REDIS}"\n',
    )

    found = load(file, {"HOOK": "CANARY", "REDIS": "redis://user:CANARY@cache:6379/0"})

    assert found.kafka.options == {"sasl.mechanism": "PLAIN", "sasl.password": Secret("CANARY")}
    assert found.subscribers["credit"].secrets == (Secret("CANARY"), Secret("CANARY"))
    assert found.redis.url == "redis://user:CANARY@cache:6379/0"
    shown = {one.name: one.value for one in describe(found)}
    assert "CANARY" not in f"{found}{shown}"
    assert shown["databases.hj.password"] == "****"
    assert shown["databases.hj.connect_password"] == "${file:/run/hj.properties:password}"
    assert shown["subscribers.credit.secrets"] == "****, ****"
    assert shown["kafka.options"] == "sasl.mechanism=PLAIN, sasl.password=****"
    assert shown["redis.url"] == "redis://****@cache:6379/0"


REFUSED = {
    "an unknown section": (
        "[kafak]\nbootstrap = 'k:1'",
        ["s.toml: kafak.bootstrap: unknown setting; allowed: kafka, registry, connect, …"],
    ),
    "an unknown setting": (
        "[redis]\nhost = 'r'",
        ["s.toml: redis.host: unknown setting; allowed: redis.url"],
    ),
    "an empty section": ("[databases.hj]", ["s.toml: databases.hj: unknown setting; allowed: databases.*.host, …"]),
    "a section name that no variable can have": ("[databases.HJ]\nhost = 'h'", ["s.toml: databases.HJ.host: unknown setting; …"]),
    "a number outside its limits": ("worker.batch_records = 0", ["s.toml: worker.batch_records: 0 is not within 1 to 10000"]),
    "text where a number is wanted": ("worker.listen_port = '80'", ["s.toml: worker.listen_port: must be a whole number, not text"]),
    "an address of another scheme": (
        "connect.url = 'ftp://c'",
        ["s.toml: connect.url: is not an address; allowed: http://host…, https://host…"],
    ),
    "what must be given and is not": (
        "[databases.hj]\nhost = 'h'\ndbname = 'd'",
        ["settings: databases.hj.user: missing; in a settings file or as SYNC_ENGINE__DATABASES__HJ__USER"],
    ),
    "a password in the file": (
        DATABASE + "password = 'CANARY'",
        [f"s.toml: databases.hj.password: a secret does not stand in the settings file; {REFERENCES}"],
    ),
    "a password in an address": (
        "redis.url = 'redis://u:CANARY@r'",
        [f"s.toml: redis.url: a secret does not stand in the settings file; {REFERENCES}"],
    ),
    "a password among the options": (
        "kafka.options = {'ssl.key.password' = 'CANARY'}",
        [f"s.toml: kafka.options.ssl.key.password: a secret does not stand in the settings file; {REFERENCES}"],
    ),
    "an option that promises rest on": ("kafka.options = {acks = '1'}", ["s.toml: kafka.options.acks: is set by the engine itself"]),
    "a variable that is not set": (
        DATABASE + "password = '${env:GONE}'",
        ["s.toml: databases.hj.password: environment variable GONE is not set"],
    ),
    "a secret's file that is not there": (
        DATABASE + "password_file = 'gone'",
        ["s.toml: databases.hj.password_file: file gone cannot be read: FileNotFoundError"],
    ),
    "a reference of another kind": (
        DATABASE + "password = '${vault:x}'",
        [f's.toml: databases.hj.password: unknown reference "vault"; {REFERENCES}'],
    ),
    "a connector's password that is none of Connect's references": (
        DATABASE + "connect_password = 'CANARY'",
        ["s.toml: databases.hj.connect_password: is not a reference that Kafka Connect resolves; allowed: ${file:PATH:KEY}, …"],
    ),
    "a file that is not TOML": ("[kafka", ["s.toml: is not TOML: Expected ']' at the end of a table declaration (at end of document)"]),
}


@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(text: str, expected: list[str], tmp_path: Path) -> None:
    found = faults_of(written(tmp_path, text), {})

    assert "CANARY" not in str(found)
    assert len(found) == len(expected)
    for fault, wanted in zip(found, expected, strict=True):
        assert fault.startswith(wanted.removesuffix("…")) if wanted.endswith(("; …", ", …")) else fault == wanted


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("SYNC_ENGINE__KAFKA__BOOTSTRAPS", "k:1", "unknown setting; allowed: kafka.bootstrap, "),
        ("SYNC_ENGINE__WORKER__LISTEN_PORT", "eighty", "is not a TOML value"),
        ("SYNC_ENGINE__WORKER__LISTEN_PORT", "80000", "80000 is not within 0 to 65535"),
    ],
)
def test_refuses_variables_by_their_name(variable: str, value: str, expected: str, tmp_path: Path) -> None:
    (fault,) = faults_of(written(tmp_path, ""), {variable: value})

    assert fault.startswith(f"{variable}: {expected}")


def test_everything_wrong_is_reported_at_once(tmp_path: Path) -> None:
    text = "worker.batch_records = 0\nredis.host = 'r'\nconnect.url = 'ftp://c'\n"

    assert len(faults_of(written(tmp_path, text), {"SYNC_ENGINE__WORKER__LISTEN_PORT": "x"})) == 4


def test_a_named_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert faults_of(tmp_path / "gone.toml", {}) == ["gone.toml: cannot be read: FileNotFoundError"]


def test_the_table_and_the_values_have_the_same_settings() -> None:
    fields = {f"{name}.{field.name}" for name, made in SECTIONS.items() for field in dataclasses.fields(made)}
    fields |= {f"{name}.*.{field.name}" for name, made in NAMED_SECTIONS.items() for field in dataclasses.fields(made)}

    assert {row.name for row in TABLE} == fields
    assert {field.name for field in dataclasses.fields(settings.Settings)} == {*SECTIONS, *NAMED_SECTIONS, "origins"}
