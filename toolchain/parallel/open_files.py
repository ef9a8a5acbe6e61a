"""The number of files that a process may open: with too few, a command fails after its work, or in its data workers."""

import resource

NEEDED = 64  # what one process needs for itself


def too_few(needed: int = NEEDED) -> str | None:
    """What is wrong and what to do if this shell allows fewer than `needed` open files; None otherwise."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        return None
    return f"this shell allows {allowed} open files, and {needed} are needed. Run ulimit -n {needed} first"
