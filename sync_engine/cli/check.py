"""`sync-engine check`: everything that is wrong with declarations and settings, at once; nothing is started or asked."""

import click

from sync_engine.cli import USAGE


@click.command()
@click.option("--node", help="Also: what this node needs in the settings.")
@click.pass_context
def check(context: click.Context, node: str | None) -> None:
    """Check declarations and settings; exit 2 with every fault (file, path, allowed values)."""
    from sync_engine.check import check as find

    faults = find(context.obj["declarations"], context.obj["settings"], node)
    for fault in faults:
        click.echo(str(fault), err=True)
    if faults:
        click.echo(f"{len(faults)} fault(s): nothing would start like this. Correct them and check again.", err=True)
        raise click.exceptions.Exit(USAGE)
    click.echo("declarations and settings are valid")
