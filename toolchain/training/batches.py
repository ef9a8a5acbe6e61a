"""Training batches. Each depends on (seed, step) only, so a resumed run gets the same batches."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from toolchain.errors import BadData
from toolchain.training.cores import available_cores
from toolchain.training.images import Images, MemoryImages
from toolchain.training.recipe import Augmentation
from toolchain.training.shard_images import SHARDS_OPEN, Ahead, ShardImages

Position = tuple[int, int]  # (how many images were served before it, index into the training images)
Batch = tuple[Tensor, Tensor]  # uint8 (N, C, S, S), labels int64 (N,)
T = TypeVar("T")

CPU = torch.device("cpu")
PREFETCHED = 4  # batches that a worker decodes ahead: steps of a supernet differ in time


@dataclass(frozen=True)
class StepSampler:
    """The positions of the batches `start` to `steps` of a run that goes through `indices` again and again.

    The order of a pass is drawn from (seed, pass); a batch may continue into the next pass. Each of `ranks` processes
    takes its part of every batch. Images in shards (`groups`) are visited a few shards at a time.
    """

    indices: tuple[int, ...]
    batch: int
    seed: int
    start: int
    steps: int
    rank: int = 0
    ranks: int = 1
    groups: Tensor | None = None

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[Position]]:
        pass_, order = -1, torch.empty(0)
        for step in range(self.start, self.steps):
            positions = []
            first, share = step * self.batch, self.batch // self.ranks
            for served in range(first + self.rank * share, first + (self.rank + 1) * share):
                if served // len(self.indices) != pass_:
                    pass_ = served // len(self.indices)
                    order = self.order(pass_)
                positions.append((served, self.indices[int(order[served % len(self.indices)])]))
            yield positions

    def order(self, pass_: int) -> Tensor:
        """A permutation of the indices for one pass: int64 (len(indices),)."""
        generator = torch.Generator().manual_seed(mix(self.seed, pass_))
        if self.groups is None:
            return torch.randperm(len(self.indices), generator=generator)
        return mixed_shards(self.groups[torch.tensor(self.indices)], generator)


def mixed_shards(groups: Tensor, generator: torch.Generator) -> Tensor:
    """A random order of images that opens shards one after the other and mixes SHARDS_OPEN of them.

    This is the shuffle buffer of streaming loaders as a permutation: an image of the n-th shard gets a position drawn
    between n and n + SHARDS_OPEN.
    """
    place = torch.randperm(int(groups.max()) + 1, generator=generator)
    moment = place[groups] + SHARDS_OPEN * torch.rand(len(groups), generator=generator, dtype=torch.float64)
    return moment.argsort(stable=True)


@dataclass(frozen=True)
class _TrainingSet(Dataset[Batch]):
    images: Images
    augmentation: Augmentation
    seed: int

    def __getitem__(self, position: Position) -> Batch:
        pixels, labels = self.batch([position])
        return pixels[0], labels[0]

    def __getitems__(self, positions: Sequence[Position]) -> Batch | BadData:
        try:
            return self.batch(positions)
        except BadData as problem:  # raised in a worker, it would arrive wrapped in a traceback
            return problem

    def batch(self, positions: Sequence[Position]) -> Batch:
        indices = [index for _, index in positions]
        seeds = [mix(self.seed, served) for served, _ in positions]
        return self.images.fetch_augmented(indices, self.augmentation, seeds), self.images.labels[indices]


def training_batches(
    images: Images,
    sampler: StepSampler,
    augmentation: Augmentation,
    workers: int,
    device: torch.device = CPU,
) -> Generator[Batch]:
    """The batches of `sampler`, in order, on `device`.

    A data set in memory is kept on the device and augmented batch by batch. Files are decoded and augmented by
    `workers` processes, or fewer where there are fewer cores.

    Raises:
        BadData: an image cannot be read.
    """
    if isinstance(images, MemoryImages):
        held = _TrainingSet(images.on(device), augmentation, sampler.seed)
        for positions in sampler:
            yield held.batch(positions)
        return
    workers = min(workers, available_cores())
    loader: DataLoader[Batch] = DataLoader(
        _TrainingSet(images, augmentation, sampler.seed),
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=_as_is,
        prefetch_factor=PREFETCHED if workers else None,
        pin_memory=device.type == "cuda",
    )
    ahead = _ahead(images, sampler, workers)
    try:
        for step, batch in enumerate(loader):
            if isinstance(batch, BadData):
                raise batch
            pixels, labels = batch
            if ahead:
                ahead.at(step)
            yield pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    finally:
        if ahead:
            ahead.close()


def _ahead(images: Images, sampler: StepSampler, workers: int) -> Ahead | None:
    """Prefetch of remote shards: the batches of the workers, and two shards more."""
    if not isinstance(images, ShardImages) or not any(shard.remote for shard in images.shards):
        return None
    two_shards = 2 * len(images.labels) // (len(images.shards) * sampler.batch)
    return Ahead(images, sampler, PREFETCHED * workers + two_shards + 1)


def mix(seed: int, number: int) -> int:
    """One seed from two numbers; neighboring numbers give unrelated seeds (the finalizer of splitmix64)."""
    value = (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 1) & 0xFFFF_FFFF_FFFF_FFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFF_FFFF_FFFF_FFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFF_FFFF_FFFF_FFFF
    return (value ^ (value >> 31)) >> 1  # torch takes seeds below 2**63


def _as_is(batch: T) -> T:
    return batch
