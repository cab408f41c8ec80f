"""`sync-engine status`: how far every source is at every tier, what fires, worst first. Exit 10 if anything is not well."""

import sys
import time
from typing import Any

import click

from sync_engine.cli.command import Command, option
from sync_engine.cli.exits import UNHEALTHY
from sync_engine.cli.language import said
from sync_engine.cli.names import node_option
from sync_engine.cli.output import JSON, output_option, show
from sync_engine.fault import Message
from sync_engine.model.declaration import Title

MARKS = {"caught_up": "●", "behind": "▲", "stalled": "■", "dark": "◌", "held": "‖"}
WORDS = {
    "caught_up": Message("caught up"),
    "behind": Message("behind"),
    "stalled": Message("stalled"),
    "dark": Message("dark"),
    "held": Message("held"),
}
ORDER = {"held": 0, "dark": 1, "stalled": 2, "behind": 3, "caught_up": 4}
REFRESH_SECONDS = 1.0


@click.command(cls=Command)
@option("--watch", is_flag=True, help="Go on until Ctrl-C; as JSON, one document a line.")
@node_option("This node only.")
@output_option("wide")
@click.pass_context
def status(context: click.Context, watch: bool, node: str | None, output: str) -> None:
    """Lag of every source at every tier, alerts, parked deliveries."""
    from sync_engine.cli.installed import settings_of

    settings = settings_of(context)
    if watch:
        _watch(settings, node, output)
        return
    nodes = _ask(settings, node)
    show(output, _told(nodes), lambda: _print(nodes, output == "wide"))
    if not _healthy(nodes):
        raise click.exceptions.Exit(UNHEALTHY)


def _told(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"healthy": _healthy(nodes), "nodes": nodes}


def _print(nodes: list[dict[str, Any]], wide: bool) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 140).print(_screen(nodes, wide))


def _ask(settings: Any, node: str | None) -> list[dict[str, Any]]:
    from sync_engine.cli.workers import answers

    nodes: list[dict[str, Any]] = []
    for name, answer in answers(settings, "/status", node):
        if answer is not None and answer.status_code == 200:
            nodes.append(answer.json())
        else:
            # Its address is known, so it should be there: frozen, killed, or too busy to say.
            nodes.append({"node": name, "answers": False, "ready": False, "without_progress": [], "lags": [], "alerts": []})
    return nodes


def _watch(settings: Any, node: str | None, output: str) -> None:
    if output == JSON:
        while True:
            show(output, _told(_ask(settings, node)), lambda: None, one_line=True)
            time.sleep(REFRESH_SECONDS)
    from rich.live import Live

    with Live(_screen(_ask(settings, node), output == "wide"), auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH_SECONDS)
            live.update(_screen(_ask(settings, node), output == "wide"), refresh=True)


def _healthy(nodes: list[dict[str, Any]]) -> bool:
    return all(node["ready"] and not node["alerts"] and all(lag["state"] == "caught_up" for lag in node["lags"]) for node in nodes)


def _screen(nodes: list[dict[str, Any]], wide: bool = False) -> Any:
    """A sentence, then a row per source and tier (`wide`: per place), worst first, then what fires."""
    from rich.console import Group
    from rich.text import Text

    lagging = sum(lag["state"] != "caught_up" for node in nodes for lag in node["lags"])
    firing = [alert for node in nodes for alert in node["alerts"]]
    well = _healthy(nodes)
    sentence = said("all is well") if well else said("{lagging} behind, {firing} alert(s)", lagging=lagging, firing=len(firing))
    parts: list[Any] = [Text(sentence, style="bold green" if well else "bold red"), _table(nodes, wide)]
    parts.extend(Text(f"▲ {said(Title(alert['summary_zh'], alert['summary_en']))}", style="red") for alert in firing)
    parts.extend(
        Text(said("not ready: {node}: {lanes} without progress", node=node["node"], lanes=", ".join(node["without_progress"])), style="red")
        for node in nodes
        if node["without_progress"]
    )
    parts.extend(
        Text("◌ " + said("{node}: the node's worker does not answer", node=node["node"]), style="red")
        for node in nodes
        if not node.get("answers", True)
    )
    return Group(*parts)


def _table(nodes: list[dict[str, Any]], wide: bool) -> Any:
    from rich.table import Table

    table = Table(*(said(name) for name in ("tier", "node", "source", "place", "state", "lag", "parked")), box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    rows = [
        (node, lag) for node in nodes for lag in node["lags"] if wide or lag["place"] == "golden" or lag["place"].startswith("deliver.")
    ]
    for node, lag in sorted(rows, key=lambda row: (ORDER[row[1]["state"]], -(row[1]["lag_seconds"] or 0))):
        seconds = said("unknown") if lag["lag_seconds"] is None else f"{lag['lag_seconds']:.1f} s"
        state = f"{MARKS[lag['state']]} {said(WORDS[lag['state']])}"
        node_name = f"{said(Title(**node['title']))} {node['node']}"
        table.add_row(said(node["tier"]), node_name, lag["source"], lag["place"], state, seconds, str(lag["incomplete"] or ""))
    return table
