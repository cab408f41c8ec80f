"""Names that the shell completes: those that are declared, with their titles."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from sync_engine.cli.command import option
from sync_engine.cli.language import said

if TYPE_CHECKING:
    from sync_engine.model.declaration import Declarations

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

NAMED: Mapping[str, Callable[["Declarations"], Mapping[str, Any]]] = {
    "node": lambda declarations: declarations.nodes,
    "source": lambda declarations: declarations.departments,
    "entity": lambda declarations: declarations.entities,
    "subscriber": lambda declarations: declarations.subscribers,
}


def declared_names(what: str) -> Completer:
    """Completes with what is declared; of declarations with faults, what could be read."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from sync_engine import declared

        declarations, _ = declared.inspect(context.find_root().params.get("declarations"))
        found = NAMED[what](declarations)
        return [CompletionItem(name, help=said(one.title)) for name, one in found.items() if name.startswith(incomplete)]

    return complete


def reasons(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes with the reasons of dead letters."""
    from sync_engine.model.outcome import Reason

    return [CompletionItem(reason.value) for reason in Reason if reason.value.startswith(incomplete)]


def node_option(help: str, **attributes: Any) -> Callable[[Any], Any]:
    return option("--node", help=help, shell_complete=declared_names("node"), **attributes)
