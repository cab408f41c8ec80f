"""The root of the command tree, with every command."""

from pathlib import Path

import click

from sync_engine.cli.check import check
from sync_engine.cli.command import Option, Root, option, teach_click
from sync_engine.cli.completion import completion
from sync_engine.cli.dead import dead
from sync_engine.cli.demo import demo
from sync_engine.cli.language import LANGUAGES
from sync_engine.cli.provision import apply, plan
from sync_engine.cli.record import record
from sync_engine.cli.run import run
from sync_engine.cli.source import source
from sync_engine.cli.status import status


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@option("--declarations", type=click.Path(file_okay=False, path_type=Path), help="Folder with connectors/, topics/, schemas/.")
@option("--settings", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
@option("--lang", type=click.Choice(LANGUAGES), help="Chinese or English; without, as LC_ALL, LC_MESSAGES or LANG says.")
@click.version_option(package_name="sync-engine", cls=Option, help="Show the version and exit.")
@click.pass_context
def cli(context: click.Context, declarations: Path | None, settings: Path | None, lang: str | None) -> None:
    """Event-driven change synchronization for government data."""
    # `lang` was seen already, before the line was read.
    context.obj = {"declarations": declarations, "settings": settings}


for _command in (demo, check, plan, apply, run, status, record, source, dead, completion):
    cli.add_command(_command)
teach_click()
