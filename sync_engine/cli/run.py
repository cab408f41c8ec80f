"""`sync-engine run --node NODE`: one worker process of a node, until it is told to stop."""

import logging
import sys

import click

from sync_engine.cli import USAGE, fail


@click.command()
@click.option("--node", required=True, help="Which node of connectors/network.yaml this process works for.")
@click.option("--instance", default="0", show_default=True, help="Tells processes of one node on one machine apart.")
@click.option("--log-level", default="info", show_default=True, type=click.Choice(["debug", "info", "warning", "error"]))
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
        click.echo(str(invalid), err=True)
        raise fail("the worker was not started", "declarations or settings are wrong", "sync-engine check", USAGE) from None
    faults = tuple(between(declarations, installed, node))
    if faults:
        for fault in faults:
            click.echo(str(fault), err=True)
        raise fail(f"no worker of {node} was started", "its settings are wrong", f"sync-engine check --node {node}", USAGE)
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
