"""`sync-engine record get|explain TYPE ID`: one record as a node has it now, answered by the worker that has its partition."""

import json
from typing import Any

import click

from sync_engine.cli import FAILED, NOT_FOUND, fail
from sync_engine.cli.table import print_table


@click.group()
def record() -> None:
    """One record: what it says, and why."""


def _options(command: Any) -> Any:
    command = click.option("--node", help="Ask this node's workers only; without, the first node that has the record.")(command)
    return click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)(command)


@record.command()
@click.argument("entity")
@click.argument("key")
@_options
@click.pass_context
def get(context: click.Context, entity: str, key: str, node: str | None, output: str) -> None:
    """The golden record of ENTITY with the key KEY."""
    found = _ask(context, f"/records/{entity}/{key}", node)
    if output == "json":
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    click.echo(f"{found['entity']} {found['key']}  {found['life_cycle']}  version {found['version']}  at {found['node']}")
    print_table(
        ("item", "value", "status", "source"),
        [(item, _text(cell["value"]), cell["status"], cell["source"] or "") for item, cell in found["items"].items()],
        wrap=False,
    )
    for finding in found["findings"]:
        click.echo(f"finding: {finding['kind']} on {finding['item']} ({finding['rule']})")


@record.command()
@click.argument("entity")
@click.argument("key")
@_options
@click.pass_context
def explain(context: click.Context, entity: str, key: str, node: str | None, output: str) -> None:
    """Why the record says so: per item the winner, the losers, the rule."""
    found = _ask(context, f"/records/{entity}/{key}/explanation", node)
    if output == "json":
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    click.echo(f"{found['entity']} {found['key']}  {found['life_cycle']}  catalogue version {found['catalogue_version']}")
    rows = []
    for item in found["items"]:
        for index, candidate in enumerate(item["candidates"]):
            rows.append(
                (
                    item["item"] if index == 0 else "",
                    "✓" if candidate["wins"] else "",
                    _text(candidate["value"]) if candidate["cell"] == "value" else f"({candidate['cell']})",
                    candidate["source"],
                    "/".join(str(part) for part in candidate["position"]),
                    item["rule"] if index == 0 else "",
                )
            )
    print_table(("item", "", "value", "source", "position", "rule"), rows, wrap=False)


def _ask(context: click.Context, path: str, node: str | None) -> dict[str, Any]:
    from sync_engine.cli.installed import settings_of
    from sync_engine.cli.workers import answers

    why = "no worker has this record"
    for _, answer in answers(settings_of(context), path, node):
        if answer is None:
            continue
        if answer.status_code == 200:
            body: dict[str, Any] = answer.json()
            return body
        why = f"{answer.json().get('error', answer.status_code)}; {answer.json().get('allowed', '')}".rstrip("; ")
    code = NOT_FOUND if "no such" in why or "unknown" in why else FAILED
    raise fail("the record could not be read", why, "check type and id, or name the node with --node", code)


def _text(value: Any) -> str:
    return "(null)" if value is None else str(value)
