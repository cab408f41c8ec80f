"""click's commands, groups and options, speaking the chosen language; and the root, which says every error in one way.

The surprises: click looks its own sentences up by `_` of its modules, bound when they are imported, so that name is what is replaced;
and language and form must be known before click reads the line, since what is wrong with the line is said in them.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from sync_engine.cli import language
from sync_engine.cli.exits import EXIT_CODES, FAILED, INTERRUPTED, USAGE
from sync_engine.cli.language import said
from sync_engine.fault import Fault, Message

F = TypeVar("F", bound=Callable[..., Any])


class _Spoken:
    """Help that is said in the language of the moment, not in that of the import."""

    _help: str | None = None

    @property
    def help(self) -> str | None:
        return None if self._help is None else said(self._help)

    @help.setter
    def help(self, text: str | None) -> None:
        self._help = text


class Option(_Spoken, click.Option):
    """An option whose help is looked up."""


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """`click.option` with its help looked up."""
    return click.option(*names, cls=Option, **attributes)


class Command(_Spoken, click.Command):
    """A command whose help is looked up."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [said(piece) for piece in super().collect_usage_pieces(ctx)]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        found = super().get_help_option(ctx)
        if found is not None:
            found.help = said("Show this message and exit.")  # made once, said in each language
        return found


class Group(Command, click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type


class Failed(click.ClickException):
    """A command's error: what happened, why, what to do; and every fault, where declarations or settings have any."""

    def __init__(self, what: str, why: str, advice: str, code: int, faults: Iterable[Fault] = ()) -> None:
        super().__init__(what)
        self.what, self.why, self.advice, self.exit_code, self.faults = what, why, advice, code, tuple(faults)


def fail(what: str, why: str, advice: str, code: int = FAILED, faults: Iterable[Fault] = ()) -> Failed:
    """Ends the command. Raise the result."""
    return Failed(what, why, advice, code, faults)


class Root(Group):
    """The command line as a whole."""

    def main(self, args: Sequence[str] | None = None, *positional: Any, **attributes: Any) -> Any:
        """Never returns: the process ends with one of EXIT_CODES."""
        line = list(sys.argv[1:] if args is None else args)
        asked = _asked(line, "--lang")
        language.speak(asked if asked in language.LANGUAGES else language.of_environment(os.environ))
        try:
            # Without standalone mode an Exit is not raised here: its code is the result.
            code = super().main(line, *positional, **{**attributes, "standalone_mode": False}) or 0
        except click.ClickException as error:
            _show(_as_failed(error), as_json=_asked(line, "-o", "--output") == "json")
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            code = INTERRUPTED
        sys.exit(code)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(said("Exit codes")):
            formatter.write_dl([(str(code), said(meaning)) for code, meaning in EXIT_CODES.items()])


def _asked(line: Sequence[str], *names: str) -> str | None:
    """What the line gives for an option, before anything has judged the line."""
    for word, following in zip(line, [*line, ""][1:], strict=True):
        for name in names:
            if word == name:
                return following
            attached = f"{name}=" if name.startswith("--") else name
            if word.startswith(attached) and not (name == attached and word.startswith("--")):
                return word.removeprefix(attached)
    return None


def _as_failed(error: click.ClickException) -> Failed:
    if isinstance(error, Failed):
        return error
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx is not None else "sync-engine"
        return fail("the command line is not understood", error.format_message(), Message("see {command}", command=f"{path} --help"), USAGE)
    return fail("the command failed", error.format_message(), "see the file or the value that is named", error.exit_code)


def _show(failed: Failed, *, as_json: bool) -> None:
    """Every error goes through here. `faults`, `error`, `why`, `do`, `exit_code` are the keys that scripts may rely on."""
    if not as_json:
        for fault in failed.faults:
            click.echo(language.said_fault(fault), err=True)
        words = said("{what}\n  why: {why}\n  what to do: {advice}")
        click.echo(words.format(what=said(failed.what), why=said(failed.why), advice=said(failed.advice)), err=True)
        return
    told: dict[str, Any] = {"error": said(failed.what), "why": said(failed.why), "do": said(failed.advice), "exit_code": failed.exit_code}
    if failed.faults:
        told["faults"] = [
            {"file": fault.file, "path": fault.path, "message": said(fault.message), "allowed": list(fault.allowed)}
            for fault in failed.faults
        ]
    click.echo(json.dumps(told, ensure_ascii=False), err=True)


def _plural(one: str, many: str, count: int) -> str:
    return said(one if count == 1 else many)


def teach_click() -> None:
    """Has click say its own sentences in the language of the moment; it offers no other door than the name that it imports."""
    for name, module in list(sys.modules.items()):
        if name.startswith("click.") and hasattr(module, "_"):
            vars(module)["_"] = said
            if hasattr(module, "ngettext"):
                vars(module)["ngettext"] = _plural
