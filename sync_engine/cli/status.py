"""`sync-engine status`: how far every source is at every tier, what fires, worst first. Exit 10 if anything is not well."""

import json
import sys
import time
from typing import Any

import click

from sync_engine.cli import UNHEALTHY

MARKS = {"caught_up": "●", "behind": "▲", "stalled": "■", "dark": "◌", "held": "‖"}
WORDS = {"caught_up": "正常 caught up", "behind": "滞后 behind", "stalled": "停滞 stalled", "dark": "失联 dark", "held": "暂挂 held"}
ORDER = {"held": 0, "dark": 1, "stalled": 2, "behind": 3, "caught_up": 4}
REFRESH_SECONDS = 1.0


@click.command()
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--node", help="This node only.")
@click.option("-o", "--output", type=click.Choice(["table", "wide", "json"]), default="table", show_default=True)
@click.pass_context
def status(context: click.Context, watch: bool, node: str | None, output: str) -> None:
    """Lag of every source at every tier, alerts, parked deliveries."""
    from sync_engine.cli.installed import settings_of

    settings = settings_of(context)
    if watch:
        _watch(settings, node)
        return
    nodes = _ask(settings, node)
    if output == "json":
        click.echo(json.dumps({"healthy": _healthy(nodes), "nodes": nodes}, ensure_ascii=False, indent=2))
    else:
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else 140).print(_screen(nodes, output == "wide"))
    if not _healthy(nodes):
        raise click.exceptions.Exit(UNHEALTHY)


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


def _watch(settings: Any, node: str | None) -> None:
    from rich.live import Live

    with Live(_screen(_ask(settings, node)), auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH_SECONDS)
            live.update(_screen(_ask(settings, node)), refresh=True)


def _healthy(nodes: list[dict[str, Any]]) -> bool:
    return all(node["ready"] and not node["alerts"] and all(lag["state"] == "caught_up" for lag in node["lags"]) for node in nodes)


def _screen(nodes: list[dict[str, Any]], wide: bool = False) -> Any:
    """A sentence, then a row per source and tier (`wide`: per place), worst first, then what fires."""
    from rich.console import Group
    from rich.text import Text

    lagging = sum(lag["state"] != "caught_up" for node in nodes for lag in node["lags"])
    firing = [alert for node in nodes for alert in node["alerts"]]
    well = _healthy(nodes)
    sentence = "一切正常  all is well" if well else f"{lagging} 处滞后, {len(firing)} 个告警  {lagging} behind, {len(firing)} alert(s)"
    parts: list[Any] = [Text(sentence, style="bold green" if well else "bold red"), _table(nodes, wide)]
    parts.extend(Text(f"▲ {alert['summary_zh']}  {alert['summary_en']}", style="red") for alert in firing)
    parts.extend(
        Text(f"not ready: {node['node']}: {', '.join(node['without_progress'])} without progress", style="red")
        for node in nodes
        if node["without_progress"]
    )
    parts.extend(
        Text(f"◌ {node['node']}: 节点无应答  the node's worker does not answer", style="red")
        for node in nodes
        if not node.get("answers", True)
    )
    return Group(*parts)


def _table(nodes: list[dict[str, Any]], wide: bool) -> Any:
    from rich.table import Table

    table = Table("tier", "node", "source", "place", "state", "lag", "parked", box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    rows = [
        (node, lag) for node in nodes for lag in node["lags"] if wide or lag["place"] == "golden" or lag["place"].startswith("deliver.")
    ]
    for node, lag in sorted(rows, key=lambda row: (ORDER[row[1]["state"]], -(row[1]["lag_seconds"] or 0))):
        seconds = "unknown" if lag["lag_seconds"] is None else f"{lag['lag_seconds']:.1f} s"
        state = f"{MARKS[lag['state']]} {WORDS[lag['state']]}"
        node_name = f"{node['title']['zh']} {node['node']}"
        table.add_row(node["tier"], node_name, lag["source"], lag["place"], state, seconds, str(lag["incomplete"] or ""))
    return table
