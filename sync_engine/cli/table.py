"""Tables on stdout: as wide as the terminal, or as wide as they are for a pipe."""

import sys
from collections.abc import Iterable, Sequence

PIPE_COLUMNS = 200


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, wrap: bool = True) -> None:
    """`wrap` False: what does not fit is cut, so that a row stays a line."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = not wrap
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS).print(table)
