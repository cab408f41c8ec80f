"""Finding the workers of this machine and asking them: their addresses and tokens are files of the state folder."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from sync_engine.cli.command import fail
from sync_engine.cli.exits import UNREACHABLE
from sync_engine.fault import Message
from sync_engine.settings import Settings

TIMEOUT_SECONDS = 3.0


def addresses(state_dir: Path, node: str | None = None) -> list[dict[str, Any]]:
    """Every worker that says where it listens, of one node or of all, by node."""
    found = [json.loads(path.read_text()) for path in sorted((state_dir / "workers").glob("*.json"))]
    return [address for address in found if node in (None, address["node"])]


def ask(address: dict[str, Any], path: str) -> httpx2.Response | None:
    """The worker's answer, None if it does not answer: its file may be older than its end."""
    try:
        return httpx2.get(address["url"] + path, headers={"Authorization": f"Bearer {address['token']}"}, timeout=TIMEOUT_SECONDS)
    except httpx2.TransportError:
        return None


def answers(settings: Settings, path: str, node: str | None = None) -> Iterator[tuple[str, httpx2.Response | None]]:
    """(node, answer) of every worker, None for one that does not answer. Exits 75 if none does."""
    some = False
    for address in addresses(settings.state.dir, node):
        answer = ask(address, path)
        some = some or answer is not None
        yield address["node"], answer
    if not some:
        folder = settings.state.dir
        where = Message("no worker answers (state folder {folder})", folder=folder)
        if node:
            where = Message("no worker of {node} answers (state folder {folder})", node=node, folder=folder)
        raise fail("nothing could be asked", where, "start one: sync-engine run --node NODE, or sync-engine demo", UNREACHABLE)
