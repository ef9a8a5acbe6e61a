"""The CPU cores that this process may use."""

import os


def available_cores() -> int:
    """Their number; fewer than the machine has in a container or under taskset."""
    return len(os.sched_getaffinity(0))
