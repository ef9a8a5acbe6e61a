"""Paths that a user gives."""

from pathlib import Path

from toolchain.errors import BadData


def expanded(path: str) -> Path:
    """A path with `~` replaced by the home folder.

    Raises:
        BadData: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise BadData(f"{path}: the home folder is unknown. Write the path without ~") from None
