"""The lock and the cache: what is fetched is what was locked, or nothing."""

import hashlib
from pathlib import Path

import pytest

from sync_engine.runtime.localstack import fetch as fetching
from sync_engine.runtime.localstack.fetch import FetchFailed, Locked, fetch, read_lock
from sync_engine.runtime.localstack.versions import WANTED


def test_the_lock_holds_every_wanted_folder_with_checksums() -> None:
    locked = read_lock()
    assert {one.folder for one in locked} == {wanted.folder for wanted in WANTED}
    assert all(len(one.sha256) == 64 and one.size > 0 and one.coordinates.count(":") in (2, 4) for one in locked)
    assert len({(one.folder, one.filename) for one in locked}) == len(locked)


def test_the_lock_has_each_wanted_version() -> None:
    coordinates = {one.coordinates for one in read_lock()}
    assert {name for wanted in WANTED for name in wanted.coordinates} <= coordinates


def _locked(content: bytes) -> Locked:
    return Locked("kafka", "group:artifact:1", hashlib.sha256(content).hexdigest(), len(content))


def _serving(content: bytes, asked: list[str]) -> object:
    def resolve(coordinates: str, work: Path) -> Path:
        asked.append(coordinates)
        found = work / f"download-{len(asked)}"
        found.write_bytes(content)
        return found

    return resolve


def test_a_second_start_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(fetching, "_resolve", _serving(b"jar", asked))
    first = fetch(lambda line: None, tmp_path, [_locked(b"jar")])
    assert (first / "kafka" / "artifact-1.jar").read_bytes() == b"jar"
    assert fetch(lambda line: None, tmp_path, [_locked(b"jar")]) == first
    assert len(asked) == 1


def test_other_bytes_are_refused_and_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(fetching, "_resolve", _serving(b"changed on the way", asked))
    with pytest.raises(FetchFailed, match="SHA-256 differs"):
        fetch(lambda line: None, tmp_path, [_locked(b"jar")])
    assert len(asked) == fetching.TRIES
    assert not list(tmp_path.rglob("*.jar")) and not list(tmp_path.rglob("complete"))


def test_a_download_that_fails_says_what_why_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(coordinates: str, work: Path) -> Path:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(fetching, "_resolve", resolve)
    with pytest.raises(FetchFailed) as failed:
        fetch(lambda line: None, tmp_path, [_locked(b"jar")])
    assert all(part in str(failed.value) for part in ("cannot fetch group:artifact:1", "no route to host", "what to do"))
