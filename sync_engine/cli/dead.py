"""`sync-engine dead list|show|retry|discard`: what was put aside, and what becomes of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from sync_engine.cli.command import Group, fail, option
from sync_engine.cli.exits import NOT_FOUND, USAGE
from sync_engine.cli.installed import installed, reaching, unknown
from sync_engine.cli.language import said
from sync_engine.cli.names import declared_names, node_option, reasons
from sync_engine.cli.output import output_option, print_fields, print_table, show
from sync_engine.fault import Message

if TYPE_CHECKING:
    from sync_engine.runtime.dead import DeadLetters, Letter


@click.group(cls=Group)
def dead() -> None:
    """Dead letters: records that were put aside with their reason."""


def _choosing(command: Any) -> Any:
    for choosing in (
        option(
            "--source",
            shell_complete=declared_names("source"),
            help="Of this department's captured tables only, as in `status`: jinan/public_security.",
        ),
        option("--reason", shell_complete=reasons, help="Of this reason only: see docs/dead-letters.md."),
        node_option("Whose dead letters.", required=True),
        output_option(),
    ):
        command = choosing(command)
    return command


@dead.command(name="list")
@_choosing
@click.pass_context
def list_(context: click.Context, node: str, reason: str | None, source: str | None, output: str) -> None:
    """What stands, oldest first: no part of it is a record's key or value."""
    found = _chosen(context, node, reason, source, ())[1]
    told = [{name: getattr(each, name) for name in ("id", "node", "reason", "detail", "stage", "at_ms")} for each in found]
    show(output, told, lambda: _list(found))


def _list(found: "Sequence[Letter]") -> None:
    rows = [(each.id, each.reason, each.detail, each.stage, _time(each.at_ms), str(len(each.value or b""))) for each in found]
    print_table(("id", "reason", "detail", "stage", "at", "bytes"), rows)
    click.echo(said("{count} dead letter(s)", count=len(found)), err=True)


@dead.command(name="show")
@click.argument("letter")
@node_option("Whose dead letters.", required=True)
@output_option()
@click.pass_context
def show_(context: click.Context, letter: str, node: str, output: str) -> None:
    """One LETTER whole, its bytes too: personal data, for your eyes only."""
    found = _chosen(context, node, None, None, [letter])[1][0]
    told = {name: getattr(found, name) for name in ("id", "node", "reason", "detail", "stage", "at_ms")}
    told |= {"key": _bytes(found.key), "value": _bytes(found.value), "headers": {name: _bytes(value) for name, value in found.headers}}
    show(output, told, lambda: print_fields(told))


@dead.command()
@click.argument("letters", nargs=-1)
@_choosing
@option("--all", "all_", is_flag=True, help="All that the options choose.")
@click.pass_context
def retry(
    context: click.Context, letters: Sequence[str], node: str, reason: str | None, source: str | None, all_: bool, output: str
) -> None:
    """Have LETTERS decided again, once what was wrong is mended. An old change loses against what has come since."""
    dead_letters, found = _asked(context, node, reason, source, letters, all_)
    if late := [each.id for each in found if not each.can_be_retried]:
        why = Message("put aside behind resolve: {letters}", letters=", ".join(late))
        raise fail("nothing was put back", why, "it is said again with the record's next change; give it up: dead discard", USAGE)
    with reaching("the dead letters"):
        dead_letters.put_back(found)
    show(output, {"put_back": [each.id for each in found]}, lambda: click.echo(said("{count} put back", count=len(found)), err=True))


@dead.command()
@click.argument("letters", nargs=-1)
@_choosing
@option("--all", "all_", is_flag=True, help="All that the options choose.")
@click.pass_context
def discard(
    context: click.Context, letters: Sequence[str], node: str, reason: str | None, source: str | None, all_: bool, output: str
) -> None:
    """Give LETTERS up: they stand no longer. The slot stays unverified until the row's next good change."""
    dead_letters, found = _asked(context, node, reason, source, letters, all_)
    with reaching("the dead letters"):
        dead_letters.give_up(found)
    show(output, {"given_up": [each.id for each in found]}, lambda: click.echo(said("{count} given up", count=len(found)), err=True))


def _asked(
    context: click.Context, node: str, reason: str | None, source: str | None, letters: Sequence[str], all_: bool
) -> "tuple[DeadLetters, list[Letter]]":
    if bool(letters) == all_:
        raise click.UsageError(said("name letters, or say --all"))
    return _chosen(context, node, reason, source, letters)


def _chosen(
    context: click.Context, node: str, reason: str | None, source: str | None, letters: Sequence[str]
) -> "tuple[DeadLetters, list[Letter]]":
    """The letters that are asked for; exit 3 if one that was named does not stand."""
    from sync_engine.model import names
    from sync_engine.runtime.dead import DeadLetters
    from sync_engine.runtime.registry import SchemaRegistry
    from sync_engine.runtime.schemas import AvroCodec, all_schemas

    declarations, settings = installed(context)
    for what, asked, known in (("node", node, declarations.nodes), ("source", source, declarations.departments)):
        if asked is not None and asked not in known:
            raise unknown(what, asked, known)
    codec = AvroCodec(SchemaRegistry(settings.registry.url), all_schemas(declarations))
    dead_letters = DeadLetters(settings.kafka.bootstrap, node, codec, client=settings.kafka.client)
    with reaching("the dead letters"):
        standing = dead_letters.standing()
    if missing := sorted({*letters} - {each.id for each in standing}):
        raise fail(
            "nothing was done",
            Message("no such dead letter stands: {letters}", letters=", ".join(missing)),
            "see sync-engine dead list",
            NOT_FOUND,
        )
    department = None if source is None else declarations.departments[source]
    topics = None if department is None else {names.cdc(department, each.table) for each in department.sources}
    chosen = [each for each in standing if topics is None or each.id.split("/")[0] in topics]
    return dead_letters, [each for each in chosen if reason in (None, each.reason) and (not letters or each.id in letters)]


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000).astimezone().isoformat(" ", "seconds")


def _bytes(value: bytes | None) -> str | None:
    """As text where it is text, else in hexadecimal."""
    if value is None:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"hex {value.hex()}"
    return text if text.isprintable() else f"hex {value.hex()}"
