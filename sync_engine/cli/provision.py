"""`sync-engine plan` and `apply`: what is declared against what is there: topics, schemas, connectors."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sync_engine.cli import FAILED, USAGE, fail
from sync_engine.cli.installed import installed, reaching
from sync_engine.cli.table import print_table

if TYPE_CHECKING:
    from sync_engine.provision.plan import Action
    from sync_engine.runtime.provisioning import Provisioner

WORDS = {"create": "+ 新建 create", "change": "~ 修改 change", "capture_anew": "! 重新采集 capture anew", "refused": "✗ 拒绝 refused"}


@click.command()
@click.option("--node", "nodes", multiple=True, help="What this node needs; may be said several times. Without: every node.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def plan(context: click.Context, nodes: Sequence[str], output: str) -> None:
    """What `apply` would do, and what that does. Changes nothing. Exit 1 if anything is refused."""
    with reaching("what is there"):
        actions = _provisioner(context, nodes).plan()
    _show(actions, output)
    if _refused(actions):
        raise click.exceptions.Exit(FAILED)


@click.command()
@click.option("--node", "nodes", multiple=True, help="What this node needs; may be said several times. Without: every node.")
@click.option("--yes", is_flag=True, help="Do not ask before sources are captured anew.")
@click.pass_context
def apply(context: click.Context, nodes: Sequence[str], yes: bool) -> None:
    """Make topics, schemas and connectors as they are declared. Idempotent; deletes nothing; nothing is done if anything is refused."""
    with reaching("what is there"):
        provisioner = _provisioner(context, nodes)
        actions = provisioner.plan()
    _show(actions, "table")
    if refused := _refused(actions):
        raise fail("nothing was applied", f"{len(refused)} refused: {refused[0].name}", "mend the declaration; see `plan`", FAILED)
    anew = [action.name for action in actions if action.does == "capture_anew"]
    if anew and not yes:
        click.confirm(f"{', '.join(anew)}: 将重新读取全部行  every row is read again. 继续 go on?", abort=True, err=True)
    with reaching("what is there"):
        provisioner.apply(actions, lambda action: click.echo(f"{action.name}: {action.effect.zh}  {action.effect.en}", err=True))
    click.echo(f"已完成 {len(actions)} 项  {len(actions)} done", err=True)


def _refused(actions: "Sequence[Action]") -> "list[Action]":
    return [action for action in actions if action.does == "refused"]


def _provisioner(context: click.Context, nodes: Sequence[str]) -> "Provisioner":
    from sync_engine.check import capturable
    from sync_engine.runtime.provisioning import Provisioner

    declarations, settings = installed(context)
    if unknown := sorted({*nodes} - declarations.nodes.keys()):
        raise fail(f"there is no node {unknown[0]}", "no declaration names it", f"one of {', '.join(sorted(declarations.nodes))}", USAGE)
    wanted = nodes or [*declarations.nodes]
    faults = [fault for node in wanted for fault in capturable(declarations, settings, node)]
    if faults:
        for fault in faults:
            click.echo(str(fault), err=True)
        raise fail("nothing was looked at", "settings are wrong", "sync-engine check --node NODE", USAGE)
    return Provisioner(declarations, settings, wanted)


def _show(actions: "Sequence[Action]", output: str) -> None:
    if output == "json":
        told: list[dict[str, Any]] = [
            {name: getattr(action, name) for name in ("what", "name", "does", "details")}
            | {"effect": {"zh": action.effect.zh, "en": action.effect.en}}
            for action in actions
        ]
        click.echo(json.dumps(told, ensure_ascii=False, indent=2))
        return
    if not actions:
        click.echo("一切如所声明  everything is as declared", err=True)
        return
    rows = [(WORDS[each.does], each.what, each.name, "\n".join(each.details), f"{each.effect.zh}  {each.effect.en}") for each in actions]
    print_table(("", "what", "name", "details", "effect"), rows)
