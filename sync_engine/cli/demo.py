"""`sync-engine demo`: everything, for real, on this machine; `demo change|break|heal` talk to the running one."""

import json
import socket
import time
from pathlib import Path
from typing import Any

import click

from sync_engine.cli import FAILED, NOT_FOUND, fail

HOME = Path(".sync-engine/demo")
BREAKS = ("tier", "subscriber", "source", "conflict")


@click.group(invoke_without_command=True)
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), default=HOME, show_default=True, help="Data, logs, settings.")
@click.option("--seconds", type=float, help="End by itself after this long.")
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
        Demo(home, context.obj["declarations"], click.echo, began).run(seconds)
    except Invalid as invalid:
        click.echo(str(invalid), err=True)
        raise fail("the demo was not started", "declarations are wrong", "sync-engine check", 2) from None
    except (ServiceFailed, FetchFailed) as failure:
        click.echo(str(failure), err=True)
        raise click.exceptions.Exit(FAILED) from None


@demo.command()
@click.pass_context
def change(context: click.Context) -> None:
    """Change one row in 公安's database by SQL."""
    _tell(context, {"do": "change"})


@demo.command(name="break")
@click.argument("what", type=click.Choice(BREAKS), default="tier")
@click.pass_context
def break_(context: click.Context, what: str) -> None:
    """Break WHAT: a tier, the subscriber, the capture of the sources, or the agreement of two departments."""
    _tell(context, {"do": "break", "what": what})


@demo.command()
@click.pass_context
def heal(context: click.Context) -> None:
    """Undo every break."""
    _tell(context, {"do": "heal"})


@demo.command(name="people")
@click.option("--count", default=5, show_default=True)
def people_(count: int) -> None:
    """Identification numbers of the demo's synthetic people, to ask for with `record`."""
    from sync_engine.runtime.demo.people import people
    from sync_engine.runtime.demo.show import PEOPLE

    for person in people(PEOPLE)[:count]:
        click.echo(person.id_number)


def _tell(context: click.Context, order: dict[str, Any]) -> None:
    from sync_engine.runtime.demo.show import control_file

    file = control_file(context.obj["home"])
    if not file.exists():
        raise fail("no demo is running here", f"{file} is not there", "start it in another terminal: sync-engine demo", NOT_FOUND)
    address = json.loads(file.read_text())
    with socket.create_connection(("127.0.0.1", address["port"]), timeout=10) as connection:
        connection.sendall(json.dumps({**order, "token": address["token"]}).encode() + b"\n")
        answer = json.loads(connection.makefile().readline() or "{}")
    if "ok" not in answer:
        raise fail("the demo did not do it", answer.get("error", "no answer"), "look at its terminal and its logs", FAILED)
    click.echo(answer["ok"])
