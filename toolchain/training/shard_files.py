"""Where a shard's bytes come from: a file here, or a URL, of which a copy is kept for as long as there is room.

The folder of copies and indices is $NASTOOL_CACHE, or nastool/ in the user's cache. Copies take NASTOOL_CACHE_GB at
most (20 by default): the one unused for longest goes first, so a data set may be larger than the disk.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from toolchain.errors import BadData
from toolchain.files import write_bytes

CACHE_GB = 20.0
TIMEOUT_S, TRIES = 60, 3


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
            return Path(self.url.removeprefix("file:"))
        path = cache() / f"{_hash(self.url)}.tar"
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


def cache() -> Path:
    """The folder of copies and indices."""
    if given := os.environ.get("NASTOOL_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nastool"


def cached_index(shard: ShardFile) -> list[Sequence[int]] | None:
    """What `keep_index` wrote for a shard in its present state, if it did."""
    try:
        content: list[Sequence[int]] = json.loads(_index_path(shard).read_text())
    except (OSError, ValueError):  # no index, or a damaged one: it is made anew
        return None
    return content


def keep_index(shard: ShardFile, index: Sequence[Sequence[int]]) -> None:
    """Write a shard's index into the cache."""
    write_bytes(_index_path(shard), json.dumps(index).encode())


def _index_path(shard: ShardFile) -> Path:
    return cache() / f"{_hash(shard.state())}.json"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
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
