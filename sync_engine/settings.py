"""What may differ between two installations: where servers are, limits, secrets. One table; nothing else is a setting.

An environment variable (`SYNC_ENGINE__KAFKA__BOOTSTRAP`) goes before the settings file, the file before the default. The surprise: a secret
never stands in the file itself, only `${env:NAME}` or `${file:PATH}`, so that the file may be shown to anybody.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sync_engine.fault import Fault, Invalid, Message
from sync_engine.setting_kinds import Address, ConnectReference, DatabaseUrl, Options, PathText, Secret, SecretText, SecretTexts, Url
from sync_engine.shape import NAME_PATTERN, REFUSED, REQUIRED, Kind, ListOf, Number, Place, Text, Whole

ENV_PREFIX = "SYNC_ENGINE__"


class SettingsInvalid(Invalid):
    """The settings cannot be used; `faults` is everything that is wrong with them."""


@dataclass(frozen=True)
class KafkaSettings:
    bootstrap: str
    session_timeout_ms: int
    replication: int
    options: Mapping[str, str | Secret]

    @property
    def client(self) -> dict[str, str]:
        """What every client of the broker needs (TLS, SASL), secrets in the clear: for clients only."""
        return _in_the_clear(self.options)


@dataclass(frozen=True)
class RegistrySettings:
    url: str
    native_url: str


@dataclass(frozen=True)
class ConnectSettings:
    url: str


@dataclass(frozen=True)
class RedisSettings:
    url: str


@dataclass(frozen=True)
class AlertmanagerSettings:
    urls: tuple[str, ...]


@dataclass(frozen=True)
class StateSettings:
    dir: Path


@dataclass(frozen=True)
class WorkerSettings:
    listen_host: str
    listen_port: int
    batch_records: int
    memory_mib: int
    quiet_wait_ms: int
    tick_seconds: float


@dataclass(frozen=True)
class PushSettings:
    networks: tuple[str, ...]


@dataclass(frozen=True)
class NodeSettings:
    generation: int


@dataclass(frozen=True)
class DatabaseSettings:
    host: str
    port: int
    dbname: str
    user: str
    password: Secret | None
    connect_password: str | None


@dataclass(frozen=True)
class SubscriberSettings:
    """What a subscriber's kind does not need is None or empty; `check` tells what is missing or too much."""

    url: str | None = None
    secrets: tuple[Secret, ...] = ()
    bootstrap: str | None = None
    """None: the engine's own brokers, with its own options."""
    options: Mapping[str, str | Secret] = field(default_factory=dict)
    database_url: Secret | None = None

    @property
    def client(self) -> dict[str, str]:
        """`KafkaSettings.client`, of the subscriber's own brokers."""
        return _in_the_clear(self.options)


@dataclass(frozen=True)
class Settings:
    kafka: KafkaSettings
    registry: RegistrySettings
    connect: ConnectSettings
    redis: RedisSettings
    alertmanager: AlertmanagerSettings
    state: StateSettings
    worker: WorkerSettings
    push: PushSettings
    nodes: Mapping[str, NodeSettings]
    databases: Mapping[str, DatabaseSettings]
    subscribers: Mapping[str, SubscriberSettings]
    origins: Mapping[str, str] = field(default_factory=dict)
    """Setting -> the file or environment variable that it came from; what is missing here is the default."""

    def generation(self, node: str) -> int:
        """The generation of the node's golden log: 0 until that was lost or restored."""
        return self.nodes[node].generation if node in self.nodes else 0


def _in_the_clear(options: Mapping[str, str | Secret]) -> dict[str, str]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in options.items()}


SECTIONS: Mapping[str, type] = {
    "kafka": KafkaSettings,
    "registry": RegistrySettings,
    "connect": ConnectSettings,
    "redis": RedisSettings,
    "alertmanager": AlertmanagerSettings,
    "state": StateSettings,
    "worker": WorkerSettings,
    "push": PushSettings,
}
NAMED_SECTIONS: Mapping[str, type] = {"nodes": NodeSettings, "databases": DatabaseSettings, "subscribers": SubscriberSettings}

# --- the table ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One row: `*` in the name stands for a declared settings name. `default` None = may be missing."""

    name: str
    kind: Kind
    default: Any
    unit: str
    help: str

    @property
    def secret(self) -> bool:
        return isinstance(self.kind, SecretText | SecretTexts)

    def hides(self, raw: str, key: str) -> bool:
        """Whether this value of it (`key` = within a table of options) is a secret."""
        if isinstance(self.kind, Url):
            return urlsplit(raw).password is not None
        return self.secret or (isinstance(self.kind, Options) and Options.is_sensitive(key))

    @property
    def literal(self) -> bool:
        """Whether `${…}` in it is not ours to resolve."""
        return isinstance(self.kind, ConnectReference)


HTTP = Url(("http", "https"))
WORD = Text(r"\S+", Message("text without blanks"))

TABLE: tuple[Setting, ...] = (
    Setting("kafka.bootstrap", WORD, "127.0.0.1:9092", "host:port,…", "Brokers to begin with."),
    Setting("kafka.session_timeout_ms", Whole(6_000, 60_000), 10_000, "ms", "A worker silent for so long loses its partitions."),
    Setting("kafka.replication", Whole(-1, 9), -1, "copies", "Of every topic; -1: the brokers' default."),
    Setting("kafka.options", Options(), {}, "", "Further options of librdkafka (TLS, SASL), by its own names."),
    Setting("registry.url", HTTP, "http://127.0.0.1:8080/apis/ccompat/v7", "", "Schema registry: the Confluent-compatible interface."),
    Setting(
        "registry.native_url", HTTP, "http://127.0.0.1:8080/apis/registry/v2", "", "The registry's own interface, as Connect reaches it."
    ),
    Setting("connect.url", HTTP, "http://127.0.0.1:8083", "", "Kafka Connect's REST interface."),
    Setting("redis.url", Url(("redis", "rediss", "unix")), "redis://127.0.0.1:6379/0", "", "Live views and leases; what is lost refills."),
    Setting("alertmanager.urls", ListOf(HTTP, least=0), (), "", "Every one of the Alertmanagers is told what fires; none: nobody is."),
    Setting("state.dir", PathText(), ".sync-engine/state", "", "The workers' local state; restored from Kafka where it is missing."),
    Setting("worker.listen_host", WORD, "127.0.0.1", "", "Where point reads and metrics are served."),
    Setting("worker.listen_port", Whole(0, 65_535), 0, "", "0: a free port."),
    Setting("worker.batch_records", Whole(1, 10_000), 2_000, "records", "A batch at most: one transaction."),
    Setting("worker.memory_mib", Whole(256, 1_048_576), 1_024, "MiB", "Resident memory of a worker; a quarter of it is its stores'."),
    Setting("worker.quiet_wait_ms", Whole(0, 1_000), 40, "ms", "How long a small batch waits for company."),
    Setting("worker.tick_seconds", Number(0.05, 60), 1.0, "s", "Between two looks at cuts, lag and what is due."),
    Setting("push.networks", ListOf(WORD, least=0), (), "CIDR", "Networks that webhooks may go to; none: anywhere."),
    Setting("nodes.*.generation", Whole(0, 1_000_000), 0, "", "Of the node's golden log; raise it when that was lost or restored."),
    Setting("databases.*.host", WORD, "127.0.0.1", "", "The department's database, as Kafka Connect reaches it."),
    Setting("databases.*.port", Whole(1, 65_535), 5_432, "", "Its port, as Kafka Connect reaches it."),
    Setting("databases.*.dbname", WORD, REQUIRED, "", "The database of its server that holds the tables."),
    Setting("databases.*.user", WORD, REQUIRED, "", "The capture role: it may read, and write our heartbeat table only."),
    Setting("databases.*.password", SecretText(), None, "", "For `check --databases`."),
    Setting(
        "databases.*.connect_password", ConnectReference(), None, "", "What stands in the connector's configuration: ${file:PATH:KEY}."
    ),
    Setting("subscribers.*.url", HTTP, None, "", "Kind webhook, needed: where the webhooks go."),
    Setting(
        "subscribers.*.secrets",
        SecretTexts(),
        (),
        "",
        "Kind webhook, needed: whsec_…; signs with every one, so that a receiver may change over.",
    ),
    Setting("subscribers.*.bootstrap", WORD, None, "host:port,…", "Kind topic: the subscriber's brokers; none: the engine's own."),
    Setting("subscribers.*.options", Options(), {}, "", "Kind topic, with bootstrap: options of librdkafka for those brokers."),
    Setting("subscribers.*.database_url", DatabaseUrl(), None, "", "Kind table, needed: postgresql://, mariadb:// or mysql://."),
)

# --- reading --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """A value that somebody gave, and who: `file` and `path` as in a fault."""

    raw: Any
    file: str
    path: str
    base: Path
    """What relative paths in references are relative to."""
    in_file: bool


def load(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process; raises SettingsInvalid with all faults. `environ` None: the process's own."""
    settings, faults = inspect(file, environ)
    if settings is None:
        raise SettingsInvalid(faults)
    return settings


def inspect(file: Path | None = None, environ: Mapping[str, str] | None = None) -> tuple[Settings | None, tuple[Fault, ...]]:
    """The settings, None if there is a fault, and every fault."""
    environ = os.environ if environ is None else environ
    faults: list[Fault] = []
    found = file or find_file(environ)
    given = {**_of_file(found, faults), **_of_environ(environ, faults)}
    sections: dict[str, Any] = {name: make(**_values(name, name, given, environ, faults)) for name, make in SECTIONS.items()}
    for section, make in NAMED_SECTIONS.items():
        names = sorted({name.split(".")[1] for name in given if name.startswith(f"{section}.")})
        sections[section] = {name: make(**_values(f"{section}.*", f"{section}.{name}", given, environ, faults)) for name in names}
    if faults:
        return None, tuple(sorted(set(faults)))
    return Settings(**sections, origins={name: one.file for name, one in given.items()}), ()


def find_file(environ: Mapping[str, str]) -> Path | None:
    """The first settings file that exists: one file counts, they are not added up."""
    config_home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    places = (Path("sync-engine.toml"), Path(config_home, "sync-engine", "config.toml"), Path("/etc/sync-engine/config.toml"))
    return next((place for place in places if place.is_file()), None)


def _of_file(path: Path | None, faults: list[Fault]) -> dict[str, Given]:
    if path is None:
        return {}
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        faults.append(Fault(str(path), "", Message("cannot be read: {why}", why=type(error).__name__)))
        return {}
    except tomllib.TOMLDecodeError as error:
        faults.append(Fault(str(path), "", Message("is not TOML: {why}", why=error)))
        return {}
    given: dict[str, Given] = {}
    for name, raw in _flat(data):
        row = _row(name)
        if row is None:
            _unknown(str(path), name, name, faults)
        else:
            given[_full(row, name)] = Given(_as_reference(row, name, raw), str(path), name, path.parent, True)
    return given


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value), going down until a row of the table is met."""
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and _row(name) is None:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _of_environ(environ: Mapping[str, str], faults: list[Fault]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for variable in sorted(environ):
        if not variable.startswith(ENV_PREFIX):
            continue
        name = variable.removeprefix(ENV_PREFIX).lower().replace("__", ".")
        row = _row(name)
        if row is None:
            _unknown(variable, "", name, faults)
            continue
        raw: Any = environ[variable]
        if not isinstance(row.kind, Text | Url | PathText | SecretText | ConnectReference) and not name.endswith("_file"):
            try:
                raw = tomllib.loads(f"value = {raw}")["value"]
            except tomllib.TOMLDecodeError:
                faults.append(Fault(variable, "", Message('is not a TOML value (a number, true, ["a", "b"], {name = "text"})')))
                continue
        given[_full(row, name)] = Given(_as_reference(row, name, raw), variable, "", Path(), False)
    return given


def _row(name: str) -> Setting | None:
    """The row that a dotted name is of; a secret may be given as `<name>_file`, too."""
    parts = name.split(".")
    if len(parts) == 3:
        parts[1] = "*" if re.fullmatch(NAME_PATTERN, parts[1]) else parts[1]
    wanted = ".".join(parts)
    for row in TABLE:
        if wanted == row.name or (row.secret and wanted == f"{row.name}_file"):
            return row
    return None


def _full(row: Setting, name: str) -> str:
    return name.removesuffix("_file") if row.secret and name.endswith("_file") else name


def _as_reference(row: Setting, name: str, raw: Any) -> Any:
    return f"${{file:{raw}}}" if row.secret and name.endswith("_file") else raw


def _unknown(file: str, path: str, name: str, faults: list[Fault]) -> None:
    section = name.split(".")[0]
    allowed = [row.name for row in TABLE if row.name.startswith(f"{section}.")] or [*SECTIONS, *NAMED_SECTIONS]
    faults.append(Fault(file, path, Message("unknown setting"), tuple(allowed)))


def _values(row_section: str, section: str, given: Mapping[str, Given], environ: Mapping[str, str], faults: list[Fault]) -> dict[str, Any]:
    """The values of one section by attribute."""
    values: dict[str, Any] = {}
    for row in TABLE:
        prefix, _, attribute = row.name.rpartition(".")
        if prefix != row_section:
            continue
        name = f"{section}.{attribute}"
        one = given.get(name)
        if one is not None:
            values[attribute] = _value(row, one, environ, faults)
            continue
        if row.default is REQUIRED:
            faults.append(missing(name))
        values[attribute] = _default(row)
    return values


def _default(row: Setting) -> Any:
    if isinstance(row.kind, Url | PathText) and isinstance(row.default, str):
        return row.kind.read(row.default, Place("settings", {}, [], row.name))
    return row.default


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return ENV_PREFIX + name.upper().replace(".", "__")


def missing(name: str) -> Fault:
    """The fault of a setting that must be given."""
    return Fault("settings", name, Message("missing; in a settings file or as {variable}", variable=variable_of(name)))


def _value(row: Setting, one: Given, environ: Mapping[str, str], faults: list[Fault]) -> Any:
    place = Place(one.file, {}, faults, one.path)
    raw = one.raw if row.literal else _resolved(row, one, one.raw, environ, place)
    if raw is REFUSED:
        return row.kind.blank
    value = row.kind.read(raw, place)
    return row.kind.blank if value is REFUSED else value


_REFERENCE = re.compile(r"\$\{(\w*):([^{}]*)\}")


def _resolved(row: Setting, one: Given, raw: Any, environ: Mapping[str, str], place: Place) -> Any:
    """The value with its references resolved; REFUSED, after a fault, also for a secret that stands in the file itself."""
    if isinstance(raw, list):
        parts = [_resolved(row, one, part, environ, place.index(index)) for index, part in enumerate(raw)]
        return REFUSED if REFUSED in parts else parts
    if isinstance(raw, dict):
        table = {key: _resolved(row, one, part, environ, place.step(key)) for key, part in raw.items()}
        return {key: part for key, part in table.items() if part is not REFUSED}
    if not isinstance(raw, str):
        return raw
    reference = _REFERENCE.fullmatch(raw)
    if reference is None:
        if one.in_file and row.hides(raw, place.key):
            return place.refuse(Message("a secret does not stand in the settings file"), ("${env:NAME}", "${file:PATH}"))
        return raw
    text = _referred(reference[1], reference[2], one.base, environ, place)
    return text.splitlines() if text is not REFUSED and isinstance(row.kind, SecretTexts) and raw is one.raw else text


def _referred(scheme: str, name: str, base: Path, environ: Mapping[str, str], place: Place) -> Any:
    if scheme == "env":
        return environ[name] if name in environ else place.refuse(Message("environment variable {name} is not set", name=name))
    if scheme != "file":
        return place.refuse(Message('unknown reference "{scheme}"', scheme=scheme), ("${env:NAME}", "${file:PATH}"))
    try:
        return (base / name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        return place.refuse(Message("file {name} cannot be read: {why}", name=name, why=type(error).__name__))


# --- showing --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A setting as it may be shown to anybody."""

    name: str
    value: str
    origin: str


def describe(settings: Settings) -> Iterator[Shown]:
    """Every setting with its value, secrets masked, and where it came from."""
    for row in TABLE:
        section, *_, attribute = row.name.split(".")
        held = getattr(settings, section)
        instances = {f"{section}.{name}": one for name, one in sorted(held.items())} if "*" in row.name else {section: held}
        for prefix, instance in instances.items():
            name = f"{prefix}.{attribute}"
            yield Shown(name, _shown(getattr(instance, attribute)), settings.origins.get(name, "default"))


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_shown(part) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_shown(part)}" for name, part in value.items())
    if isinstance(value, Address):
        return repr(value)
    return "" if value is None else str(value)
