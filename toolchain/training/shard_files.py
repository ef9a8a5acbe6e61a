"""Where a shard's bytes come from: a file here, or a URL, of which a copy is kept for as long as there is room.

The folder of copies and indices is $NASTOOL_CACHE, or nastool/ in the user's cache. Copies take NASTOOL_CACHE_GB at
most (20 by default): the one unused for longest goes first, so a data set may be larger than the disk.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter

from toolchain.errors import BadData, RunFolderError
from toolchain.files import write_bytes
from toolchain.training.cache_folder import cache_folder, expanded
from toolchain.training.shard_index import ShardIndex

CACHE_GB = 20.0
TIMEOUT_S, TRIES = 60, 3
OTHER_CACHE = "Set NASTOOL_CACHE to a folder that can be written"
_INDEX = TypeAdapter(ShardIndex)


@dataclass(frozen=True)
class ShardFile:
    """One shard: a path, or a URL (http, https, or any that fsspec knows, as s3 with s3fs installed)."""

    url: str

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def remote(self) -> bool:
        return "://" in self.url

    def read(self, offset: int, size: int) -> bytes:
        """Some of its bytes.

        Raises:
            BadData: it can't be read, or ends before.
        """
        for _ in range(TRIES):  # between its coming and the look at it, another process may need the room
            try:
                with self.local().open("rb") as file:
                    if self.remote:
                        os.utime(file.fileno())  # it was used just now
                    content = os.pread(file.fileno(), size, offset)
                break
            except FileNotFoundError:
                continue
            except OSError as problem:
                raise BadData(
                    f"can't read the shard {self.url}: {problem.strerror}. Repair it, or leave it out"
                ) from None
        else:
            raise BadData(f"the shard {self.url} is not there. Give a pattern of shards that are")
        if len(content) < size:
            raise BadData(f"the shard {self.url} ends at byte {offset + len(content)}. It was cut off: repair it")
        return content

    def local(self) -> Path:
        """A file with its content: itself, or a copy, fetched if it isn't there.

        Raises:
            BadData: there is none, or it can't be fetched.
        """
        if not self.remote:
            return expanded(self.url.removeprefix("file:"))
        if (folder := cache_folder()) is None:
            raise BadData(
                f"{self.url}: remote shards are copied to a cache, and there is no home folder. {OTHER_CACHE}"
            )
        path = folder / f"{_hash(self.url)}.tar"
        if not path.exists():
            with _locked(path.with_suffix(".lock")):
                if not path.exists():  # another process may have fetched it meanwhile
                    _fetch(self.url, path)
        return path

    def state(self) -> str:
        """What changes when a file here does. A URL's content is taken to stay as it is."""
        if self.remote:
            return self.url
        try:
            found = Path(self.local()).stat()
        except OSError as problem:
            raise BadData(
                f"can't read the shard {self.url}: {problem.strerror}. Give a pattern of shards that are there"
            ) from None
        return f"{Path(self.url).resolve()} {found.st_size} {found.st_mtime_ns}"


def cached_index(key: str) -> ShardIndex | None:
    """The index that `keep_index` wrote for the state `key` of a shard, if the cache has it."""
    if (path := _index_path(key)) is None:
        return None
    try:
        return _INDEX.validate_json(path.read_bytes())
    except (OSError, ValueError):  # no index, or a damaged one: it is made again
        return None


def keep_index(key: str, index: ShardIndex) -> None:
    """Write a shard's index into the cache; ignored where the cache cannot be written."""
    if (path := _index_path(key)) is not None:
        with suppress(RunFolderError):
            write_bytes(path, _INDEX.dump_json(index))


def _index_path(key: str) -> Path | None:
    folder = cache_folder()
    return folder / f"{_hash(key)}.json" if folder else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as problem:
        raise BadData(f"cannot write the cache of shards {path.parent}: {problem.strerror}. {OTHER_CACHE}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(url: str, path: Path) -> None:
    problem: Exception | None = None
    for _ in range(TRIES):
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part") as file:
                _download(url, file)
                file.flush()
                _make_room(path.parent, os.fstat(file.fileno()).st_size)
                os.link(file.name, path)
            return
        except (OSError, ValueError, ImportError) as found:  # urllib's errors are OSErrors
            problem = found
    raise BadData(
        f"can't fetch the shard {url}: {problem}. See that it is there and can be reached, and type the same again"
    )


def _download(url: str, file: IO[bytes]) -> None:
    if url.startswith(("http://", "https://")):
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            shutil.copyfileobj(answer, file, 1 << 20)
            promised = answer.headers.get("Content-Length")
        if promised is not None and file.tell() != int(promised):
            raise OSError(f"{file.tell()} of {promised} bytes came")
        return
    import fsspec  # torch brings it; a scheme's own package is named in its ImportError

    with fsspec.open(url, "rb") as source:
        shutil.copyfileobj(source, file, 1 << 20)


def _make_room(folder: Path, size: int) -> None:
    """Remove the copies unused for longest, until one of `size` bytes fits. Who reads one still keeps it open."""
    most = float(os.environ.get("NASTOOL_CACHE_GB", CACHE_GB)) * 1e9
    copies = sorted((found.stat().st_mtime_ns, found.stat().st_size, found) for found in folder.glob("*.tar"))
    held = sum(bytes_ for _, bytes_, _ in copies)
    for _, bytes_, found in copies:
        if held + size <= most:
            return
        found.unlink(missing_ok=True)
        held -= bytes_
