"""Facts about checked images in the user's cache, so that each file is decoded once and not at every start."""

import fcntl
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from exporters.files import user_cache
from toolchain.parallel.ranks import local_world
from toolchain.training.decode import DECODING

FACTS = 3  # raise it when other facts are recorded
FILE = f"images-{DECODING}-{FACTS}.sqlite"
KEYS_PER_QUERY = 500
WAIT_S = 10.0  # for another process that writes


@contextmanager
def one_process_at_a_time() -> Iterator[None]:
    """Of several processes of one training, the first checks the images; the others wait and read the cache."""
    folder = user_cache()
    if local_world() == 1 or folder is None:
        yield
        return
    with ExitStack() as stack:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder / f"{FILE}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class ImageFacts:
    """What a decoded image file is known by. `high` and `deviation` are in the file's own pixel values."""

    digest: bytes  # 16 bytes, of the file's content
    pixels: bytes  # 16 bytes, of the gray pixels: the same for a copy that was saved again without loss
    mode: str  # I or F for images of more than 8 bits, C for colors of 16 bits that are read as 8, otherwise L
    high: float
    deviation: float  # standard deviation of the gray values

    def well_formed(self) -> bool:
        digests = all(isinstance(digest, bytes) and len(digest) == 16 for digest in (self.digest, self.pixels))
        return digests and self.mode in {"C", "I", "F", "L"}


def content_digest(content: bytes) -> bytes:
    """16 bytes of BLAKE2b."""
    return hashlib.blake2b(content, digest_size=16).digest()


class ImageCache:
    """Facts by a key for the state of a file. Without a usable cache folder it is always empty."""

    def __init__(self) -> None:
        folder = user_cache()
        self._path: Path | None = folder / FILE if folder else None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, ImageFacts]:
        """The facts that are known for some of `keys`."""
        known: dict[bytes, ImageFacts] = {}
        for start in range(0, len(keys), KEYS_PER_QUERY):
            some = keys[start : start + KEYS_PER_QUERY]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, digest, pixels, mode, high, deviation FROM images WHERE key IN ({marks})"
            for key, *values in self._run(query, some):
                facts = ImageFacts(*values)
                if facts.well_formed():
                    known[key] = facts
        return known

    def put(self, facts: Mapping[bytes, ImageFacts]) -> None:
        """Keep facts; ignored where the cache cannot be written."""
        if not self._path:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._connected(self._path) as database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS images (key BLOB PRIMARY KEY, digest BLOB, pixels BLOB, mode TEXT, "
                    "high REAL, deviation REAL) WITHOUT ROWID"
                )
                rows = [(key, *astuple(value)) for key, value in facts.items()]
                database.executemany("INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?)", rows)
        except (OSError, sqlite3.Error):
            self._path = None

    def _run(self, query: str, values: Sequence[bytes]) -> list[Any]:
        if not self._path or not self._path.exists():
            return []
        try:
            with self._connected(self._path) as database:
                return database.execute(query, values).fetchall()
        except (OSError, sqlite3.Error):
            return []

    @contextmanager
    def _connected(self, path: Path) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(path, timeout=WAIT_S)) as database, database:
            yield database


def key_of(parts: Iterable[object]) -> bytes:
    """The cache's key of a file state."""
    text = "\0".join(str(part) for part in parts)
    return content_digest(text.encode("utf-8", "surrogateescape"))
