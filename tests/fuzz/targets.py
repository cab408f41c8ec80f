"""The targets: each takes any bytes. What a target may raise it catches itself; whatever comes out of one is a fault of the engine."""

import contextlib
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from sync_engine import declared, settings
from sync_engine.ingest.capture import compile_source, read_change
from sync_engine.ingest.stage import IngestStage
from sync_engine.model import names
from sync_engine.model.avro import claim_of_datum, claim_schema, decoder
from sync_engine.model.avro_fast import claim_reader
from sync_engine.model.outcome import DeadLetter, Emit, Reason
from sync_engine.model.record import Record
from sync_engine.runtime.push import NotVerified, verify
from tests.fakes.codec import FakeCodec
from tests.fakes.view import NoView

SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
NODE = "jinan"


@cache
def _ingest() -> tuple[IngestStage, FakeCodec]:
    declarations = declared.read()
    codec = FakeCodec(declarations)
    codec.encode_foreign("seed", {"op": "c"})  # the registry knows a few schemas, so that an id may meet one
    codec._prefix("sync.natural_person.Claim")
    codec._prefix("sync.wire.Dead")
    return IngestStage(declarations, NODE, dict.fromkeys(declarations.entities, 2), codec), codec


def _decide(topic: str, value: bytes) -> None:
    stage, _ = _ingest()
    outputs = stage.decide(Record(topic, 0, 0, b"k", value, (("x-epoch", b"1"),), 0), NoView(), 0)
    assert all(isinstance(output, Emit | DeadLetter) for output in outputs)
    assert not any(isinstance(output, DeadLetter) and output.reason is Reason.BUG for output in outputs)


def envelope(data: bytes) -> None:
    """A Debezium change: as bytes, and, if they are JSON, as the datum that Avro would have given."""
    stage, _ = _ingest()
    for topic in stage.captured:
        _decide(topic, data)
    with contextlib.suppress(ValueError, RecursionError):
        change = json.loads(data)
        if isinstance(change, dict) and all(isinstance(change.get(part), dict | None) for part in ("before", "after")):
            change["source"] = change["source"] if isinstance(change.get("source"), dict) else {}
            for source in _sources():
                read_change(source, change, 1, 0)


@cache
def _sources() -> tuple[object, ...]:
    declarations = declared.read()
    return tuple(compile_source(declarations, source) for source in declarations.sources.values())


@cache
def _readers() -> tuple[Callable[..., object], Callable[..., object]]:
    schema = claim_schema(declared.read().entities["natural_person"])
    return claim_reader(schema, schema), decoder(schema)


def claim(data: bytes) -> None:
    """What both readers accept, they read the same; neither raises anything but ValueError."""
    fast, slow = _readers()
    try:
        expected = claim_of_datum(slow(data), "")
    except (ValueError, KeyError, IndexError, TypeError):
        expected = None
    try:
        found = fast(data, "")
    except ValueError:
        found = None
    assert found is None or expected is None or found == expected, "two readers of one claim differ"


def webhook(data: bytes) -> None:
    """Nothing that is not signed is believed: headers and body are split at NULs."""
    parts = (data.split(b"\0", 3) + [b""] * 4)[:4]
    headers = {
        f"webhook-{name}": part.decode("utf-8", "replace") for name, part in zip(("id", "timestamp", "signature"), parts, strict=False)
    }
    try:
        verify([SECRET], headers, parts[3], now_seconds=1_700_000_000)
    except NotVerified:
        return
    raise AssertionError("a forged webhook was believed")


def declarations(data: bytes) -> None:
    """A file of any content: a list of faults, never a traceback."""
    text = data.decode("utf-8", "replace")
    with tempfile.TemporaryDirectory() as folder:
        for file in (
            "connectors/network.yaml",
            "schemas/entities/a.yaml",
            "connectors/sources/n/d.yaml",
            "connectors/subscribers/n/s.yaml",
        ):
            path = Path(folder, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        declared.inspect(Path(folder))


def settings_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "settings.toml")
        path.write_bytes(data)
        settings.inspect(path, {})


def retry(data: bytes) -> None:
    """What somebody puts back: as bytes, and as a dead letter of a captured and of a neighbour's topic that holds them."""
    stage, codec = _ingest()
    _decide(names.retry(NODE), data)
    for topic in (*stage.inputs[:2], next(topic for topic in stage.inputs if ".edge." in topic), data[:40].decode("utf-8", "replace")):
        letter = {
            "reason": "bug",
            "detail": "",
            "stage": "ingest",
            "topic": topic,
            "partition": 0,
            "offset": 0,
            "key": data[:20],
            "value": data,
            "headers": [{"name": "path", "value": data[-8:]}],
            "at_ms": 0,
        }
        _decide(names.retry(NODE), codec.encode("sync.wire.Dead", letter))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "envelope": envelope,
    "claim": claim,
    "webhook": webhook,
    "declarations": declarations,
    "settings": settings_file,
    "retry": retry,
}
