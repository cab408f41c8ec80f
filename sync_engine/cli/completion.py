"""`sync-engine completion SHELL`: the script that has a shell complete commands, options and declared names."""

import click
from click.shell_completion import get_completion_class

from sync_engine.cli.command import Command

SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL; in bash: eval "$(sync-engine completion bash)"."""
    root = context.find_root()
    name = root.info_name if root.info_name in ("sync-engine", "sye") else "sync-engine"
    found = get_completion_class(shell)
    assert found is not None, "click has these three"
    click.echo(found(root.command, {}, name, f"_{name}_COMPLETE".replace("-", "_").upper()).source())
