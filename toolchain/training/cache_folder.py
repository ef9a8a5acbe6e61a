"""The user's home folder, and the cache in it: checked images, indices of shards, copies of remote shards."""

import os
from pathlib import Path

from toolchain.errors import BadData


def cache_folder() -> Path | None:
    """$NASTOOL_CACHE, or nastool/ in the user's cache; None for a user without a home folder."""
    if given := os.environ.get("NASTOOL_CACHE"):
        return Path(given)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "nastool"
    home = home_folder()
    return home / ".cache" / "nastool" if home else None


def home_folder() -> Path | None:
    """The user's home folder; None where neither HOME nor a passwd entry names one, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def expanded(path: str) -> Path:
    """A path with `~` replaced by the home folder.

    Raises:
        BadData: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise BadData(f"{path}: the home folder is unknown. Write the path without ~") from None
