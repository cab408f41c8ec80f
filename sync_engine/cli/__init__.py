"""The command tree. Data goes to stdout, words to stderr; every command's imports are its own, so that `--help` is quick."""


def main() -> None:
    """Entry point of `sync-engine`; ends with one of `exits.EXIT_CODES`."""
    from sync_engine.cli.root import cli

    cli.main()
