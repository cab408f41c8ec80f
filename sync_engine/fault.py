"""What is wrong with a declaration or a setting, as a value; and the exception that carries all of them at once.

Raised at start-up only, for a person to read: a fault says where, what, and what is allowed instead. It never holds a secret.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

_SHOWN_MAX = 20
"""Allowed values listed before the rest is only counted: more of them hide the message."""


class Message(str):
    """An English sentence that still knows its template and its arguments, so that it can be said in another language, too.

    A template is a literal: it is the sentence's name in the catalogue of translations. Without arguments it is taken as it stands.
    """

    __slots__ = ("arguments", "template")
    template: str
    arguments: Mapping[str, object]

    def __new__(cls, template: str, /, **arguments: object) -> Self:
        made = super().__new__(cls, template.format(**arguments) if arguments else template)
        made.template, made.arguments = template, arguments
        return made


@dataclass(frozen=True, order=True)
class Fault:
    file: str
    """A file relative to the declarations' root, a settings file, or the name of an environment variable."""
    path: str
    """Where in the file, `tables.resident.mappings.self.key`; empty for the file as a whole."""
    message: Message
    allowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.line(str)

    def line(self, said: Callable[[Message], str]) -> str:
        """The fault as one line; `said` gives its sentences in the reader's language."""
        where = f"{self.file}: {self.path}" if self.path else self.file
        if not self.allowed:
            return f"{where}: {said(self.message)}"
        shown, more = ", ".join(self.allowed[:_SHOWN_MAX]), len(self.allowed) - _SHOWN_MAX
        rest = said(Message(", … ({more} more)", more=more)) if more > 0 else ""
        return f"{where}: {said(self.message)}{said(Message('; allowed: {allowed}', allowed=shown))}{rest}"


class Invalid(Exception):
    """Everything that is wrong, at once: its text has one fault a line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))
