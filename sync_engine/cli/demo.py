"""`sync-engine demo`: everything, for real, on this machine; `demo change|break|heal` talk to the running one."""

import json
import socket
import time
from pathlib import Path
from typing import Any

import click

from sync_engine.cli.command import Group, fail, option
from sync_engine.cli.exits import FAILED, NOT_FOUND, UNREACHABLE, USAGE
from sync_engine.cli.language import said
from sync_engine.cli.output import output_option, show
from sync_engine.fault import Message

HOME = Path(".sync-engine/demo")
BREAKS = ("tier", "subscriber", "source", "conflict")


@click.group(cls=Group, invoke_without_command=True)
@option("--home", type=click.Path(file_okay=False, path_type=Path), default=HOME, show_default=True, help="Data, logs, settings.")
@option("--seconds", type=float, help="End by itself after this long.")
@click.pass_context
def demo(context: click.Context, home: Path, seconds: float | None) -> None:
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
        Demo(home, context.obj["declarations"], lambda text: click.echo(said(text)), began).run(seconds)
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
        with socket.create_connection(("127.0.0.1", address["port"]), timeout=10) as connection:
            connection.sendall(json.dumps({**order, "token": address["token"]}).encode() + b"\n")
            answer = json.loads(connection.makefile().readline() or "{}")
    except OSError as failure:
        why = Message("nothing answers where {file} says: {why}", file=file, why=failure)
        raise fail("the demo does not answer", why, "look at its terminal, or start it again: sync-engine demo", UNREACHABLE) from None
    if "ok" not in answer:
        raise fail("the demo did not do it", answer.get("error", Message("no answer")), "look at its terminal and its logs", FAILED)
    done = said(answer["ok"], **answer.get("arguments", {}))
    show(output, {"done": done}, lambda: click.echo(done))
