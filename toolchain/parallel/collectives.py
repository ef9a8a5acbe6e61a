"""Collective operations of the processes that train one model, through torch.distributed.

Every process must make the same calls in the same order. In a single process the calls do nothing, so callers need no
separate code path.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from toolchain.errors import RankLost
from toolchain.parallel.ranks import rank, require_valid_environment, world

BUCKET_BYTES = 25 * 2**20  # as DistributedDataParallel: large enough for bandwidth, small beside the gradients
TIMEOUT = timedelta(days=1)  # one rank may measure or score for long; the launcher detects ranks that died
T = TypeVar("T")
_GROUPS = count()  # every rank joins the same ones


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the process group of the ranks that torchrun started, and leave it at the end of the block.

    The group uses gloo on CPUs and NCCL on GPUs. A single process joins no group.

    Raises:
        RankLost: the other ranks cannot be reached.
        BadLaunch: the environment is not the one that torchrun sets.
    """
    if world() == 1:
        yield
        return
    require_valid_environment()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _contact():
        store, number, size = next(rendezvous("env://", timeout=TIMEOUT))
        # the addresses of an earlier group stay in the store
        own = dist.PrefixStore(f"nastool-{next(_GROUPS)}", store)  # type: ignore[attr-defined]
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=own, rank=number, world_size=size, timeout=TIMEOUT)
    yield  # no barrier after an error: the launcher ends the other ranks
    with _contact():
        dist.barrier()
        dist.destroy_process_group()


def sum_over_ranks(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all ranks; the result is bit-identical on every rank.

    Tensors are sent in flat buckets, so that many small tensors need few messages.
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
    """The tensors of all ranks, which have the same shape, in the order of ranks: (world, *shape)."""
    if world() == 1:
        return tensor.unsqueeze(0)
    gathered = torch.empty(world(), *tensor.shape, dtype=tensor.dtype, device=tensor.device)
    with _contact():
        dist.all_gather(list(gathered.unbind(0)), tensor.contiguous())
    return gathered


def gather_objects(mine: T) -> list[T]:
    """The objects of all ranks, in the order of ranks, on every rank."""
    if world() == 1:
        return [mine]
    gathered: list[T | None] = [None] * world()
    with _contact():
        dist.all_gather_object(gathered, mine)
    return gathered  # type: ignore[return-value]


def from_first(make: Callable[[], T]) -> T:
    """The result of `make` on rank 0, on every rank. Other ranks do not call it and need not see its files."""
    if world() == 1:
        return make()
    holder: list[T | None] = [make() if rank() == 0 else None]
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else None
    with _contact():
        dist.broadcast_object_list(holder, src=0, device=device)
    return holder[0]  # type: ignore[return-value]


def wait_for_all() -> None:
    """Wait until every rank has made this call."""
    if world() > 1:
        with _contact():
            dist.barrier()


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Consecutive tensors of one type, at most BUCKET_BYTES together unless a single tensor is larger."""
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
    """Turn the RuntimeError of torch.distributed, its only error for lost contact, into RankLost."""
    try:
        yield
    except RuntimeError as problem:
        raise RankLost(
            f"process {rank()} of {world()} lost contact with the others: {str(problem).splitlines()[0]}. "
            f"The run folder is intact: run the same command again to continue from the last checkpoint"
        ) from None
