"""What a command works with: the declarations, the settings, and words for what goes wrong with a server."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from sync_engine.cli.command import Failed, fail
from sync_engine.cli.exits import FAILED, NOT_FOUND, TIMEOUT, UNREACHABLE, USAGE
from sync_engine.fault import Message

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
        raise fail("nothing was done", "settings are wrong", "correct them; see sync-engine check", USAGE, invalid.faults) from None


def installed(context: click.Context) -> "tuple[Declarations, Settings]":
    """Both, or exit 2 with every fault."""
    from sync_engine import declared
    from sync_engine.fault import Invalid

    settings = settings_of(context)
    try:
        return declared.read(context.obj["declarations"]), settings
    except Invalid as invalid:
        raise fail("nothing was done", "declarations are wrong", "correct them; see sync-engine check", USAGE, invalid.faults) from None


def unknown(what: str, name: str, known: Iterable[str]) -> Failed:
    """A name that nothing declares. Raise the result."""
    advice = Message("one of {names}", names=", ".join(sorted(known)))
    return fail(Message("there is no {what} {name}", what=Message(what), name=name), "no declaration names it", advice, USAGE)


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """A server that does not do what it is asked ends the command: what was not reached, why, and what to do."""
    from sync_engine.runtime import connect
    from sync_engine.runtime.log import WorldFailure
    from sync_engine.runtime.registry import RegistryUnavailable, SchemaRefused
    from sync_engine.runtime.topics import TopicMismatch

    try:
        yield
    except (WorldFailure, RegistryUnavailable) as failure:
        why = failure.args[0] if failure.args else type(failure).__name__
        advice = "see that broker and registry answer, then say it again"
        raise fail(Message("{what} could not be reached", what=Message(what)), why, advice, UNREACHABLE) from None
    except (SchemaRefused, TopicMismatch) as refusal:
        raise fail("a server refuses it", str(refusal), "mend the declaration; see `plan`", FAILED) from None
    except connect.KafkaConnectError as error:
        codes = {
            connect.ConnectUnreachable: UNREACHABLE,
            connect.RebalanceInProgress: UNREACHABLE,
            connect.ConnectorNotFound: NOT_FOUND,
            connect.ConnectorNotSettled: TIMEOUT,
        }
        what_failed = Message("Kafka Connect did not do it: {call}", call=error.what)
        raise fail(what_failed, error.why, error.advice, codes.get(type(error), FAILED)) from None
