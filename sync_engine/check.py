"""Everything that can be said to be wrong before anything is started: declarations, settings, and each against the other."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sync_engine import declared, settings
from sync_engine.crosscheck import source_file, subscriber_file
from sync_engine.fault import Fault
from sync_engine.model.declaration import Declarations, Subscriber
from sync_engine.settings import Settings


def check(
    declarations_dir: Path | None = None,
    settings_file: Path | None = None,
    node: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Fault, ...]:
    """Every fault of both. With `node`, what that node needs in the settings must be there; without, nothing in particular must."""
    declarations, faults = declared.inspect(declarations_dir)
    installed, more = settings.inspect(settings_file, environ)
    against = () if installed is None else tuple(between(declarations, installed, node))
    return (*faults, *more, *against)


def between(declarations: Declarations, installed: Settings, node: str | None = None) -> Iterator[Fault]:
    """What settings and declarations say differently: sections that nothing declares, and those that `node` lacks."""
    departments, subscribers = declarations.departments.values(), declarations.subscribers.values()
    declared_names = {
        "databases": {department.settings for department in departments},
        "subscribers": {subscriber.settings for subscriber in subscribers},
        "nodes": set(declarations.nodes),
    }
    for section, known in declared_names.items():
        for name in getattr(installed, section):
            if name not in known:
                origin = next(origin for setting, origin in installed.origins.items() if setting.startswith(f"{section}.{name}."))
                yield Fault(origin, f"{section}.{name}", "no declaration names it", tuple(sorted(known)))
    for subscriber in subscribers:
        if subscriber.settings in installed.subscribers:
            yield from _target(declarations, installed, subscriber)
    if node is None:
        return
    if node not in declarations.nodes:
        yield Fault("node", "", f'unknown node "{node}"', tuple(sorted(declarations.nodes)))
    yield from capturable(declarations, installed, node)
    for subscriber in declarations.subscribers_of(node):
        if subscriber.settings not in installed.subscribers and NEEDED[subscriber.kind]:
            message = f"no settings section subscribers.{subscriber.settings}"
            yield Fault(subscriber_file(subscriber), "settings", message, tuple(sorted(installed.subscribers)))


def capturable(declarations: Declarations, installed: Settings, node: str) -> Iterator[Fault]:
    """What the settings lack for the node's departments to be captured."""
    for department in declarations.departments_of(node):
        if department.settings not in installed.databases:
            message = f"no settings section databases.{department.settings}"
            yield Fault(source_file(department), "database.settings", message, tuple(sorted(installed.databases)))


NEEDED: Mapping[str, tuple[str, ...]] = {"webhook": ("url", "secrets"), "topic": (), "table": ("database_url",)}
ALLOWED: Mapping[str, tuple[str, ...]] = {**NEEDED, "topic": ("bootstrap", "options")}


def _target(declarations: Declarations, installed: Settings, subscriber: Subscriber) -> Iterator[Fault]:
    """What the settings of a subscriber lack for its kind or have too much; and a table that is captured."""
    section, found = f"subscribers.{subscriber.settings}", installed.subscribers[subscriber.settings]
    for name in NEEDED.get(subscriber.kind, ()):
        if not getattr(found, name):
            message = f"missing; in a settings file or as {settings.variable_of(f'{section}.{name}')}"
            yield Fault("settings", f"{section}.{name}", message)
    for setting, origin in installed.origins.items():
        name = setting.removeprefix(f"{section}.").split(".")[0]
        if setting.startswith(f"{section}.") and subscriber.kind in ALLOWED and name not in ALLOWED[subscriber.kind]:
            yield Fault(origin, f"{section}.{name}", f"is not for a subscriber of kind {subscriber.kind}", ALLOWED[subscriber.kind])
    if found.options and found.bootstrap is None:
        yield Fault("settings", f"{section}.options", "without bootstrap the engine's own brokers and options are used")
    if subscriber.table is None or found.database_url is None:
        return
    url = urlsplit(found.database_url.reveal())
    place = (url.hostname, url.port or (5_432 if url.scheme == "postgresql" else 3_306), unquote(url.path.strip("/")))
    for department in declarations.departments.values():
        database = installed.databases.get(department.settings)
        captured = {*(source.table for source in department.sources), department.heartbeat_table}
        # On MariaDB a table's schema is its database, whatever the address names.
        of_all = 2 if department.kind == "mariadb" else 3
        same_place = database is not None and (database.host, database.port, database.dbname)[:of_all] == place[:of_all]
        if same_place and subscriber.table.name in captured:
            yield Fault(
                subscriber_file(subscriber), "table.name", f"{subscriber.table.name} is captured from {department.id}: never written"
            )
