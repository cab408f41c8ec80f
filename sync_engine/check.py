"""Everything that can be said to be wrong before anything is started: declarations, settings, and each against the other."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from sync_engine import declared, settings
from sync_engine.crosscheck import source_file, subscriber_file
from sync_engine.fault import Fault
from sync_engine.model.declaration import Declarations
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
    if node is None:
        return
    if node not in declarations.nodes:
        yield Fault("node", "", f'unknown node "{node}"', tuple(sorted(declarations.nodes)))
    for department in declarations.departments_of(node):
        if department.settings not in installed.databases:
            message = f"no settings section databases.{department.settings}"
            yield Fault(source_file(department), "database.settings", message, tuple(sorted(installed.databases)))
    for subscriber in declarations.subscribers_of(node):
        if subscriber.settings not in installed.subscribers:
            message = f"no settings section subscribers.{subscriber.settings}"
            yield Fault(subscriber_file(subscriber), "settings", message, tuple(sorted(installed.subscribers)))
