"""`sync-engine plan` and `apply`: what is declared against what is there: topics, schemas, connectors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sync_engine.cli.command import Command, fail, option
from sync_engine.cli.exits import FAILED, USAGE
from sync_engine.cli.installed import installed, reaching, unknown
from sync_engine.cli.language import said
from sync_engine.cli.names import node_option
from sync_engine.cli.output import JSON, output_option, print_table, show
from sync_engine.fault import Message

if TYPE_CHECKING:
    from sync_engine.provision.plan import Action
    from sync_engine.runtime.provisioning import Provisioner

MARKS = {"create": "+", "change": "~", "capture_anew": "!", "refused": "✗"}
WORDS = {
    "create": Message("create"),
    "change": Message("change"),
    "capture_anew": Message("capture anew"),
    "refused": Message("refused"),
}
_nodes = node_option("What this node needs; may be said several times. Without: every node.", multiple=True)


@click.command(cls=Command)
@_nodes
@output_option()
@click.pass_context
def plan(context: click.Context, node: Sequence[str], output: str) -> None:
    """What `apply` would do, and what that does. Changes nothing. Exit 1 if anything is refused."""
    with reaching("what is there"):
        actions = _provisioner(context, node).plan()
    show(output, [_told(action) for action in actions], lambda: _show(actions))
    if _refused(actions):
        raise click.exceptions.Exit(FAILED)


@click.command(cls=Command)
@_nodes
@option("--yes", is_flag=True, help="Do not ask before sources are captured anew.")
@output_option()
@click.pass_context
def apply(context: click.Context, node: Sequence[str], yes: bool, output: str) -> None:
    """Make topics, schemas and connectors as they are declared. Idempotent; deletes nothing; nothing is done if anything is refused."""
    with reaching("what is there"):
        provisioner = _provisioner(context, node)
        actions = provisioner.plan()
    if output != JSON:
        _show(actions)
    if refused := _refused(actions):
        why = Message("{count} refused: {name}", count=len(refused), name=refused[0].name)
        raise fail("nothing was applied", why, "mend the declaration; see `plan`", FAILED)
    anew = [action.name for action in actions if action.does == "capture_anew"]
    if anew and not yes:
        click.confirm(said("{sources}: every row is read again. Go on?", sources=", ".join(anew)), abort=True, err=True)
    with reaching("what is there"):
        provisioner.apply(actions, lambda action: click.echo(f"{action.name}: {said(action.effect)}", err=True))
    told = {"applied": [_told(action) for action in actions]}
    show(output, told, lambda: click.echo(said("{count} done", count=len(actions)), err=True))


def _refused(actions: "Sequence[Action]") -> "list[Action]":
    return [action for action in actions if action.does == "refused"]


def _provisioner(context: click.Context, nodes: Sequence[str]) -> "Provisioner":
    from sync_engine.check import capturable
    from sync_engine.runtime.provisioning import Provisioner

    declarations, settings = installed(context)
    if strange := sorted({*nodes} - declarations.nodes.keys()):
        raise unknown("node", strange[0], declarations.nodes)
    wanted = nodes or [*declarations.nodes]
    faults = [fault for node in wanted for fault in capturable(declarations, settings, node)]
    if faults:
        raise fail("nothing was looked at", "settings are wrong", "see sync-engine check --node NODE", USAGE, faults)
    return Provisioner(declarations, settings, wanted)


def _told(action: "Action") -> dict[str, Any]:
    """As a machine reads it: a record, so its effect is in both languages."""
    told: dict[str, Any] = {name: getattr(action, name) for name in ("what", "name", "does", "details")}
    return {**told, "effect": {"zh": action.effect.zh, "en": action.effect.en}}


def _show(actions: "Sequence[Action]") -> None:
    if not actions:
        click.echo(said("everything is as declared"), err=True)
        return
    rows = [
        (f"{MARKS[each.does]} {said(WORDS[each.does])}", said(each.what), each.name, "\n".join(each.details), said(each.effect))
        for each in actions
    ]
    print_table(("", "what", "name", "details", "effect"), rows)
