"""Which core does the hot path's work: the compiled one where it was built, else the pure functions, each of which stands at its caller's.

The compiled core (`sync_engine/_core.c`) knows the common record only and gives any other to the pure function: the two differ in the time
that they take and in nothing else. SYNC_ENGINE_CORE=pure leaves it aside.
"""

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Protocol, cast

from sync_engine.model.claim import Claim, Value
from sync_engine.model.golden import Golden

VERSION = 1
"""What `_core.c` must say of itself: one that was built from an older source is not used."""


class Core(Protocol):
    """What `_core.c` offers. None, where it gives that: not the common record."""

    VERSION: int

    def claim_reader(
        self, claim: type[Claim], items: Sequence[tuple[str, str]], start: int, otherwise: Callable[[bytes, str], Claim]
    ) -> Callable[[bytes, str], Claim]:
        """`avro_fast.claim_reader`; `items` = (name, "string" | "long" | "boolean")."""

    def golden_writer(
        self,
        prefix: bytes,
        items: Sequence[tuple[str, str]],
        life_cycles: Sequence[str],
        statuses: Sequence[str],
        otherwise: Callable[[Golden], bytes],
    ) -> Callable[[Golden], bytes]:
        """`avro_fast.golden_writer`"""

    def shape(self, slots: Sequence[Claim]) -> tuple[tuple[str, tuple[str, ...]], ...] | None:
        """`plan.pure_shape`"""

    def pick(self, won: tuple[tuple[str, str, int], ...], slots: Sequence[Claim]) -> list[tuple[str, str, Value]]:
        """`plan.pure_picked`"""

    def differing(self, compared: tuple[tuple[str, tuple[int, ...]], ...], slots: Sequence[Claim]) -> list[int]:
        """`plan.pure_differing`"""


def _built() -> tuple[Core | None, str]:
    if os.environ.get("SYNC_ENGINE_CORE") == "pure":
        return None, "pure (SYNC_ENGINE_CORE)"
    try:
        core = cast(Core, import_module("sync_engine._core"))
    except ImportError:
        return None, "pure (the compiled core was not built)"
    if core.VERSION != VERSION:
        return None, "pure (the compiled core is of another version)"
    return core, "compiled"


CORE, TOLD = _built()
"""The compiled core or None, and what a person is told of it."""
