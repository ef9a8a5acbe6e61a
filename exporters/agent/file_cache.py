"""The folder of a remote device that holds the files which it runs."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from exporters.files import cache_folder

DIGEST = re.compile(r"[0-9a-f]{64}")
ONNX, PLAN, ENGINE = ".onnx", ".plan", ".engine"  # models, engines that were uploaded, engines that were built here
MAX_BYTES = 4 * 2**30  # of all files together


def device_folder() -> Path:
    """The folder of files, in the cache folder of the device's user."""
    return cache_folder() / "device"


class FileCache:
    """Files by digests, so that nothing outside the folder can be named.

    The digest of an uploaded file is the SHA-256 of its content.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self._max_bytes = max_bytes

    def path(self, digest: str, suffix: str = ONNX) -> Path:
        """The place of the file with this digest.

        Raises:
            ValueError: `digest` or `suffix` is none.
        """
        if not DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is not a SHA-256 digest")
        if suffix not in (ONNX, PLAN, ENGINE):
            raise ValueError(f"{suffix!r} is not the suffix of a cached file")
        return self.folder / f"{digest}{suffix}"

    def has(self, digest: str, suffix: str = ONNX) -> bool:
        """Whether the file is there; its time of use is now."""
        try:
            os.utime(self.path(digest, suffix))
        except FileNotFoundError:
            return False
        return True

    def append(self, digest: str, content: bytes, offset: int, suffix: str = ONNX) -> None:
        """Write a part of a file that is not complete yet.

        Raises:
            OSError: it cannot be written; what was written of the file is removed.
        """
        part = self._part(digest, suffix)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("ab" if offset else "wb") as file:
                file.write(content)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def finish(self, digest: str, suffix: str = ONNX) -> None:
        """Move a complete uploaded file into its place, and remove the least recently used files beyond the limit.

        Raises:
            ValueError: its content has another digest; it is removed.
        """
        part = self._part(digest, suffix)
        read = hashlib.sha256()
        with part.open("rb") as file:
            for block in iter(lambda: file.read(2**20), b""):
                read.update(block)
        if read.hexdigest() != digest:
            part.unlink()
            raise ValueError(f"the uploaded file has the digest {read.hexdigest()}, not {digest}")
        self._place(digest, suffix)

    def store(self, digest: str, content: bytes, suffix: str) -> None:
        """Write a file that was made here.

        Raises:
            OSError: it cannot be written.
        """
        self.append(digest, content, 0, suffix)
        self._place(digest, suffix)

    def free_bytes(self) -> int:
        """The free space of the file system of the folder."""
        folder = self.folder
        while not folder.exists():
            folder = folder.parent
        stat = os.statvfs(folder)
        return stat.f_bavail * stat.f_frsize

    def _part(self, digest: str, suffix: str) -> Path:
        return self.path(digest, suffix).with_suffix(f"{suffix}.{os.getpid()}.part")  # several commands may write it

    def _place(self, digest: str, suffix: str) -> None:
        path, part = self.path(digest, suffix), self._part(digest, suffix)
        with part.open("rb") as written:
            os.fsync(written.fileno())  # a loss of power must not leave a name without its content
        part.replace(path)
        sizes = {}
        for file in (file for known in (ONNX, PLAN, ENGINE) for file in self.folder.glob(f"*{known}")):
            with suppress(FileNotFoundError):  # another agent removes files too
                status = file.stat()
                sizes[file] = status.st_mtime, status.st_size
        total = 0
        for file, (_, size) in sorted(sizes.items(), key=lambda item: item[1][0], reverse=True):
            total += size
            if total > self._max_bytes and file != path:
                file.unlink(missing_ok=True)
