"""`sync-engine record get|explain TYPE ID`: one record as a node has it now, answered by the worker that has its partition."""

from typing import Any

import click

from sync_engine.cli.command import Group, fail, option
from sync_engine.cli.exits import NOT_FOUND, UNREACHABLE, USAGE
from sync_engine.cli.language import said
from sync_engine.cli.names import declared_names, node_option
from sync_engine.cli.output import output_option, print_table, show
from sync_engine.fault import Message

_entity = click.argument("entity", shell_complete=declared_names("entity"))


@click.group(cls=Group)
def record() -> None:
    """One record: what it says, and why."""


def _options(command: Any) -> Any:
    command = node_option("Ask this node's workers only; without, the first node that has the record.")(command)
    return output_option()(command)


@record.command()
@_entity
@click.argument("key")
@_options
@click.pass_context
def get(context: click.Context, entity: str, key: str, node: str | None, output: str) -> None:
    """The golden record of ENTITY with the key KEY."""
    found = _ask(context, f"/records/{entity}/{key}", node)
    show(output, found, lambda: _show(found))


def _show(found: dict[str, Any]) -> None:
    life_cycle, version = Message(found["life_cycle"]), found["version"]
    click.echo(
        f"{found['entity']} {found['key']}  "
        + said("{state}  version {version}  at {node}", state=life_cycle, version=version, node=found["node"])
    )
    print_table(
        ("item", "value", "status", "source"),
        [(item, _text(cell["value"]), said(cell["status"]), cell["source"] or "") for item, cell in found["items"].items()],
        wrap=False,
    )
    for finding in found["findings"]:
        words = said("finding: {kind} on {item} ({rule})", kind=Message(finding["kind"]), item=finding["item"], rule=finding["rule"])
        click.echo(words)


@record.command()
@_entity
@click.argument("key")
@option("--item", help="Of this item only.")
@_options
@click.pass_context
def explain(context: click.Context, entity: str, key: str, item: str | None, node: str | None, output: str) -> None:
    """Why the record says so: per item the winner, the losers, the rule."""
    found = _ask(context, f"/records/{entity}/{key}/explanation", node)
    if item is not None:
        found["items"] = _only(item, found["items"])
    show(output, found, lambda: _show_explanation(found))


def _only(item: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if chosen := [each for each in items if each["item"] == item]:
        return chosen
    allowed = ", ".join(each["item"] for each in items)
    why = Message("{why}; allowed: {allowed}", why=Message('"{item}" is no item of it', item=item), allowed=allowed)
    raise fail("the record could not be explained", why, "leave --item out to see them all", USAGE)


def _show_explanation(found: dict[str, Any]) -> None:
    life_cycle, version = Message(found["life_cycle"]), found["catalogue_version"]
    click.echo(f"{found['entity']} {found['key']}  " + said("{state}  catalogue version {version}", state=life_cycle, version=version))
    rows = []
    for item in found["items"]:
        for index, candidate in enumerate(item["candidates"]):
            rows.append(
                (
                    item["item"] if index == 0 else "",
                    "✓" if candidate["wins"] else "",
                    _text(candidate["value"]) if candidate["cell"] == "value" else f"({said(candidate['cell'])})",
                    candidate["source"],
                    "/".join(str(part) for part in candidate["position"]),
                    item["rule"] if index == 0 else "",
                )
            )
    print_table(("item", "", "value", "source", "position", "rule"), rows, wrap=False)


def _ask(context: click.Context, path: str, node: str | None) -> dict[str, Any]:
    from sync_engine.cli.installed import settings_of
    from sync_engine.cli.workers import answers

    why, code = "no worker has this record", NOT_FOUND
    for _, answer in answers(settings_of(context), path, node):
        if answer is None:
            continue
        if answer.status_code == 200:
            body: dict[str, Any] = answer.json()
            return body
        told = answer.json()
        why, code = told.get("error", ""), NOT_FOUND if answer.status_code == 404 else UNREACHABLE
        if "allowed" in told:
            why = Message("{why}; allowed: {allowed}", why=Message(why), allowed=", ".join(told["allowed"]))
    raise fail("the record could not be read", why, "check type and id, or name the node with --node", code)


def _text(value: Any) -> str:
    return "(null)" if value is None else str(value)
