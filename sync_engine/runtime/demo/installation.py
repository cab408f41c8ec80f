"""The settings file of an installation on the local servers: what a user would write by hand for the sample network."""

from pathlib import Path

from sync_engine.model.declaration import TABLE, WEBHOOK, Declarations, Subscriber
from sync_engine.runtime.demo.departments import ROLE, Departments, database_of
from sync_engine.runtime.localstack import Endpoints


def settings_text(
    declarations: Declarations,
    departments: Departments,
    endpoints: Endpoints,
    home: Path,
    password_file: Path,
    webhook: tuple[str, Path],
) -> str:
    """TOML. `webhook` = its address and the file with its secret; `home` holds the workers' state."""
    lines = [
        f'[kafka]\nbootstrap = "{endpoints.kafka}"\nreplication = 1\n',
        f'[registry]\nurl = "{endpoints.registry}"\nnative_url = "{endpoints.registry_native}"\n',
        f'[connect]\nurl = "{endpoints.connect}"\n',
        f'[redis]\nurl = "{endpoints.redis}"\n',
        f'[state]\ndir = "{home / "state"}"\n',
    ]
    for department in declarations.departments.values():
        lines.append(
            f"[databases.{department.settings}]\nport = {departments.port_of(department)}\n"
            f'dbname = "{database_of(department)}"\nuser = "{ROLE}"\nconnect_password = "${{file:{password_file}:password}}"\n'
            f'password = "${{file:{password_file.with_suffix(".password")}}}"\n'
        )
    sections = {
        subscriber.settings: _subscriber(subscriber, departments, password_file, webhook)
        for subscriber in declarations.subscribers.values()
    }
    lines += [f"[subscribers.{name}]\n{text}" for name, text in sections.items() if text]
    return "\n".join(lines)


def _subscriber(subscriber: Subscriber, departments: Departments, password_file: Path, webhook: tuple[str, Path]) -> str:
    if subscriber.kind == WEBHOOK:
        url, secret = webhook
        return f'url = "{url}"\nsecrets = ["${{file:{secret}}}"]\n'
    if subscriber.kind == TABLE:
        return f'database_url = "${{file:{departments.targets(password_file)[subscriber.settings]}}}"\n'
    return ""  # needs none: a topic on the engine's own Kafka
