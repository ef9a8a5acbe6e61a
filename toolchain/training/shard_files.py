"""Read shards from local files or URLs; copies of remote shards are kept in a cache of bounded size.

Copies take at most NASTOOL_CACHE_GB (20 by default). The least recently used copy is removed first, so a data set may
be larger than the disk.
"""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter

from exporters.files import user_cache
from toolchain.errors import BadData, RunFolderError
from toolchain.files import write_bytes
from toolchain.training.cache_limit import cache_limit_bytes
from toolchain.training.shard_index import ShardIndex
from toolchain.training.user_path import expanded

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
        """Read `size` bytes at `offset`.

        Raises:
            BadData: it cannot be read, or ends before.
        """
        for _ in range(TRIES):  # another process may remove the copy before it is opened
            try:
                with self.local().open("rb") as file:
                    if self.remote:
                        os.utime(file.fileno())  # recently used
                    content = os.pread(file.fileno(), size, offset)
                break
            except FileNotFoundError:
                continue
            except OSError as problem:
                raise BadData(
                    f"cannot read the shard {self.url}: {problem.strerror}. Repair it, or remove it from the pattern"
                ) from None
        else:
            raise BadData(f"the shard {self.url} does not exist. Give a pattern of shards that exist")
        if len(content) < size:
            raise BadData(f"the shard {self.url} ends at byte {offset + len(content)}: it is truncated. Copy it again")
        return content

    def local(self) -> Path:
        """The local file, or the cached copy of a remote shard, which is fetched if it is missing.

        Raises:
            BadData: it cannot be fetched.
        """
        if not self.remote:
            return expanded(self.url.removeprefix("file:"))
        if (folder := user_cache()) is None:
            raise BadData(
                f"{self.url}: remote shards are copied to a cache, and there is no home folder. {OTHER_CACHE}"
            )
        path = folder / f"{_hash(self.url)}.tar"
        if not path.exists():
            with _locked(path.with_suffix(".lock")):
                if not path.exists():  # another process may have fetched it
                    _fetch(self.url, path)
        return path

    def state(self) -> str:
        """A text that changes when the file does. The content of a URL is assumed constant."""
        if self.remote:
            return self.url
        try:
            status = self.local().stat()
        except OSError as problem:
            raise BadData(
                f"cannot read the shard {self.url}: {problem.strerror}. Give a pattern of shards that exist"
            ) from None
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # opening a pipe may never end
            raise BadData(f"the shard {self.url} is a pipe, socket or device. Give a pattern of tar files")
        return f"{Path(self.url).resolve()} {status.st_size} {status.st_mtime_ns}"


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
    folder = user_cache()
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
        except (OSError, ValueError, ImportError) as error:  # urllib's errors are OSErrors
            problem = error
    raise BadData(
        f"cannot fetch the shard {url}: {problem}. Check that it exists and can be reached, and run the command again"
    )


def _download(url: str, file: IO[bytes]) -> None:
    if url.startswith(("http://", "https://")):
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            shutil.copyfileobj(answer, file, 1 << 20)
            promised = answer.headers.get("Content-Length")
        if promised is not None and file.tell() != int(promised):
            raise OSError(f"received {file.tell()} of {promised} bytes")
        return
    import fsspec  # its ImportError names the package of a protocol

    with fsspec.open(url, "rb") as source:
        shutil.copyfileobj(source, file, 1 << 20)


def _make_room(folder: Path, size: int) -> None:
    """Remove the least recently used copies until `size` bytes fit. A process that reads one keeps it open."""
    most = cache_limit_bytes()
    copies = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in folder.glob("*.tar"))
    held = sum(bytes_ for _, bytes_, _ in copies)
    for _, bytes_, path in copies:
        if held + size <= most:
            return
        path.unlink(missing_ok=True)
        held -= bytes_
