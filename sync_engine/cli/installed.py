"""What a command works with: the declarations, the settings, and words for what goes wrong with a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from sync_engine.cli import FAILED, USAGE, fail

if TYPE_CHECKING:
    from sync_engine.model.declaration import Declarations
    from sync_engine.settings import Settings


def settings_of(context: click.Context) -> "Settings":
    """The settings, or exit 2 with every fault."""
    from sync_engine import settings
    from sync_engine.fault import Invalid

    try:
        return settings.load(context.obj["settings"])
    except Invalid as invalid:
        click.echo(str(invalid), err=True)
        raise click.exceptions.Exit(USAGE) from None


def installed(context: click.Context) -> "tuple[Declarations, Settings]":
    """Both, or exit 2 with every fault."""
    from sync_engine import declared
    from sync_engine.fault import Invalid

    settings = settings_of(context)
    try:
        return declared.read(context.obj["declarations"]), settings
    except Invalid as invalid:
        click.echo(str(invalid), err=True)
        raise click.exceptions.Exit(USAGE) from None


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """A server that does not do what it is asked ends the command with exit 1, what was not reached, why, and what to do."""
    from sync_engine.runtime.connect import KafkaConnectError
    from sync_engine.runtime.log import WorldFailure

    try:
        yield
    except WorldFailure as failure:
        raise fail(f"{what} could not be reached", str(failure), "see that broker and registry answer, then say it again", FAILED) from None
    except KafkaConnectError as error:
        raise fail(error.what, error.why, error.advice, FAILED) from None
