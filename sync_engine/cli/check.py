"""`sync-engine check`: everything that is wrong with declarations and settings, at once; `--databases` asks the databases, too."""

import click

from sync_engine.cli.command import Command, fail, option
from sync_engine.cli.exits import UNREACHABLE, USAGE
from sync_engine.cli.installed import installed, unknown
from sync_engine.cli.language import said
from sync_engine.cli.names import declared_names, node_option
from sync_engine.cli.output import output_option, show
from sync_engine.fault import Message


@click.command(cls=Command)
@node_option("Also: what this node needs in the settings.")
@option("--databases", is_flag=True, help="Also: ask the departments' databases whether they can be captured without loss.")
@option(
    "--department", shell_complete=declared_names("source"), help="With --databases: this one only, as in `status`: jinan/public_security."
)
@output_option()
@click.pass_context
def check(context: click.Context, node: str | None, databases: bool, department: str | None, output: str) -> None:
    """Check declarations and settings; exit 2 with every fault (file, path, allowed values)."""
    from sync_engine.check import check as find

    if department is not None and not databases:
        raise click.UsageError(said("--department goes with --databases"))
    faults = find(context.obj["declarations"], context.obj["settings"], node)
    if faults:
        what = Message("{count} fault(s): nothing would start like this", count=len(faults))
        raise fail(what, "declarations or settings are wrong", "correct them and check again", USAGE, faults)
    asked = _ask_databases(context, node, department) if databases else ()
    words = {"valid": True, "databases": list(asked)}
    show(output, words, lambda: _say(asked))


def _say(asked: tuple[str, ...]) -> None:
    click.echo(said("declarations and settings are valid"))
    for name in asked:
        click.echo(said("{department}: its database can be captured", department=name))


def _ask_databases(context: click.Context, node: str | None, name: str | None) -> tuple[str, ...]:
    """The departments that were asked; ends the command if there is a fault, or if a database could not be asked."""
    from sync_engine.check import uncapturable
    from sync_engine.runtime.databases import DatabaseUnreachable, faults_of

    declarations, settings = installed(context)
    if name is not None and name not in declarations.departments:
        raise unknown("source", name, declarations.departments)
    chosen = [each for each in declarations.departments.values() if node in (None, each.node) and name in (None, each.id)]
    # Named, it must be there; of all, an installation has those of its own nodes only.
    wanted = chosen if node or name else [each for each in chosen if each.settings in settings.databases]
    faults = [fault for each in wanted for fault in uncapturable(each, settings)]
    silent = []
    for each in wanted:
        if each.settings not in settings.databases:
            continue
        try:
            faults.extend(faults_of(each, settings.databases[each.settings]))
        except DatabaseUnreachable as failure:
            silent.append(failure.fault)
    if faults:
        what = Message("{count} fault(s): not everything could be captured without loss", count=len(faults))
        raise fail(what, "databases are not as they must be", "have them corrected and check again", USAGE, [*faults, *silent])
    if silent:
        what = Message("{count} database(s) could not be asked", count=len(silent))
        why, advice = (
            "they do not answer at the address that the settings give",
            "see that they run and that the network allows it, then say it again",
        )
        raise fail(what, why, advice, UNREACHABLE, silent)
    return tuple(each.id for each in wanted)
