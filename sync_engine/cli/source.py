"""`sync-engine source list|show|validate|restart|pause|resume|snapshot`: the captures of departments, as Kafka Connect has them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from sync_engine.cli import FAILED, UNHEALTHY, USAGE, fail
from sync_engine.cli.installed import installed, reaching
from sync_engine.cli.table import print_table

if TYPE_CHECKING:
    from sync_engine.model.declaration import Declarations, Department
    from sync_engine.runtime.connect import ConnectClient, ConnectorStatus
    from sync_engine.settings import Settings

Asking = Callable[["ConnectClient"], Awaitable[Any]]
SIGNALS = "signal.kafka.topic"
MISSING = "MISSING"
"""Declared, and Connect has no such connector: `apply` makes it."""


@click.group()
def source() -> None:
    """Sources: the capture of a department's database, named as in `status`: jinan/public_security. 数据源"""


_output = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)


@source.command(name="list")
@click.option("--node", help="Of this node only.")
@_output
@click.pass_context
def list_(context: click.Context, node: str | None, output: str) -> None:
    """Every declared source with the states of its connector and tasks, and its epoch. Exit 10 if one does not run."""
    declarations, settings = installed(context)
    departments = [each for each in declarations.departments.values() if node in (None, each.node)]
    entries = _ask(settings, lambda connect: connect.connectors())
    told = [_told(each, entries.get(each.connector)) for each in departments]
    if output == "json":
        click.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        print_table(
            ("source", "title", "connector", "tasks", "epoch", "declared", "tables", "cause"),
            [
                (
                    *(str(one[name]) for name in ("source", "title", "state")),
                    ", ".join(one["tasks"]) or "-",
                    *(str(one[name]) for name in ("epoch", "declared_epoch", "tables", "cause")),
                )
                for one in told
            ],
        )
    if any({one["state"], *one["tasks"]} != {"RUNNING"} for one in told):
        raise click.exceptions.Exit(UNHEALTHY)


@source.command()
@click.argument("name")
@click.pass_context
def show(context: click.Context, name: str) -> None:
    """The source NAME whole, as JSON: states, traces, offsets, configuration (secrets masked)."""
    declarations, settings = installed(context)
    connector = _department(declarations, name).connector

    async def look(connect: "ConnectClient") -> dict[str, Any]:
        status, config, offsets = await asyncio.gather(connect.status(connector), connect.config(connector), connect.offsets(connector))
        tasks = [{"id": task.id, "state": task.state, "trace": task.trace} for task in status.tasks]
        shown = {"source": name, "connector": connector, "state": status.connector.state, "trace": status.connector.trace, "tasks": tasks}
        return {**shown, "offsets": [each.offset for each in offsets], "config": config.display()}

    click.echo(json.dumps(_ask(settings, look), ensure_ascii=False, indent=2))


@source.command()
@click.argument("name")
@click.pass_context
def validate(context: click.Context, name: str) -> None:
    """Ask the connector's plugin about the configuration that `apply` would give NAME; it tries the database. Exit 1 if it objects."""
    from sync_engine.model.declaration import CONNECTOR_KINDS
    from sync_engine.runtime.provisioning import config_of

    declarations, settings = installed(context)
    department = _department(declarations, name)
    if department.kind not in CONNECTOR_KINDS:
        advice = f"ask those who run it; we make those of {', '.join(CONNECTOR_KINDS)}"
        raise fail("nothing was asked", f"a connector for {department.kind} is not made by us", advice, USAGE)
    if department.settings not in settings.databases:
        raise fail("nothing was asked", f"no settings section databases.{department.settings}", "sync-engine check --node NODE", USAGE)
    found = _ask(settings, lambda connect: connect.validate(config_of(declarations, settings, department)))
    for setting, errors in found.errors.items():
        for error in errors:
            click.echo(f"{setting}: {error}")
    if found.error_count:
        raise fail(f"{name} is not valid", f"{found.error_count} fault(s)", "correct the declaration, the settings or the database", FAILED)
    click.echo(f"{name}: 有效  valid", err=True)


@source.command()
@click.argument("name")
@click.option("--only-failed", is_flag=True, help="Leave alone what runs.")
@click.pass_context
def restart(context: click.Context, name: str, only_failed: bool) -> None:
    """Restart connector and tasks of NAME, and wait until they run. Nothing is lost: it goes on at its offsets."""
    _settled(context, name, "RUNNING", lambda connect, connector: connect.restart(connector, only_failed=only_failed))


@source.command()
@click.argument("name")
@click.pass_context
def pause(context: click.Context, name: str) -> None:
    """Have the capture of NAME stand still. It goes dark; its database keeps its log for it meanwhile: do not forget it."""
    _settled(context, name, "PAUSED", lambda connect, connector: connect.pause(connector))


@source.command()
@click.argument("name")
@click.pass_context
def resume(context: click.Context, name: str) -> None:
    """Have a paused capture of NAME go on where it stood."""
    _settled(context, name, "RUNNING", lambda connect, connector: connect.resume(connector))


@source.command()
@click.argument("name")
@click.option("--tables", help="Of these tables only, as declared (schema.table), with commas between.")
@click.pass_context
def snapshot(context: click.Context, name: str, tables: str | None) -> None:
    """Have every row of NAME read again while its stream goes on, without a new epoch. 增量快照, 不换纪元

    What is equal changes nothing. Rows that are gone at the source are not noticed by it: that takes a new epoch.
    """
    from sync_engine.model import names
    from sync_engine.runtime.signals import ask_for_snapshot

    declarations, settings = installed(context)
    department = _department(declarations, name)
    declared = sorted(source.table for source in department.sources)
    wanted = sorted(set(tables.split(","))) if tables is not None else declared
    if unknown := ", ".join(table for table in wanted if table not in declared):
        raise fail("nothing was asked", f"not tables of {name}: {unknown}", f"some of {', '.join(declared)}", USAGE)
    actual = _ask(settings, lambda connect: connect.config(department.connector))
    if actual.get(SIGNALS) != names.signal(department):
        advice = "`sync-engine plan`, `apply`; not where Kafka wants a login, nor for a connector that is not made by us"
        raise fail("nothing was asked", "its connector reads no signals", advice, FAILED)
    with reaching("Kafka"):
        asked = ask_for_snapshot(settings.kafka.bootstrap, department, wanted, client=settings.kafka.client)
    click.echo(f"{name}: 已请求重读  asked to read again: {', '.join(wanted)} ({asked})", err=True)


def _settled(context: click.Context, name: str, state: str, act: "Callable[[ConnectClient, str], Awaitable[object]]") -> None:
    declarations, settings = installed(context)
    connector = _department(declarations, name).connector

    async def settle(connect: "ConnectClient") -> "ConnectorStatus":
        await act(connect, connector)
        return await connect.settle(connector, state)

    status = _ask(settings, settle)
    click.echo(f"{name}: {status.connector.state}, {len(status.tasks)} task(s)", err=True)


def _told(department: "Department", entry: Any) -> dict[str, Any]:
    """What a list shows of one source."""
    from sync_engine.provision.plan import EPOCH

    config = {} if entry is None or entry.info is None else entry.info.config
    status = None if entry is None else entry.status
    return {
        "source": department.id,
        "title": department.title.zh,
        "connector": department.connector,
        "state": MISSING if status is None else status.connector.state,
        "tasks": [] if status is None else [task.state for task in status.tasks],
        "epoch": int(config[EPOCH]) if EPOCH in config else None,
        "declared_epoch": department.epoch,
        "tables": len(department.sources),
        "cause": "" if status is None else status.cause or "",
    }


def _department(declarations: "Declarations", name: str) -> "Department":
    if name not in declarations.departments:
        raise fail(f"there is no source {name}", "no declaration names it", f"one of {', '.join(sorted(declarations.departments))}", USAGE)
    return declarations.departments[name]


def _ask(settings: "Settings", asking: Asking) -> Any:
    from sync_engine.runtime.connect import ConnectClient

    async def asked() -> Any:
        async with ConnectClient(settings.connect.url) as connect:
            return await asking(connect)

    with reaching("Kafka Connect"):
        return asyncio.run(asked())
