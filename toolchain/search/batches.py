"""Fixed batches of images that are read many times: from memory if they are small, otherwise decoded by workers."""

from collections.abc import Iterator
from math import ceil, prod
from random import Random

import torch
from torch.utils.data import DataLoader, Dataset

from toolchain.errors import BadData
from toolchain.training.accuracy import fixed_batches
from toolchain.training.batches import Batch
from toolchain.training.images import Images, MemoryImages

MAX_BYTES = 2**30  # in memory, as uint8: 7,133 images of 3 x 224 x 224, or 1.4 million of 1 x 28 x 28


class Batches(Dataset[Batch | BadData]):
    """A subset of the images, always in the same batches. The prefix trie reads each batch once a generation."""

    def __init__(self, images: Images, indices: tuple[int, ...], batch: int, workers: int, most_bytes: int) -> None:
        """Images that take more than `most_bytes` are not kept in memory but decoded by `workers` processes."""
        self._images, self._indices, self.batch = images, indices, batch
        self._workers = 0 if isinstance(images, MemoryImages) else workers
        self._most_bytes = most_bytes
        self._kept: list[Batch] | None = None

    def __len__(self) -> int:
        return ceil(len(self._indices) / self.batch)

    @property
    def images(self) -> int:
        """The number of images in all batches."""
        return len(self._indices)

    def __getitem__(self, number: int) -> Batch | BadData:
        """One batch: uint8 (N, C, S, S) and labels (N,)."""
        chosen = self._indices[number * self.batch : (number + 1) * self.batch]
        try:
            return next(fixed_batches(self._images, chosen, self.batch))
        except BadData as problem:  # a worker process would wrap the exception in its own traceback
            return problem

    def after(self, done: int) -> Iterator[Batch]:
        """All batches but the first `done`.

        Raises:
            BadData: an image cannot be read; it is named.
        """
        if self._kept is None and self._fits:
            self._kept = list(self._read(0))
        return self._read(done) if self._kept is None else iter(self._kept[done:])

    @property
    def _fits(self) -> bool:
        first = self[0]
        if isinstance(first, BadData):
            raise first
        return len(self._indices) * prod(first[0].shape[1:]) <= self._most_bytes

    def _read(self, done: int) -> Iterator[Batch]:
        loader: DataLoader[Batch | BadData] = DataLoader(
            self,
            batch_size=None,  # an item is a batch
            sampler=range(done, len(self)),
            num_workers=self._workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else it draws from the global one
        )
        for batch in loader:
            if isinstance(batch, BadData):
                raise batch
            yield batch


def shuffled(indices: tuple[int, ...], seed: int) -> tuple[int, ...]:
    """In random order, so that the first images of a hold-out are a sample of all classes."""
    return tuple(Random(seed).sample(indices, len(indices)))
