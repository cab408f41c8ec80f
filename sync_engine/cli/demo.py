"""`sync-engine demo`: everything, for real, on this machine; `demo change|load|break|heal` talk to the running one."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from sync_engine.cli.command import Group, fail, option
from sync_engine.cli.exits import FAILED, NOT_FOUND, UNREACHABLE, USAGE
from sync_engine.cli.language import said
from sync_engine.cli.output import JSON, output_option, print_fields, show
from sync_engine.fault import Message

HOME = Path(".sync-engine/demo")
ANSWERS_SECONDS = 30
BREAKS = ("tier", "subscriber", "source", "conflict")


@click.group(cls=Group, invoke_without_command=True)
@option("--home", type=click.Path(file_okay=False, path_type=Path), default=HOME, show_default=True, help="Data, logs, settings.")
@option("--seconds", type=float, help="End by itself after this long.")
@option("--people", type=click.IntRange(250, 5_000_000), default=250, show_default=True, help="How many, for a new home.")
@click.pass_context
def demo(context: click.Context, home: Path, seconds: float | None, people: int) -> None:
    """Start the demo; Ctrl-C ends every process it started."""
    context.obj["home"] = home
    if context.invoked_subcommand is not None:
        return
    began = time.monotonic() - time.process_time()
    from sync_engine.fault import Invalid
    from sync_engine.runtime.demo.show import Demo
    from sync_engine.runtime.localstack import ServiceFailed
    from sync_engine.runtime.localstack.fetch import FetchFailed

    try:
        Demo(home, context.obj["declarations"], lambda text: click.echo(said(text)), began, people).run(seconds)
    except Invalid as invalid:
        raise fail("the demo was not started", "declarations are wrong", "see sync-engine check", USAGE, invalid.faults) from None
    except (ServiceFailed, FetchFailed) as failure:
        ended, logs = Message("the demo was not started, or has ended"), Message("see its logs in the home folder")
        raise fail(failure.what, failure.why or ended, failure.advice or logs, FAILED) from None


@demo.command()
@output_option()
@click.pass_context
def change(context: click.Context, output: str) -> None:
    """Change one row in public security's database by SQL."""
    _tell(context, {"do": "change"}, output)


@demo.command()
@option("--rate", type=click.FloatRange(0.1, 10_000), default=20.0, show_default=True, help="Changed rows a second.")
@option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True, help="For how long.")
@output_option()
@click.pass_context
def load(context: click.Context, rate: float, seconds: float, output: str) -> None:
    """Let people be born, move and marry, enterprises register and close; print the latency and the engine's transactions."""
    with _order(context, {"do": "load", "rate": rate, "seconds": seconds}) as answers:
        report = _followed(answers, seconds, output)
    show(output, report, lambda: print_fields(report))


def _followed(answers: Iterator[dict[str, Any]], seconds: float, output: str) -> dict[str, Any]:
    """What the load says last; meanwhile a bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    report: dict[str, Any] = {}
    columns = (TextColumn("{task.completed:.0f}/{task.total:.0f} s"), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), disable=output == JSON) as bar:
        task = bar.add_task("", total=seconds)
        for answer in answers:
            report = answer.get("progress", report)
            told = said("{changes} changes, {pushes} pushes", changes=report.get("changes", 0), pushes=report.get("pushes", 0))
            bar.update(task, completed=report.get("seconds", 0), description=told)
    return report


@demo.command(name="break")
@click.argument("what", type=click.Choice(BREAKS), default="tier")
@output_option()
@click.pass_context
def break_(context: click.Context, what: str, output: str) -> None:
    """Break WHAT: a tier, the subscriber, the capture of the sources, or the agreement of two departments."""
    _tell(context, {"do": "break", "what": what}, output)


@demo.command()
@output_option()
@click.pass_context
def heal(context: click.Context, output: str) -> None:
    """Undo every break."""
    _tell(context, {"do": "heal"}, output)


@demo.command(name="people")
@option("--count", default=5, show_default=True, help="How many.")
@output_option()
def people_(count: int, output: str) -> None:
    """Identification numbers of the demo's synthetic people, to ask for with `record`."""
    from sync_engine.runtime.demo.people import people
    from sync_engine.runtime.demo.show import OF_JINAN

    numbers = [person.id_number for person in people(OF_JINAN)[:count]]
    show(output, numbers, lambda: click.echo("\n".join(numbers)))


def _tell(context: click.Context, order: dict[str, Any], output: str) -> None:
    with _order(context, order) as answers:
        (answer,) = answers
    done = said(answer["ok"], **answer.get("arguments", {}))
    show(output, {"done": done}, lambda: click.echo(done))


@contextmanager
def _order(context: click.Context, order: dict[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
    """Its answers, of which only the last is "ok". Fails if no demo is running here, or if it does not do it."""
    from sync_engine.runtime.demo.show import control_file

    file = control_file(context.obj["home"])
    if not file.exists():
        raise fail(
            "no demo is running here",
            Message("{file} is not there", file=file),
            "start it in another terminal: sync-engine demo",
            NOT_FOUND,
        )
    address = json.loads(file.read_text())
    try:
        with socket.create_connection(("127.0.0.1", address["port"]), timeout=ANSWERS_SECONDS) as connection:
            connection.sendall(json.dumps({**order, "token": address["token"]}).encode() + b"\n")
            yield _answers(connection)
    except OSError as failure:
        why = Message("nothing answers where {file} says: {why}", file=file, why=failure)
        raise fail("the demo does not answer", why, "look at its terminal, or start it again: sync-engine demo", UNREACHABLE) from None


def _answers(connection: socket.socket) -> Iterator[dict[str, Any]]:
    for line in connection.makefile():
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            why = Message(answer["error"], **answer["arguments"])
            raise fail("the demo did not do it", why, "look at its terminal and its logs", FAILED)
        yield answer
        if "ok" in answer:
            return
    raise fail("the demo did not do it", Message("no answer"), "look at its terminal and its logs", FAILED)
