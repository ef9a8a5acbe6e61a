"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, force it to the disk, then rename it.

    Raises:
        OSError: it can't be written; what was at `path` stays.
    """
    beside = path.with_name(path.name + ".tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def cache_folder() -> Path:
    """nastool's folder in the user's cache; below the temporary folder for a user without a home."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "nastool"
    try:
        return Path.home() / ".cache" / "nastool"
    except RuntimeError:  # a container's user that no account describes
        return Path(tempfile.gettempdir()) / "nastool"
