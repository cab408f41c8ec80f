"""Rows of one table, as the generators of the sample's world hand them on."""

from collections.abc import Iterator
from typing import Any, NamedTuple

SLICE = 1_000


class Rows(NamedTuple):
    database: str  # the department's id, such as jinan/civil_affairs
    table: str  # with its schema, such as mz.hydj_jl
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def slices(count: int, size: int) -> Iterator[range]:
    """The numbers 1 to `count` in runs of at most `size`."""
    for first in range(1, count + 1, size):
        yield range(first, min(first + size, count + 1))
