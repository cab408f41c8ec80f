"""One run of a bare Faust application: its topics, what is fed to it, its process, and what is left without an effect."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import confluent_kafka as ck
import msgspec

from sync_engine.runtime.localstack import LocalStack
from sync_engine.runtime.log import WorldFailure
from sync_engine.runtime.topics import Offsets, create_topics
from tests.losses.bare import TABLE, Orders

PATIENCE_SECONDS = 45.0


class BareRun:
    """The process ends with `close`. Every wait ends with what was waited for, or with an AssertionError and the application's log."""

    def __init__(self, case: str, broker: LocalStack, folder: Path) -> None:
        self.bootstrap = broker.endpoints.kafka
        name = f"bare-{case.lower()}-{uuid4().hex[:8]}"
        self.orders = Orders(case, self.bootstrap, name, f"{name}.incoming", f"{name}.effects", str(folder / name))
        self.log = folder / f"{name}.log"
        create_topics(self.bootstrap, [(topic, 1, {}) for topic in (self.orders.incoming, self.orders.effects)])
        self.offsets = Offsets(self.bootstrap)
        self._said: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    def feed(self, values: Iterable[bytes]) -> None:
        producer = ck.Producer({"bootstrap.servers": self.bootstrap, "acks": "all"})
        for value in values:
            producer.produce(self.orders.incoming, value)
        assert producer.flush(PATIENCE_SECONDS) == 0

    def start(self) -> "BareRun":
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.losses.bare", msgspec.json.encode(self.orders).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        return self

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._said.append(_TERMINAL.sub("", line).strip())

    def works(self) -> None:
        """Wait until it stands at the record at which its case stops it."""
        self._until("at its record", lambda: "working" in self._said)

    def go_on(self) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write("go-on\n")
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.offsets.close()

    # --- what it did ---

    def committed(self) -> int:
        place = (self.orders.incoming, 0)
        return self.offsets.group_offsets(self.orders.app, [place]).get(place, 0)

    def acknowledges(self, count: int) -> None:
        """Wait until its group has committed `count` records."""
        self._until(f"{count} records committed", lambda: self.committed() == count)

    def effects(self) -> set[int]:
        """The numbers that have an effect."""
        changelog = f"{self.orders.app}-{TABLE}-changelog"
        return {int(json.loads(value)) for value in self._values(changelog if self.orders.case == "M8" else self.orders.effects)}

    def _values(self, topic: str) -> list[bytes]:
        reader = ck.Consumer({"bootstrap.servers": self.bootstrap, "group.id": "judge", "auto.offset.reset": "earliest"})
        end = self.offsets.list_open_ends([(topic, 0)])[topic, 0]
        reader.assign([ck.TopicPartition(topic, 0, 0)])
        found: list[bytes] = []

        def is_read() -> bool:
            found.extend(message.value() or b"" for message in reader.consume(1_000, 0.2) if message.error() is None)
            return len(found) >= end

        try:
            self._until(f"{end} records of {topic}", is_read)
        finally:
            reader.close()
        return found

    def _until(self, what: str, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with suppress(WorldFailure):
                if reached():
                    return
            time.sleep(0.05)
        logged = self.log.read_text(errors="replace")[-3_000:]
        raise AssertionError(f"not within {PATIENCE_SECONDS:g} s: {what}; committed {self.committed()}, said {self._said}\n{logged}")


_TERMINAL = re.compile(r"\x1b\[\?[0-9]+[a-z]|\x08")
"""What Faust's spinner writes between the lines, to hide the cursor and to show it again."""


def number(value: int) -> bytes:
    return json.dumps({"number": value}).encode()
