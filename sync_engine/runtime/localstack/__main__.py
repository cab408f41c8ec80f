"""`python -m sync_engine.runtime.localstack up|fetch|lock`: the local stack by itself, for developers."""

import argparse
import signal
import sys
from pathlib import Path

from sync_engine.runtime.localstack import ALL, LocalStack, ServiceFailed
from sync_engine.runtime.localstack.fetch import FetchFailed, fetch, write_lock


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sync_engine.runtime.localstack")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the servers and run until Ctrl-C")
    up.add_argument("--home", type=Path, default=Path(".sync-engine/stack"))
    up.add_argument("--services", default=",".join(ALL))
    commands.add_parser("fetch", help="bring everything into the cache")
    commands.add_parser("lock", help="resolve the versions anew and write jars.lock")
    options = parser.parse_args()
    try:
        if options.command == "lock":
            write_lock(print)
        elif options.command == "fetch":
            print(fetch(print))
        else:
            with LocalStack(options.home, options.services.split(",")) as stack:
                print(stack.endpoints)
                signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except (ServiceFailed, FetchFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
