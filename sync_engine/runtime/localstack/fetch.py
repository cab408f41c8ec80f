"""Brings what jars.lock names into one cache folder that all checkouts share. What is there with the right size is not asked for again.

Every file is checked against its SHA-256 before it takes its place. The surprise: a folder of jars is named by its lock's digest, so
two versions of the project never mix their jars.
"""

import hashlib
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync_engine.runtime.localstack.versions import WANTED, Wanted

LOCK = Path(__file__).with_name("jars.lock")
PARALLEL_DOWNLOADS = 6
TRIES = 3

Say = Callable[[str], None]


class FetchFailed(Exception):
    """A download failed or its bytes are wrong; the text says what, why and what to do."""


@dataclass(frozen=True)
class Locked:
    folder: str
    coordinates: str
    """group:artifact:version[:classifier:packaging]."""
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        _, artifact, version, *rest = self.coordinates.split(":")
        classifier, packaging = rest or ("", "jar")
        return f"{artifact}-{version}{'-' + classifier if classifier else ''}.{packaging}"


def read_lock(path: Path = LOCK) -> tuple[Locked, ...]:
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return tuple(Locked(folder, coordinates, sha256, int(size)) for folder, coordinates, sha256, size in lines)


def cache_folder() -> Path:
    """`SYNC_ENGINE_CACHE`, else `sync-engine` in the XDG cache folder."""
    named = os.environ.get("SYNC_ENGINE_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sync-engine"


def fetch(say: Say, cache: Path | None = None, locked: Sequence[Locked] | None = None) -> Path:
    """The folder that holds all folders of the lock, complete and unpacked; touches no network when it is there.

    Raises FetchFailed.
    """
    files = read_lock() if locked is None else tuple(locked)
    digest = hashlib.sha256("\n".join(f"{one.folder} {one.coordinates} {one.sha256}" for one in files).encode()).hexdigest()[:16]
    root = (cache or cache_folder()) / f"jars-{digest}"
    if (root / "complete").exists():
        return root
    root.mkdir(parents=True, exist_ok=True)
    missing = [one for one in files if not _is_there(root, one)]
    if missing:
        _download_all(missing, root, say)
    (root / "complete").touch()
    return root


def _is_there(root: Path, one: Locked) -> bool:
    target = root / one.folder / one.filename
    if one.filename.endswith(".tar.gz"):
        return target.with_suffix(".unpacked").exists()
    return target.exists() and target.stat().st_size == one.size


def _download_all(missing: Sequence[Locked], root: Path, say: Say) -> None:
    total = sum(one.size for one in missing)
    say(f"fetching {len(missing)} files, {total / 1e6:.0f} MB, into {root}")
    done = 0
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool, tempfile.TemporaryDirectory(dir=root) as work:
        waiting = {pool.submit(_download, one, root, Path(work)): one for one in missing}
        for future in as_completed(waiting):
            future.result()
            done += waiting[future].size
            say(f"  {done * 100 // total:3d} %  {waiting[future].filename}")


def _download(one: Locked, root: Path, work: Path) -> None:
    why = ""
    for _ in range(TRIES):
        try:
            found = _resolve(one.coordinates, work)
        except Exception as error:  # the resolver raises what it meets: network, HTTP, file system
            why = f"{type(error).__name__}: {error}"
            continue
        if _sha256(found) == one.sha256:
            _place(one, found, root)
            return
        found.unlink()
        why = "the bytes are not those of jars.lock (SHA-256 differs)"
    raise FetchFailed(
        f"cannot fetch {one.coordinates}\n  why: {why}\n  what to do: check the network or the mirror settings and start again; "
        f"what is already in {root} is kept"
    )


def _resolve(coordinates: str, work: Path) -> Path:
    group, artifact, version, *rest = coordinates.split(":")
    classifier, packaging = rest or ("", "jar")
    component = _maven(work).project(group, artifact).at_version(version)
    return Path(component.artifact(classifier, packaging).resolve())


def _maven(work: Path) -> Any:
    try:
        from jgo.maven import MavenContext, PythonResolver
    except ImportError:
        raise FetchFailed(
            "the local stack is not installed\n  why: package jgo is missing\n  what to do: pip install 'sync-engine[local]'"
        ) from None
    return MavenContext(resolver=PythonResolver(), repo_cache=work, timeout=60)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(one: Locked, found: Path, root: Path) -> None:
    folder = root / one.folder
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / one.filename
    if not one.filename.endswith(".tar.gz"):
        os.replace(found, target)
        return
    with tarfile.open(found) as archive:
        archive.extractall(folder, filter="data")
    found.unlink()
    target.with_suffix(".unpacked").touch()


# --- the lock itself ---


def write_lock(say: Say, path: Path = LOCK) -> None:
    """Resolve WANTED with all they depend on, and write what was found."""
    with tempfile.TemporaryDirectory() as work:
        locked: set[Locked] = set()
        for wanted in WANTED:
            say(f"resolving {wanted.folder}")
            for coordinates in _all_coordinates(wanted, Path(work)):
                found = _resolve(coordinates, Path(work))
                if not found.name.startswith(wanted.without or ("\0",)):
                    locked.add(Locked(wanted.folder, coordinates, _sha256(found), found.stat().st_size))
    lines = ["# folder coordinates sha256 bytes - written by: python -m sync_engine.runtime.localstack lock"]
    lines += [
        f"{one.folder} {one.coordinates} {one.sha256} {one.size}" for one in sorted(locked, key=lambda one: (one.folder, one.coordinates))
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _all_coordinates(wanted: Wanted, work: Path) -> Iterable[str]:
    if not wanted.transitive:
        return wanted.coordinates
    maven = _maven(work)
    from jgo.maven import Dependency

    direct = []
    for coordinates in wanted.coordinates:
        group, artifact, version = coordinates.split(":")
        direct.append(Dependency(maven.project(group, artifact).at_version(version).artifact(), scope="compile"))
    _, nodes = maven.resolver.get_dependency_list(direct)
    found = {f"{node.dep.groupId}:{node.dep.artifactId}:{node.dep.version}" for node in nodes if node.dep.scope in ("compile", "runtime")}
    return sorted(found | set(wanted.coordinates))
