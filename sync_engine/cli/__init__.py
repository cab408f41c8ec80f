"""The command tree. Data goes to stdout, words to stderr; every command's imports are its own, so that `--help` is quick.

Exit codes: 0 ok, 1 failed, 2 usage or bad declarations and settings, 3 not found, 10 unhealthy, 11 timeout, 130 interrupted.
"""

import sys
from pathlib import Path

import click

FAILED, USAGE, NOT_FOUND, UNHEALTHY, TIMEOUT = 1, 2, 3, 10, 11


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--declarations", type=click.Path(file_okay=False, path_type=Path), help="Folder with connectors/, topics/, schemas/.")
@click.option("--settings", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
@click.version_option(package_name="sync-engine")
@click.pass_context
def cli(context: click.Context, declarations: Path | None, settings: Path | None) -> None:
    """Event-driven change synchronization for government data. 政务数据变更同步引擎"""
    context.obj = {"declarations": declarations, "settings": settings}


def _add_commands() -> None:
    from sync_engine.cli.check import check
    from sync_engine.cli.dead import dead
    from sync_engine.cli.demo import demo
    from sync_engine.cli.provision import apply, plan
    from sync_engine.cli.record import record
    from sync_engine.cli.run import run
    from sync_engine.cli.source import source
    from sync_engine.cli.status import status

    for command in (demo, check, plan, apply, run, status, record, source, dead):
        cli.add_command(command)


def main() -> None:
    """Entry point of `sync-engine`."""
    _add_commands()
    try:
        # Without standalone mode an Exit is not raised here: its code is the result.
        sys.exit(cli(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


def fail(what: str, why: str, advice: str, code: int = FAILED) -> click.exceptions.Exit:
    """Three lines on stderr: what happened, why, what to do. Raise the result."""
    click.echo(f"{what}\n  why: {why}\n  what to do: {advice}", err=True)
    return click.exceptions.Exit(code)
