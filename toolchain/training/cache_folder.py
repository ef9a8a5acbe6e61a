"""The cache of data in the user's folder: checked images, indices of shards, copies of remote shards."""

import os
from pathlib import Path

from exporters.files import user_cache
from toolchain.errors import BadData


def cache_folder() -> Path | None:
    """$NASTOOL_CACHE, or nastool/ in the user's cache; None for a user without a home folder."""
    given = os.environ.get("NASTOOL_CACHE")
    return Path(given) if given else user_cache()


def expanded(path: str) -> Path:
    """A path with `~` replaced by the home folder.

    Raises:
        BadData: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise BadData(f"{path}: the home folder is unknown. Write the path without ~") from None
