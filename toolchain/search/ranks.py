"""Which of several processes this one is, and how they tell each other what they found (torch.distributed)."""

from collections.abc import Callable
from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")


def rank() -> int:
    """The number of this process; 0, which alone writes files, where there is one alone."""
    return dist.get_rank() if _several() else 0


def world() -> int:
    """How many processes work together."""
    return dist.get_world_size() if _several() else 1


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives in process 0, in all of them; the others don't call it."""
    if not _several():
        return make()
    held: list[T | None] = [make() if rank() == 0 else None]
    dist.broadcast_object_list(held, src=0)
    return held[0]  # type: ignore[return-value]


def gather(mine: T) -> list[T]:
    """What each process has, by rank, in all of them."""
    if not _several():
        return [mine]
    found: list[T | None] = [None] * world()
    dist.all_gather_object(found, mine)
    return found  # type: ignore[return-value]


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if _several():
        dist.barrier()


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
