"""`python -m sync_engine` is `sync-engine`."""

from sync_engine.cli import main

main()
