"""Several processes that train one model: torch.distributed, set up from what torchrun puts into the environment.

All calls are collective: every process makes the same ones in the same order. With one process alone each of them
does nothing, so callers need no second way.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from toolchain.errors import RankLost
from toolchain.parallel.ranks import rank, require_sound, world

BUCKET_BYTES = 25 * 2**20  # as DistributedDataParallel: large enough for bandwidth, small beside the gradients
PATIENCE = timedelta(days=1)  # while one measures or has more to score; of one that died, the launcher tells
T = TypeVar("T")


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Be one of the processes that torchrun started, for as long as the work lasts; alone, nothing happens.

    On CPUs they talk through gloo, on GPUs through NCCL.

    Raises:
        RankLost: the others can't be reached.
        BadLaunch: the environment doesn't say how.
    """
    if world() == 1:
        yield
        return
    require_sound()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _contact():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    yield  # after an error nobody waits: the launcher ends the others
    with _contact():
        dist.barrier()
        dist.destroy_process_group()


def sum_over_ranks(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, bit for bit the same in each of them.

    They travel in flat buckets, so that many small tensors cost few messages.
    """
    if world() == 1:
        return
    for bucket in _buckets(tensors):
        if len(bucket) == 1 and bucket[0].is_contiguous():
            with _contact():
                dist.all_reduce(bucket[0])
            continue
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        with _contact():
            dist.all_reduce(flat)
        for tensor, part in zip(bucket, torch.split(flat, [tensor.numel() for tensor in bucket]), strict=True):
            tensor.copy_(part.view(tensor.shape))


def gather_over_ranks(tensor: Tensor) -> Tensor:
    """The tensors of all processes, which have one shape, in the order of ranks: (world, *shape)."""
    if world() == 1:
        return tensor.unsqueeze(0)
    found = torch.empty(world(), *tensor.shape, dtype=tensor.dtype, device=tensor.device)
    with _contact():
        dist.all_gather(list(found.unbind(0)), tensor.contiguous())
    return found


def gather_objects(mine: T) -> list[T]:
    """What each process has, in the order of ranks, in all of them."""
    if world() == 1:
        return [mine]
    found: list[T | None] = [None] * world()
    with _contact():
        dist.all_gather_object(found, mine)
    return found  # type: ignore[return-value]


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives in the first process, in all of them. Others don't call it, and need not see its files."""
    if world() == 1:
        return make()
    holder: list[T | None] = [make() if rank() == 0 else None]
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else None
    with _contact():
        dist.broadcast_object_list(holder, src=0, device=device)
    return holder[0]  # type: ignore[return-value]


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if world() > 1:
        with _contact():
            dist.barrier()


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of tensors of one type, of BUCKET_BYTES or less unless one alone is larger."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.nbytes > BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


@contextmanager
def _contact() -> Iterator[None]:
    """torch.distributed has RuntimeError for all that goes wrong between processes."""
    try:
        yield
    except RuntimeError as problem:
        raise RankLost(
            f"process {rank()} of {world()} lost the others: {str(problem).splitlines()[0]}. What is in the run "
            f"folder is whole: type the same again, and it goes on from the last checkpoint"
        ) from None
