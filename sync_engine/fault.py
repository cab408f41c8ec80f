"""What is wrong with a declaration or a setting, as a value; and the exception that carries all of them at once.

Raised at start-up only, for a person to read: a fault says where, what, and what is allowed instead. It never holds a secret.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN_MAX = 20
"""Allowed values listed before the rest is only counted: more of them hide the message."""


@dataclass(frozen=True, order=True)
class Fault:
    file: str
    """A file relative to the declarations' root, a settings file, or the name of an environment variable."""
    path: str
    """Where in the file, `tables.resident.mappings.self.key`; empty for the file as a whole."""
    message: str
    allowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"{self.file}: {self.path}" if self.path else self.file
        if not self.allowed:
            return f"{where}: {self.message}"
        shown = ", ".join(self.allowed[:_SHOWN_MAX])
        more = len(self.allowed) - _SHOWN_MAX
        return f"{where}: {self.message}; allowed: {shown}{f', … ({more} more)' if more > 0 else ''}"


class Invalid(Exception):
    """Everything that is wrong, at once: its text has one fault a line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))
