"""Brings what jars.lock names into one cache folder that all checkouts share. What is there is not asked for again.

Every file is checked against its SHA-256 before it takes its place. The surprise: a folder's name holds the digest of its own lines of
the lock, so two versions of the project never mix their jars, and a new version of one server does not bring the others again.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync_engine.fault import Message
from sync_engine.runtime.localstack.failure import StackFailed
from sync_engine.runtime.localstack.versions import WANTED, Wanted

LOCK = Path(__file__).with_name("jars.lock")
PARALLEL_DOWNLOADS = 6
PAUSES_SECONDS = (1.0, 3.0)
"""Before the second and the third attempt."""
PLAIN_STEP = 10
"""Percent between two lines where there is no terminal."""

_WORK = ".work-"
_UNPACKED = frozenset(wanted.folder for wanted in WANTED if wanted.unpacked)

Say = Callable[[str], None]
Arrived = Callable[[int], None]
Download = Callable[[str, Path, Arrived], Path]
"""(coordinates, an empty folder, told how many bytes came) -> the file."""


class FetchFailed(StackFailed):
    """A download failed or its bytes are wrong; the text says what, why and what to do."""


class _Abandoned(Exception):
    """Another download failed, or a person pressed Ctrl-C."""


@dataclass(frozen=True)
class Locked:
    folder: str
    """The first part is what is fetched together; a second part is a folder inside it."""
    coordinates: str
    """group:artifact:version[:classifier:packaging]."""
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        _, artifact, version, *rest = self.coordinates.split(":")
        classifier, packaging = rest or ("", "jar")
        return f"{artifact}-{version}{'-' + classifier if classifier else ''}.{packaging}"

    @property
    def is_archive(self) -> bool:
        return self.filename.endswith(".tar.gz") or self.folder in _UNPACKED

    @property
    def root(self) -> str:
        return self.folder.partition("/")[0]

    def place(self, root: Path) -> Path:
        """Where it is below the folder of its root. Of an archive: the mark that it was unpacked."""
        inside = root.joinpath(*self.folder.split("/")[1:])
        return inside / (f".{self.filename}.unpacked" if self.is_archive else self.filename)


def read_lock(path: Path = LOCK) -> tuple[Locked, ...]:
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return tuple(Locked(folder, coordinates, sha256, int(size)) for folder, coordinates, sha256, size in lines)


def cache_folder() -> Path:
    """`SYNC_ENGINE_CACHE`, else `sync-engine` in the XDG cache folder."""
    named = os.environ.get("SYNC_ENGINE_CACHE")
    if named:
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sync-engine"


def maven_download(coordinates: str, work: Path, arrived: Arrived) -> Path:
    """By way of jgo, which knows where Maven artifacts are; `SYNC_ENGINE_MAVEN` names a mirror."""
    group, artifact, version, *rest = coordinates.split(":")
    classifier, packaging = rest or ("", "jar")
    component = _maven(work, arrived).project(group, artifact).at_version(version)
    return Path(component.artifact(classifier, packaging).resolve())


def fetch(
    say: Say,
    cache: Path | None = None,
    locked: Sequence[Locked] | None = None,
    *,
    roots: Collection[str] | None = None,
    download: Download = maven_download,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Path]:
    """Root -> its folder, complete and unpacked; only the `roots` that are asked for. Touches no network when they are there.

    Raises FetchFailed; what had arrived is kept. Two processes may call it at once: the second waits for the first.
    """
    files = read_lock() if locked is None else tuple(locked)
    cache = cache or cache_folder()
    by_root = {root: [one for one in files if one.root == root] for root in dict.fromkeys(one.root for one in files)}
    folders = {root: cache / f"{root}-{_digest(own)}" for root, own in by_root.items() if roots is None or root in roots}
    if not all(_is_whole(folders[root], by_root[root]) for root in folders):
        with _only_one(cache, say):
            lacking = {root: folder for root, folder in folders.items() if not _is_whole(folder, by_root[root])}
            for folder in lacking.values():
                _reopen(folder)
            wanted = [(one, _partial(folder)) for root, folder in lacking.items() for one in by_root[root]]
            missing = [(one, partial) for one, partial in wanted if not _is_there(partial, one)]
            if missing:
                _Fetching(missing, cache, say, download, pause).run()
            for root, folder in lacking.items():
                _write_manifests(_partial(folder), root)
                _partial(folder).replace(folder)
    return folders


def _digest(files: Iterable[Locked]) -> str:
    lines = [f"{one.folder} {one.coordinates} {one.sha256}" for one in files]
    lines += [f"{wanted.folder} {wanted.manifest}" for wanted in WANTED if wanted.manifest]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _is_whole(folder: Path, files: Iterable[Locked]) -> bool:
    return folder.exists() and all(_is_there(folder, one) for one in files)


def _is_there(root: Path, one: Locked) -> bool:
    try:
        found = one.place(root).stat()
    except FileNotFoundError:
        return False
    return one.is_archive or found.st_size == one.size


def _partial(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


def _reopen(folder: Path) -> None:
    """What an earlier attempt brought is kept; a folder that lost a file becomes an attempt again."""
    if folder.exists():
        shutil.rmtree(_partial(folder), ignore_errors=True)
        folder.replace(_partial(folder))
    _partial(folder).mkdir(parents=True, exist_ok=True)


@contextmanager
def _only_one(cache: Path, say: Say) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".fetching").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(Message("waiting for another process that is fetching into {cache}", cache=cache))
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left_behind in cache.glob(f"{_WORK}*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        yield


class _Fetching:
    """One round of downloads, several at once. The first that fails ends the round."""

    def __init__(
        self, missing: Sequence[tuple[Locked, Path]], cache: Path, say: Say, download: Download, pause: Callable[[float], None]
    ) -> None:
        self._missing = missing
        self._cache = cache
        self._download = download
        self._pause = pause
        self._abandoned = threading.Event()
        self._progress = _Progress(sum(one.size for one, _ in missing), say)

    def run(self) -> None:
        biggest_first = sorted(self._missing, key=lambda pair: -pair[0].size)
        self._progress.start(Message("fetching {files} files into {cache}", files=len(biggest_first), cache=self._cache))
        pool = ThreadPoolExecutor(PARALLEL_DOWNLOADS)
        try:
            with tempfile.TemporaryDirectory(prefix=_WORK, dir=self._cache) as work:
                try:
                    waiting = [pool.submit(self._bring, one, root, Path(work)) for one, root in biggest_first]
                    done, _ = wait(waiting, return_when=FIRST_EXCEPTION)
                    for failure in [error for future in done if (error := future.exception()) is not None]:
                        raise failure
                finally:
                    # The others stop at their next piece, so that the folder they work in can go.
                    self._abandoned.set()
                    pool.shutdown(cancel_futures=True)
        finally:
            self._progress.stop()

    def _bring(self, one: Locked, root: Path, work: Path) -> None:
        why: str = ""
        for pause in (0.0, *PAUSES_SECONDS):
            if pause:
                self._pause(pause)
            try:
                with tempfile.TemporaryDirectory(dir=work) as own:
                    found = self._download(one.coordinates, Path(own), self._arrived)
                    if (digest := _sha256(found)) == one.sha256:
                        self._place(one, found, root)
                        return
                    wrong = "the bytes are not those of jars.lock: SHA-256 is {found}, not {locked}"
                    why = Message(wrong, found=digest, locked=one.sha256)
            except (_Abandoned, FetchFailed):
                raise
            except Exception as error:  # the resolver raises what it meets: network, HTTP, file system
                why = f"{type(error).__name__}: {error}"
        raise FetchFailed(
            Message("cannot fetch {coordinates}", coordinates=one.coordinates),
            Message("{why}", why=why),
            Message(
                "check the network and the disk and start again (SYNC_ENGINE_MAVEN names a mirror); what has arrived in {cache} is kept",
                cache=self._cache,
            ),
        )

    def _arrived(self, count: int) -> None:
        if self._abandoned.is_set():
            raise _Abandoned
        self._progress.arrived(count)

    def _place(self, one: Locked, found: Path, root: Path) -> None:
        target = one.place(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if one.is_archive:
            _unpack(found, target.parent)
            target.touch()
        else:
            found.replace(target)


class _Progress:
    """A bar in a terminal, a line every ten percent elsewhere."""

    def __init__(self, total: int, say: Say) -> None:
        self._total = total
        self._say = say
        self._done = 0
        self._told = 0
        self._lock = threading.Lock()
        self._bar: Any = None

    def start(self, what: Message) -> None:
        self._say(Message("{what}, {size:.0f} MB", what=what, size=self._total / 1e6))
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

            columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("fetch", total=self._total)
            self._bar.start()

    def arrived(self, count: int) -> None:
        with self._lock:
            # A second attempt brings bytes again.
            self._done = min(self._done + count, self._total)
            percent = self._done * 100 // max(self._total, 1)
            if self._bar is not None:
                self._bar.update(0, completed=self._done)
            elif percent >= self._told + PLAIN_STEP:
                self._told = percent - percent % PLAIN_STEP
                self._say(
                    Message(
                        "  {percent:3d} %  {done:.0f} of {size:.0f} MB", percent=self._told, done=self._done / 1e6, size=self._total / 1e6
                    )
                )

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def _maven(work: Path, arrived: Arrived) -> Any:
    try:
        from jgo.maven import MavenContext, PythonResolver
    except ImportError:
        raise FetchFailed(
            Message("the local stack is not installed"),
            Message("package {package} is missing", package="jgo"),
            Message("pip install 'sync-engine[local]'"),
        ) from None

    @contextmanager
    def progress(filename: str, size: int) -> Iterator[Arrived]:
        yield arrived

    mirror = os.environ.get("SYNC_ENGINE_MAVEN")
    remote = {"mirror": mirror.rstrip("/")} if mirror else None
    # No local repository: what is found there would be somebody's own file, and we move what we find.
    return MavenContext(
        resolver=PythonResolver(progress_callback=progress), repo_cache=work, local_repos=[], remote_repos=remote, timeout=60
    )


def _unpack(found: Path, folder: Path) -> None:
    if zipfile.is_zipfile(found):
        with zipfile.ZipFile(found) as parcel:
            parcel.extractall(folder)  # noqa: S202  (checked against its SHA-256)
        for file in folder.rglob("*"):
            if file.is_file():
                # A jar does not say which of its files are programs.
                file.chmod(0o755)
    else:
        with tarfile.open(found) as archive:
            archive.extractall(folder, filter="data")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


MANIFEST_JAR = "connect-plugin-path-shim-1.0.0.jar"
"""The name that Kafka's own connect-plugin-path tool gives it."""


def _write_manifests(partial: Path, root: str) -> None:
    for wanted in WANTED:
        if wanted.manifest and wanted.folder.partition("/")[0] == root:
            folder = partial.joinpath(*wanted.folder.split("/")[1:])
            folder.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(folder / MANIFEST_JAR, "w") as jar:
                for interface, name in wanted.manifest.items():
                    jar.writestr(f"META-INF/services/{interface}", f"{name}\n")


# --- the lock itself ---


def write_lock(say: Say, path: Path = LOCK) -> None:
    """Resolve WANTED with all they depend on, and write what was found."""
    locked: set[Locked] = set()
    with tempfile.TemporaryDirectory() as work:
        for wanted in WANTED:
            say(f"resolving {wanted.folder}: {', '.join(wanted.coordinates)}")
            for coordinates in _all_coordinates(wanted, Path(work)):
                found = maven_download(coordinates, Path(work), lambda count: None)
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
    maven = _maven(work, lambda count: None)
    from jgo.maven import Dependency

    direct = []
    for coordinates in wanted.coordinates:
        group, artifact, version = coordinates.split(":")
        direct.append(Dependency(maven.project(group, artifact).at_version(version).artifact(), scope="compile"))
    _, nodes = maven.resolver.get_dependency_list(direct)
    found = {f"{node.dep.groupId}:{node.dep.artifactId}:{node.dep.version}" for node in nodes if node.dep.scope in ("compile", "runtime")}
    return sorted(found | set(wanted.coordinates))
