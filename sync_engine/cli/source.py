"""`sync-engine source list|show|validate|restart|pause|resume|snapshot|reconcile`: the captures of departments."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from sync_engine.cli.command import Group, fail, option
from sync_engine.cli.exits import FAILED, TIMEOUT, UNHEALTHY, UNREACHABLE, USAGE
from sync_engine.cli.installed import installed, reaching, unknown
from sync_engine.cli.language import said
from sync_engine.cli.names import declared_names, node_option
from sync_engine.cli.output import output_option, print_fields, print_table, show
from sync_engine.fault import Fault, Message
from sync_engine.model.declaration import Title

if TYPE_CHECKING:
    from sync_engine.model.declaration import Declarations, Department, Source
    from sync_engine.runtime.connect import ConnectClient, ConnectorStatus
    from sync_engine.runtime.reconcile import Result
    from sync_engine.settings import Settings

Asking = Callable[["ConnectClient"], Awaitable[Any]]
SIGNALS = "signal.kafka.topic"
MISSING = "MISSING"
"""Declared, and Connect has no such connector: `apply` makes it."""


@click.group(cls=Group)
def source() -> None:
    """Sources: the capture of a department's database, named as in `status`: jinan/public_security."""


_output = output_option()
_name = click.argument("name", shell_complete=declared_names("source"))


@source.command(name="list")
@node_option("Of this node only.")
@_output
@click.pass_context
def list_(context: click.Context, node: str | None, output: str) -> None:
    """Every declared source with the states of its connector and tasks, and its epoch. Exit 10 if one does not run."""
    declarations, settings = installed(context)
    if node is not None and node not in declarations.nodes:
        raise unknown("node", node, declarations.nodes)
    departments = [each for each in declarations.departments.values() if node in (None, each.node)]
    entries = _ask(settings, lambda connect: connect.connectors())
    told = [_told(each, entries.get(each.connector)) for each in departments]
    show(output, told, lambda: _list(told))
    if any({one["state"], *one["tasks"]} != {"RUNNING"} for one in told):
        raise click.exceptions.Exit(UNHEALTHY)


def _list(told: list[dict[str, Any]]) -> None:
    rows = [
        (
            one["source"],
            said(Title(**one["title"])),
            said(one["state"]),
            ", ".join(said(state) for state in one["tasks"]) or "-",
            *("-" if one[name] is None else str(one[name]) for name in ("epoch", "declared_epoch", "tables", "cause")),
        )
        for one in told
    ]
    print_table(("source", "title", "connector", "tasks", "epoch", "declared", "tables", "cause"), rows)


@source.command(name="show")
@_name
@_output
@click.pass_context
def show_(context: click.Context, name: str, output: str) -> None:
    """The source NAME whole: states, traces, offsets, configuration (secrets masked)."""
    declarations, settings = installed(context)
    connector = _department(declarations, name).connector

    async def look(connect: "ConnectClient") -> dict[str, Any]:
        status, config, offsets = await asyncio.gather(connect.status(connector), connect.config(connector), connect.offsets(connector))
        tasks = [{"id": task.id, "state": task.state, "trace": task.trace} for task in status.tasks]
        shown = {"source": name, "connector": connector, "state": status.connector.state, "trace": status.connector.trace, "tasks": tasks}
        return {**shown, "offsets": [each.offset for each in offsets], "config": config.display()}

    told = _ask(settings, look)
    show(output, told, lambda: print_fields(told))


@source.command()
@_name
@_output
@click.pass_context
def validate(context: click.Context, name: str, output: str) -> None:
    """Ask the connector's plugin about the configuration that `apply` would give NAME; it tries the database. Exit 1 if it objects."""
    from sync_engine.runtime.provisioning import config_of

    declarations, settings = installed(context)
    department = _department(declarations, name)
    _refuse_foreign(department, settings)
    found = _ask(settings, lambda connect: connect.validate(config_of(declarations, settings, department)))
    if found.error_count:
        faults = [Fault("connector", setting, Message(error)) for setting, errors in found.errors.items() for error in errors]
        what, why = Message("{name} is not valid", name=name), Message("{count} fault(s)", count=found.error_count)
        raise fail(what, why, "correct the declaration, the settings or the database", FAILED, faults)
    show(output, {"source": name, "valid": True}, lambda: click.echo(said("{name}: valid", name=name), err=True))


@source.command()
@_name
@option("--only-failed", is_flag=True, help="Leave alone what runs.")
@_output
@click.pass_context
def restart(context: click.Context, name: str, only_failed: bool, output: str) -> None:
    """Restart connector and tasks of NAME, and wait until they run. Nothing is lost: it goes on at its offsets."""
    _settled(context, name, output, "RUNNING", lambda connect, connector: connect.restart(connector, only_failed=only_failed))


@source.command()
@_name
@_output
@click.pass_context
def pause(context: click.Context, name: str, output: str) -> None:
    """Have the capture of NAME stand still. It goes dark; its database keeps its log for it meanwhile: do not forget it."""
    _settled(context, name, output, "PAUSED", lambda connect, connector: connect.pause(connector))


@source.command()
@_name
@_output
@click.pass_context
def resume(context: click.Context, name: str, output: str) -> None:
    """Have NAME go on where it stood: one that the brake holds is released, a paused capture runs again."""
    from sync_engine.runtime.holds import release

    declarations, settings = installed(context)
    department = _department(declarations, name)
    with reaching("what is held"):
        release(settings.kafka.bootstrap, department.node, name, client=settings.kafka.client)
    _settled(context, name, output, "RUNNING", lambda connect, connector: connect.resume(connector))


@source.command()
@_name
@option("--tables", help="Of these tables only, as declared (schema.table), with commas between.")
@_output
@click.pass_context
def snapshot(context: click.Context, name: str, tables: str | None, output: str) -> None:
    """Have every row of NAME read again while its stream goes on, without a new epoch; what is gone at the source is not noticed."""
    from sync_engine.model import names
    from sync_engine.runtime.signals import ask_for_snapshot

    declarations, settings = installed(context)
    department = _department(declarations, name)
    wanted = [source.table for source in _tables(department, tables)]
    actual = _ask(settings, lambda connect: connect.config(department.connector))
    if actual.get(SIGNALS) != names.signal(department):
        advice = "sync-engine plan, apply; not where Kafka wants a login, nor for a connector that is not made by us"
        raise fail("nothing was asked", "its connector reads no signals", advice, FAILED)
    with reaching("the signal topic"):
        asked = ask_for_snapshot(settings.kafka.bootstrap, department, wanted, client=settings.kafka.client)
    shown = {"source": name, "asked": wanted, "signal": asked}
    show(output, shown, lambda: click.echo(said("{name}: asked to read again: {tables}", name=name, tables=", ".join(wanted)), err=True))


@source.command()
@_name
@option("--tables", help="Of these tables only, as declared (schema.table), with commas between.")
@option("--heal", is_flag=True, help="Have what was lost say what its row says, and look again.")
@_output
@click.pass_context
def reconcile(context: click.Context, name: str, tables: str | None, heal: bool, output: str) -> None:
    """Compare the rows of NAME with what came of them: what its capture has lost. Exit 10 if anything is lost and not healed."""
    from sync_engine.runtime.databases import DatabaseUnreachable, LoginRefused
    from sync_engine.runtime.reconcile import NotPassed, Reconciler
    from sync_engine.runtime.registry import SchemaRegistry
    from sync_engine.runtime.rows import TableUnreadable
    from sync_engine.runtime.schemas import AvroCodec, all_schemas

    declarations, settings = installed(context)
    department = _department(declarations, name)
    _refuse_foreign(department, settings)
    wanted = _tables(department, tables)
    codec = AvroCodec(SchemaRegistry(settings.registry.url), all_schemas(declarations))
    try:
        with reaching("the slots"), closing(Reconciler(declarations, settings, department, wanted, codec)) as reconciler:
            results = reconciler.run(
                heal, lambda source, rows: click.echo(said("{source}: {rows} rows", source=source, rows=rows), err=True)
            )
    except (DatabaseUnreachable, LoginRefused) as failure:
        code = UNREACHABLE if isinstance(failure, DatabaseUnreachable) else USAGE
        advice = "see sync-engine check --databases"
        raise fail("nothing was compared", said(failure.fault.message), advice, code) from None
    except TableUnreadable as refusal:
        raise fail("nothing was compared", str(refusal), "see sync-engine check --databases", USAGE) from None
    except NotPassed as late:
        raise fail("nothing was compared", late.why, "see sync-engine status; say it again when the source is caught up", TIMEOUT) from None
    told = [_compared(result) for result in results]
    show(output, {"source": name, "tables": told}, lambda: _list_compared(told))
    if any(result.standing for result in results):
        raise click.exceptions.Exit(UNHEALTHY)
    if any(result.unsettled for result in results):
        raise click.exceptions.Exit(TIMEOUT)


def _compared(result: "Result") -> dict[str, Any]:
    """Counts alone: no part of it is a row's."""
    return {
        "source": result.source,
        "table": result.table,
        "rows": result.rows,
        "slots": result.slots,
        **{loss.value: slots for loss, slots in result.lost.items()},
        "healed": result.healed,
        "unsettled": result.unsettled,
        "apart": {apart.value: count for apart, count in result.apart.items()},
    }


def _list_compared(told: list[dict[str, Any]]) -> None:
    numbers = ("rows", "slots", "missing", "stale", "surplus", "healed", "unsettled")
    apart = ("unreadable", "in_error", "incomplete", "put_aside")
    rows = [(one["table"], *(str(one[name]) for name in numbers), *(str(one["apart"][name]) for name in apart)) for one in told]
    print_table(
        (
            "table",
            "rows",
            "slots",
            "missing",
            "stale",
            "surplus",
            "healed",
            "unsettled",
            "unreadable",
            "in error",
            "incomplete",
            "put aside",
        ),
        rows,
    )


def _refuse_foreign(department: "Department", settings: "Settings") -> None:
    """Of a kind that we read, in a database that the settings name."""
    from sync_engine.model.declaration import CONNECTOR_KINDS

    if department.kind not in CONNECTOR_KINDS:
        advice = Message("ask those who run it; we make those of {kinds}", kinds=", ".join(CONNECTOR_KINDS))
        raise fail("nothing was asked", Message("a connector for {kind} is not made by us", kind=department.kind), advice, USAGE)
    if department.settings not in settings.databases:
        raise fail(
            "nothing was asked",
            Message("no settings section {section}", section=f"databases.{department.settings}"),
            "see sync-engine check --node NODE",
            USAGE,
        )


def _tables(department: "Department", tables: str | None) -> "list[Source]":
    """Those of the department's tables that are asked for; None: all."""
    declared = {source.table: source for source in department.sources}
    wanted = sorted(set(tables.split(","))) if tables is not None else sorted(declared)
    if unknown := ", ".join(table for table in wanted if table not in declared):
        why = Message("not tables of {name}: {tables}", name=department.id, tables=unknown)
        raise fail("nothing was asked", why, Message("one of {names}", names=", ".join(sorted(declared))), USAGE)
    return [declared[table] for table in wanted]


def _settled(context: click.Context, name: str, output: str, state: str, act: "Callable[[ConnectClient, str], Awaitable[object]]") -> None:
    declarations, settings = installed(context)
    connector = _department(declarations, name).connector

    async def settle(connect: "ConnectClient") -> "ConnectorStatus":
        await act(connect, connector)
        return await connect.settle(connector, state)

    status = _ask(settings, settle)
    told = {"source": name, "state": status.connector.state, "tasks": [task.state for task in status.tasks]}
    words = said("{name}: {state}, {tasks} task(s)", name=name, state=Message(status.connector.state), tasks=len(status.tasks))
    show(output, told, lambda: click.echo(words, err=True))


def _told(department: "Department", entry: Any) -> dict[str, Any]:
    """What a list shows of one source."""
    from sync_engine.provision.plan import EPOCH

    config = {} if entry is None or entry.info is None else entry.info.config
    status = None if entry is None else entry.status
    return {
        "source": department.id,
        "title": {"zh": department.title.zh, "en": department.title.en},
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
        raise unknown("source", name, declarations.departments)
    return declarations.departments[name]


def _ask(settings: "Settings", asking: Asking) -> Any:
    from sync_engine.runtime.connect import ConnectClient

    async def asked() -> Any:
        async with ConnectClient(settings.connect.url) as connect:
            return await asking(connect)

    with reaching("Kafka Connect"):
        return asyncio.run(asked())
