"""`sync-engine run --node NODE`: one worker process of a node, until it is told to stop."""

import logging
import sys

import click

from sync_engine.cli.command import Command, fail, option
from sync_engine.cli.exits import USAGE
from sync_engine.cli.names import node_option
from sync_engine.fault import Message


@click.command(cls=Command)
@node_option("Which node of connectors/network.yaml this process works for.", required=True)
@option("--instance", default="0", show_default=True, help="Tells processes of one node on one machine apart.")
@option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="The least that is logged; logs are in English.",
)
@click.pass_context
def run(context: click.Context, node: str, instance: str, log_level: str) -> None:
    """Run a worker of NODE."""
    from sync_engine import declared, settings
    from sync_engine.check import between
    from sync_engine.fault import Invalid

    try:
        declarations = declared.read(context.obj["declarations"])
        installed = settings.load(context.obj["settings"])
    except Invalid as invalid:
        why = "declarations or settings are wrong"
        raise fail("the worker was not started", why, "correct them; see sync-engine check", USAGE, invalid.faults) from None
    faults = tuple(between(declarations, installed, node))
    if faults:
        what, advice = (
            Message("no worker of {node} was started", node=node),
            Message("see {command}", command=f"sync-engine check --node {node}"),
        )
        raise fail(what, "settings are wrong", advice, USAGE, faults)
    _configure_logging(log_level)
    from faust.worker import Worker as FaustWorker

    from sync_engine.runtime.worker import Worker

    worker = Worker(declarations, installed, node, instance)
    FaustWorker(worker.app(), loglevel=log_level.upper(), redirect_stdouts=False, quiet=True).execute_from_commandline()


def _configure_logging(level: str) -> None:
    """One JSON line an event on stdout; a console's reader gets colours instead."""
    import structlog

    logging.getLogger("httpx2").setLevel(logging.WARNING)  # else it logs each request
    plain = structlog.dev.ConsoleRenderer() if sys.stdout.isatty() else structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            plain,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
    )
