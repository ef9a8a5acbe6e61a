"""The size of the cache of decoded images: the packs that were not used for the longest time are removed first."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

from toolchain.training.cache_limit import cache_limit_bytes

SUFFIX = ".pack"
FREE_BYTES = 1 << 30  # left on the disk for everything else
ORPHAN_S = 3600.0  # a file that a killed process was writing


def make_room(root: Path, size: int, since: float) -> bool:
    """Whether `size` bytes more fit into the cache, after packs that were last used before `since` are removed."""
    _remove_orphans(root)
    limit, free = cache_limit_bytes(), shutil.disk_usage(root).free - FREE_BYTES
    packs = sorted(_states(root))
    held = sum(bytes_ for _, bytes_, _ in packs)
    for used, bytes_, path in packs:
        if held + size <= limit and size <= free:
            break
        if used < since:
            with suppress(OSError):
                path.unlink()
                held, free = held - bytes_, free + bytes_
    return held + size <= limit and size <= free


def _states(root: Path) -> list[tuple[float, int, Path]]:
    """Time of last use, size and path of each pack."""
    states = []
    for path in root.rglob(f"*{SUFFIX}"):
        with suppress(OSError):  # another process removed it
            state = path.stat()
            states.append((state.st_mtime, state.st_size, path))
    return states


def _remove_orphans(root: Path) -> None:
    for path in root.rglob("*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ORPHAN_S:
                path.unlink()
