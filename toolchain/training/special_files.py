"""Pipes, sockets and devices among a user's images: opening one may wait for ever, and reading one may never end."""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator

SPECIAL = ((stat.S_ISFIFO, "named pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))


def without_special(entries: Iterable[os.DirEntry[str]], special: Counter[str]) -> Iterator[os.DirEntry[str]]:
    """The files and folders of `entries`; pipes, sockets and devices, also behind links, are counted in `special`."""
    for entry in entries:
        if (name := _special(entry)) is None:
            yield entry
        else:
            special[name] += 1


def _special(entry: os.DirEntry[str]) -> str | None:
    if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
        return None
    try:
        mode = entry.stat().st_mode
    except OSError:  # a broken link
        return None
    return next((name for has_type, name in SPECIAL if has_type(mode)), None)
