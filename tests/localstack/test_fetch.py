"""Fetching: what arrives is what the lock says, or nothing; what is there is not asked for again. No network: downloads are functions."""

from __future__ import annotations

import hashlib
import re
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sync_engine.fault import Message
from sync_engine.runtime.localstack.fetch import LOCK, MANIFEST_JAR, Arrived, FetchFailed, Locked, cache_folder, fetch, read_lock
from sync_engine.runtime.localstack.services import FETCHED
from sync_engine.runtime.localstack.versions import WANTED

CONTENT = {"g:one:1": b"one", "g:two:2": b"two and more"}
ARCHIVE = "g:server:3:all:tar.gz"


def locked(folder: str, coordinates: str, content: bytes) -> Locked:
    return Locked(folder, coordinates, hashlib.sha256(content).hexdigest(), len(content))


SMALL = tuple(locked("kafka", coordinates, content) for coordinates, content in CONTENT.items())


class Downloads:
    """Gives what it was told to give, and notes what it was asked for."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content
        self.asked: list[str] = []

    def __call__(self, coordinates: str, work: Path, arrived: Arrived) -> Path:
        self.asked.append(coordinates)
        content = self.content[coordinates]
        arrived(len(content))
        found = work / "found"
        found.write_bytes(content)
        return found


def no_network(coordinates: str, work: Path, arrived: Arrived) -> Path:
    raise AssertionError(f"asked the network for {coordinates}")


def no_pause(seconds: float) -> None:
    pass


def bring(cache: Path, download: Callable[[str, Path, Arrived], Path], files: tuple[Locked, ...] = SMALL) -> dict[str, Path]:
    return fetch(lambda line: None, cache, files, download=download, pause=no_pause)


# --- the lock ---


def test_every_line_of_the_lock_is_whole() -> None:
    for one in read_lock():
        assert re.fullmatch(r"[\w.-]+:[\w.-]+:[\w.-]+(:[\w.-]*:[\w.]+)?", one.coordinates), one
        assert re.fullmatch(r"[0-9a-f]{64}", one.sha256), one
        assert one.size > 0, one


def test_no_folder_has_two_versions_of_one_artifact() -> None:
    count = Counter((one.folder, one.coordinates.rsplit(":", len(one.coordinates.split(":")) - 2)[0]) for one in read_lock())
    assert [artifact for artifact, times in count.items() if times > 1] == []


def test_the_lock_has_every_artifact_that_is_wanted_and_no_other_folder() -> None:
    there = {(one.folder, one.coordinates) for one in read_lock()}
    assert {(wanted.folder, coordinates) for wanted in WANTED for coordinates in wanted.coordinates} <= there
    assert {folder for folder, _ in there} == {wanted.folder for wanted in WANTED}


def test_what_must_not_stand_in_a_folder_does_not() -> None:
    # Once per folder: what one artifact leaves out another may bring.
    for wanted in (wanted for wanted in WANTED if wanted.folder.startswith("plugins/")):
        names = [one.filename for one in read_lock() if one.folder == wanted.folder]
        assert [name for name in names if name.startswith(wanted.without or ("\0",))] == []


def test_every_root_that_a_server_needs_is_in_the_lock() -> None:
    assert {root for roots in FETCHED.values() for root in roots} == {one.root for one in read_lock()}


def test_the_lock_names_no_host() -> None:
    assert "://" not in LOCK.read_text(encoding="utf-8")


# --- bringing it ---


def test_what_is_fetched_is_there_whole(tmp_path: Path) -> None:
    folder = bring(tmp_path, Downloads(CONTENT))["kafka"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"one-1.jar": b"one", "two-2.jar": b"two and more"}


def test_a_second_time_the_network_is_not_touched(tmp_path: Path) -> None:
    first = bring(tmp_path, Downloads(CONTENT))
    assert bring(tmp_path, no_network) == first


def test_wrong_bytes_are_refused_and_do_not_take_the_place(tmp_path: Path) -> None:
    downloads = Downloads({**CONTENT, "g:two:2": b"two or less!"})
    with pytest.raises(FetchFailed, match=r"(?s)cannot fetch g:two:2.*why: .*SHA-256.*what to do: ") as refused:
        bring(tmp_path, downloads)
    assert SMALL[1].sha256 in str(refused.value)
    assert downloads.asked.count("g:two:2") == 3
    assert list(tmp_path.rglob("two-2.jar")) == []
    assert list(tmp_path.glob("kafka-*")) == []


def test_what_had_arrived_before_a_failure_is_kept(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed):
        bring(tmp_path, Downloads({"g:one:1": b"one", "g:two:2": b"?"}))
    again = Downloads(CONTENT)
    bring(tmp_path, again)
    assert "g:two:2" in again.asked
    assert len(again.asked) <= 2


def test_a_failed_download_is_tried_again_after_a_pause(tmp_path: Path) -> None:
    downloads, paused, failures = Downloads(CONTENT), list[float](), [OSError("connection reset"), OSError("connection reset")]

    def flaky(coordinates: str, work: Path, arrived: Arrived) -> Path:
        if coordinates == "g:one:1" and failures:
            raise failures.pop()
        return downloads(coordinates, work, arrived)

    fetch(lambda line: None, tmp_path, SMALL, download=flaky, pause=paused.append)
    assert paused == [1.0, 3.0]


def test_the_error_says_what_why_and_what_to_do(tmp_path: Path) -> None:
    def broken(coordinates: str, work: Path, arrived: Arrived) -> Path:
        raise ConnectionError("network is unreachable")

    with pytest.raises(FetchFailed) as failed:
        bring(tmp_path, broken)
    text = str(failed.value)
    assert re.match(r"cannot fetch g:(one:1|two:2)\n  why: ConnectionError: network is unreachable\n  what to do: check the network", text)
    assert str(tmp_path) in text


def test_a_failure_ends_the_downloads_that_are_under_way(tmp_path: Path) -> None:
    under_way, ended = threading.Event(), threading.Event()

    def one_fails(coordinates: str, work: Path, arrived: Arrived) -> Path:
        if coordinates == "g:one:1":
            under_way.wait(10)
            raise FetchFailed(Message("enough"))
        under_way.set()
        try:
            while True:
                arrived(1)
        finally:
            ended.set()

    with pytest.raises(FetchFailed, match="enough"):
        bring(tmp_path, one_fails)
    assert ended.is_set()
    assert list(tmp_path.glob(".work-*")) == []


@pytest.mark.parametrize("damage", ["truncated", "removed"])
def test_a_file_that_was_damaged_in_the_cache_is_brought_again(tmp_path: Path, damage: str) -> None:
    jar = bring(tmp_path, Downloads(CONTENT))["kafka"] / "one-1.jar"
    if damage == "removed":
        jar.unlink()
    else:
        jar.write_bytes(b"o")
    downloads = Downloads(CONTENT)
    bring(tmp_path, downloads)
    assert downloads.asked == ["g:one:1"]
    assert jar.read_bytes() == b"one"


def test_archives_are_unpacked_and_stay_unpacked(tmp_path: Path) -> None:
    (tmp_path / "inside.txt").write_text("inside")
    packed = tmp_path / "packed.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(tmp_path / "inside.txt", "server/inside.txt")
    content = packed.read_bytes()
    files = (locked("registry", ARCHIVE, content),)
    folder = bring(tmp_path / "cache", Downloads({ARCHIVE: content}), files)["registry"]
    assert (folder / "server" / "inside.txt").read_text() == "inside"
    assert bring(tmp_path / "cache", no_network, files)["registry"] == folder


def test_only_the_roots_that_are_asked_for_are_brought(tmp_path: Path) -> None:
    downloads = Downloads(CONTENT)
    files = (*SMALL, locked("registry", "g:other:1", b"never asked for"))
    folders = fetch(lambda line: None, tmp_path, files, roots={"kafka"}, download=downloads, pause=no_pause)
    assert list(folders) == ["kafka"]
    assert sorted(downloads.asked) == ["g:one:1", "g:two:2"]


def test_a_new_version_of_one_root_leaves_the_others_where_they_are(tmp_path: Path) -> None:
    other = locked("registry", "g:other:1", b"other")
    before = bring(tmp_path, Downloads({**CONTENT, "g:other:1": b"other"}), (*SMALL, other))
    newer = locked("kafka", "g:one:9", b"nine")
    downloads = Downloads({"g:one:9": b"nine"})
    after = bring(tmp_path, downloads, (newer, other))
    assert downloads.asked == ["g:one:9"]
    assert after["registry"] == before["registry"]
    assert after["kafka"] != before["kafka"]


def test_a_plugin_without_a_manifest_is_given_one(tmp_path: Path) -> None:
    files = (locked("plugins/apicurio", "g:converter:1", b"converter"),)
    folder = bring(tmp_path, Downloads({"g:converter:1": b"converter"}), files)["plugins"]
    with zipfile.ZipFile(folder / "apicurio" / MANIFEST_JAR) as jar:
        text = jar.read("META-INF/services/org.apache.kafka.connect.storage.Converter").decode()
    assert text == "io.apicurio.registry.utils.converter.AvroConverter\n"


def test_two_at_once_download_once(tmp_path: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()
    downloads = Downloads(CONTENT)

    def slow(coordinates: str, work: Path, arrived: Arrived) -> Path:
        inside.set()
        go_on.wait(10)
        return downloads(coordinates, work, arrived)

    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        go_on.set()

    first = threading.Thread(target=bring, args=(tmp_path, slow))
    first.start()
    assert inside.wait(10)
    folders = fetch(say, tmp_path, SMALL, download=no_network, pause=no_pause)
    first.join(10)
    assert said == [f"waiting for another process that is fetching into {tmp_path}"]
    assert sorted(downloads.asked) == ["g:one:1", "g:two:2"]
    assert (folders["kafka"] / "one-1.jar").exists()


def test_progress_is_said_line_by_line_without_a_terminal(tmp_path: Path) -> None:
    said: list[str] = []
    fetch(said.append, tmp_path, SMALL, download=Downloads(CONTENT), pause=no_pause)
    assert said[0] == f"fetching 2 files into {tmp_path}, 0 MB"
    assert said[-1].strip().startswith("100 %")


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SYNC_ENGINE_CACHE", raising=False)
    assert cache_folder() == tmp_path / "xdg" / "sync-engine"
    monkeypatch.setenv("SYNC_ENGINE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
