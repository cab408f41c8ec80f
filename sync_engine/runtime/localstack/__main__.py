"""`python -m sync_engine.runtime.localstack up|fetch|lock`: the local stack by itself, for developers."""

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from sync_engine.runtime.localstack import ALL, FetchFailed, LocalStack, ServiceFailed
from sync_engine.runtime.localstack.fetch import fetch, write_lock
from sync_engine.runtime.localstack.services import FETCHED


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell started us in the background, with SIGINT ignored
        signal.signal(number, _interrupt)
    try:
        if options.command == "lock":
            write_lock(_say)
        elif options.command == "fetch":
            for folder in fetch(_say, roots={root for name in options.services.split(",") for root in FETCHED[name]}).values():
                print(folder)
        else:
            return _up(options.home, tuple(options.services.split(",")), dict(options.port))
    except (ServiceFailed, FetchFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sync_engine.runtime.localstack")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the servers and run until Ctrl-C")
    up.add_argument("--home", type=Path, default=Path(".sync-engine/stack"), help="where data, logs and configuration are kept")
    up.add_argument("--services", default=",".join(ALL), help=f"some of {','.join(ALL)}")
    up.add_argument("--port", action="append", default=[], type=_port, metavar="NAME=PORT", help="a fixed port, such as kafka=9092")
    bring = commands.add_parser("fetch", help="bring what the servers need into the cache")
    bring.add_argument("--services", default=",".join(ALL), help=f"some of {','.join(ALL)}")
    commands.add_parser("lock", help="resolve the versions anew and write jars.lock")
    return parser


def _port(text: str) -> tuple[str, int]:
    name, _, port = text.partition("=")
    return name, int(port)


def _up(home: Path, services: tuple[str, ...], ports: dict[str, int]) -> int:
    """Until Ctrl-C, SIGTERM, or the death of a server."""
    with LocalStack(home, services, ports=ports, say=_say) as stack:
        try:
            for name, address in asdict(stack.endpoints).items():
                if name.partition("_")[0] in services:
                    _say(f"{name:<15} {address}")
            while (death := stack.watch(3600.0)) is None:
                pass
        except KeyboardInterrupt:
            _say("stopping")
            return 0
    print(f"{death.name} ended with exit code {death.exit_code}\n{death.log_tail}", file=sys.stderr)
    return 1


def _say(line: str) -> None:
    print(line, flush=True)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
