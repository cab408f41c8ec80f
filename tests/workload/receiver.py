"""The platform's receiver as a process of its own, which can be killed: what it has acknowledged stands in its journal.

python -m tests.workload.receiver PORT SECRET_FILE JOURNAL
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from sync_engine.runtime.localstack.process import Child, free_port, listens
from sync_engine.runtime.receiver import Receiver
from tests.e2e.network import Subscriber


class Line(msgspec.Struct):
    """A request; without an id one that nobody believed."""

    id: str | None
    data: dict[str, Any]


class ReceiverProcess(Subscriber):
    """`receiver` and `last` are as the journal said when it was last `read`."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._secret_file, self._journal, self._port, self._read = home / "receiver.secret", home / "received", free_port(), 0
        command = [sys.executable, "-m", "tests.workload.receiver", str(self._port), str(self._secret_file), str(self._journal)]
        self.child = Child("receiver", command, home / "receiver.log", listens(self._port))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    def start(self) -> None:
        self._secret_file.write_text(self.secret)
        self._journal.touch()
        self.restart()

    def restart(self) -> None:
        self.child.start()
        self.child.wait_ready(30)

    def stop(self) -> None:
        self.child.stop()

    def read(self) -> None:
        """Count what was received since the last call, as one receiver that was never away counts it."""
        with self._journal.open("rb") as journal:
            journal.seek(self._read)
            new = journal.read()
            self._read = journal.tell()
        for line in msgspec.json.Decoder(Line).decode_lines(new):
            if line.id is None:
                self.receiver.unverified += 1
            else:
                self.receiver.received += 1
                self.receiver._count(line.id, line.data)
                self.last[line.data["entity"], line.data["key"]] = line.data


async def _receive(port: int, secret: str, journal: int) -> None:
    def received(webhook_id: str, payload: dict[str, Any], verified: bool) -> None:
        line = Line(webhook_id, payload["data"]) if verified else Line(None, {})
        os.write(journal, msgspec.json.encode(line) + b"\n")  # whole or not at all, and before it is acknowledged

    async with Receiver([secret], received, port=port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    _port, _secret_file, _journal = sys.argv[1:]
    asyncio.run(_receive(int(_port), Path(_secret_file).read_text(), os.open(_journal, os.O_WRONLY | os.O_APPEND)))
