"""Atomic writes: a file has its old content or its new content, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

DESCRIPTORS = ("/dev", "/dev/fd", "/proc/self/fd")


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file at `path` atomically: write a temporary file, flush it to the disk, rename it.

    A device or a pipe, such as /dev/stdout, is not replaced: the content is appended to it.

    Raises:
        OSError: the file cannot be written; the old content stays.
    """
    if _is_stream(path):
        with path.open("ab") as stream:
            stream.write(content)
        return
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_stream(path: Path) -> bool:
    """Whether `path` is a device or a pipe, or a name of an open file: a rename would put a file in its place."""
    if str(path.absolute().parent) in DESCRIPTORS:
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def home_folder() -> Path | None:
    """The user's home folder; None where neither HOME nor a passwd entry names one, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def user_cache() -> Path | None:
    """$NASTOOL_CACHE, or nastool's folder in the user's cache; None for a user without a home folder."""
    home = home_folder()
    return _named_cache() or (home / ".cache" / "nastool" if home else None)


def cache_folder() -> Path:
    """`user_cache`, or a folder below the temporary folder for a user whose home folder cannot be written."""
    home = home_folder()
    writable = home is not None and os.access(home, os.W_OK)
    return (user_cache() if writable else _named_cache()) or Path(tempfile.gettempdir()) / "nastool"


def _named_cache() -> Path | None:
    """The folder that the environment names."""
    if given := os.environ.get("NASTOOL_CACHE"):
        return Path(given)
    named = os.environ.get("XDG_CACHE_HOME")
    return Path(named) / "nastool" if named else None
