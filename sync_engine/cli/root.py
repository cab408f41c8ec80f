"""The root of the command tree, with every command."""

from pathlib import Path

import click

from sync_engine.cli.check import check
from sync_engine.cli.command import Root, option, teach_click
from sync_engine.cli.completion import completion
from sync_engine.cli.dead import dead
from sync_engine.cli.demo import demo
from sync_engine.cli.language import LANGUAGES, said
from sync_engine.cli.provision import apply, plan
from sync_engine.cli.record import record
from sync_engine.cli.run import run
from sync_engine.cli.source import source
from sync_engine.cli.status import status


def _show_version(context: click.Context, option: click.Parameter, asked: bool) -> None:
    if not asked or context.resilient_parsing:
        return
    from importlib.metadata import version

    from sync_engine.model.core import CORE

    click.echo(said("{program}, version {version}", program=context.find_root().info_name, version=version("sync-engine")))
    click.echo(said("core: compiled") if CORE else said("core: pure"))
    context.exit()


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@option("--declarations", type=click.Path(file_okay=False, path_type=Path), help="Folder with connectors/, topics/, schemas/.")
@option("--settings", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
@option("--lang", type=click.Choice(LANGUAGES), help="Chinese or English; without, as LC_ALL, LC_MESSAGES or LANG says.")
@option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version and exit.")
@click.pass_context
def cli(context: click.Context, declarations: Path | None, settings: Path | None, lang: str | None) -> None:
    """Event-driven change synchronization for government data."""
    # `lang` was seen already, before the line was read.
    context.obj = {"declarations": declarations, "settings": settings}


for _command in (demo, check, plan, apply, run, status, record, source, dead, completion):
    cli.add_command(_command)
teach_click()
