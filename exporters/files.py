"""Atomic writes: a file has its old content or its new content, never a part."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file at `path` atomically: write a temporary file, flush it to the disk, rename it.

    Raises:
        OSError: the file cannot be written; the old content stays.
    """
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


def cache_folder() -> Path:
    """nastool's folder in the user's cache; below the temporary folder for a user without a home."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "nastool"
    try:
        return Path.home() / ".cache" / "nastool"
    except RuntimeError:  # a container's user that no account describes
        return Path(tempfile.gettempdir()) / "nastool"
