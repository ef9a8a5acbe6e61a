"""Batches for training, each a function of (seed, step) alone, so that a resumed run sees the same ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from toolchain.errors import BadData
from toolchain.training.images import FolderImages, Images
from toolchain.training.recipe import Augmentation

Position = tuple[int, int]  # (how many images were served before it, index into the training images)
Batch = tuple[Tensor, Tensor]  # uint8 (N, C, S, S), int64 (N,)
T = TypeVar("T")


@dataclass(frozen=True)
class StepSampler:
    """The positions of the batches `start` to `steps` of a run that goes through `indices` again and again.

    Each pass has its own order, drawn from (seed, pass); a batch may reach over the end of a pass.
    """

    indices: tuple[int, ...]
    batch: int
    seed: int
    start: int
    steps: int

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[Position]]:
        pass_, order = -1, torch.empty(0)
        for step in range(self.start, self.steps):
            positions = []
            for served in range(step * self.batch, (step + 1) * self.batch):
                if served // len(self.indices) != pass_:
                    pass_ = served // len(self.indices)
                    generator = torch.Generator().manual_seed(mix(self.seed, pass_))
                    order = torch.randperm(len(self.indices), generator=generator)
                positions.append((served, self.indices[int(order[served % len(self.indices)])]))
            yield positions


@dataclass(frozen=True)
class _TrainingSet(Dataset[Batch]):
    images: Images
    augmentation: Augmentation
    seed: int

    def __getitem__(self, position: Position) -> Batch:
        batch = self.__getitems__([position])
        assert not isinstance(batch, BadData)
        return batch[0][0], batch[1][0]

    def __getitems__(self, positions: Sequence[Position]) -> Batch | BadData:
        indices = [index for _, index in positions]
        seeds = [mix(self.seed, served) for served, _ in positions]
        try:
            pixels = self.images.fetch_augmented(indices, self.augmentation, seeds)
        except BadData as problem:  # a worker process would wrap it in its own traceback: hand it over as a value
            return problem
        return pixels, self.images.labels[indices]


def training_batches(images: Images, sampler: StepSampler, augmentation: Augmentation, workers: int) -> Iterator[Batch]:
    """The batches of `sampler`, in order; files are decoded by `workers` processes.

    Raises:
        BadData: an image can't be read; it is named.
    """
    from_files = isinstance(images, FolderImages)
    loader: DataLoader[Batch] = DataLoader(
        _TrainingSet(images, augmentation, sampler.seed),
        batch_sampler=sampler,
        num_workers=workers if from_files else 0,
        collate_fn=_as_is,
        pin_memory=torch.cuda.is_available(),
    )
    for batch in loader:
        if isinstance(batch, BadData):
            raise batch
        yield batch


def mix(seed: int, number: int) -> int:
    """One seed from two numbers; neighbours give unrelated ones (the finaliser of splitmix64)."""
    value = (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 1) & 0xFFFF_FFFF_FFFF_FFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFF_FFFF_FFFF_FFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFF_FFFF_FFFF_FFFF
    return (value ^ (value >> 31)) >> 1  # torch takes seeds below 2**63


def _as_is(batch: T) -> T:
    return batch
