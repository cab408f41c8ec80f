"""What a command found, on stdout: a table for people, JSON for machines. The one place that prints it."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

from sync_engine.cli.command import option
from sync_engine.cli.language import said

F = TypeVar("F", bound=Callable[..., Any])
TABLE, JSON = "table", "json"
PIPE_COLUMNS = 200


def output_option(*more: str) -> Callable[[F], F]:
    """`-o`: how every command is asked for a form. `more`: forms for people that it has beside the table."""
    forms = click.Choice([TABLE, *more, JSON])
    return option("-o", "--output", type=forms, default=TABLE, show_default=True, help="A table for people, or JSON for machines.")


def show(output: str, told: Any, people: Callable[[], None], *, one_line: bool = False) -> None:
    """`told` as one JSON document (`one_line` where more follow), or what `people` prints."""
    if output != JSON:
        people()
        return
    click.echo(json.dumps(told, ensure_ascii=False, indent=None if one_line else 2))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, wrap: bool = True) -> None:
    """As wide as the terminal, or as it is for a pipe. `wrap` False: what does not fit is cut, so that a row stays a line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*(said(name) for name in header), box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = not wrap
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # not markup: a department's text may hold brackets
    Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS).print(table)


def print_fields(told: Mapping[str, Any]) -> None:
    """One thing, a line a field; what has parts of its own, as JSON."""
    texts = {
        name: "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in told.items()
    }
    print_table(("field", "value"), [(said(name), text) for name, text in texts.items()])
