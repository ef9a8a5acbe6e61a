"""Images in shards, decoded when a batch needs them; remote shards are fetched ahead of it."""

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from PIL import Image
from torch import Tensor

from toolchain.training.decode import DEFAULT_WHITE, WhiteLevels, decode
from toolchain.training.decoded.resolution import Resolution, evaluated
from toolchain.training.images import fetch_changed, fetch_decoded
from toolchain.training.recipe import Augmentation
from toolchain.training.shard_files import ShardFile

SHARDS_OPEN = 8  # shards mixed at a time in the order of images


@dataclass(frozen=True)
class ShardImages:
    """Images of several shards, decoded when they are fetched."""

    shards: tuple[ShardFile, ...]
    groups: Tensor  # int64 (N,): the shard of each image
    offsets: Tensor  # int64 (N,)
    sizes: Tensor  # int64 (N,), bytes
    labels: Tensor
    channels: int
    size_px: int

    white: WhiteLevels = DEFAULT_WHITE
    digests: tuple[bytes, ...] = ()  # of each image's content, once it was checked
    pixel_digests: tuple[bytes, ...] = ()

    def identity(self, indices: Sequence[int]) -> bytes:
        return b"".join(self.digests[index] for index in indices)

    def name(self, index: int) -> str:
        """For messages."""
        return f"at byte {self.offsets[index]} of {self.shards[int(self.groups[index])].url}"

    def fetch(self, indices: Sequence[int]) -> Tensor:
        return fetch_decoded(self._pixels, indices, evaluated(self.channels, self.size_px))

    def fetch_augmented(self, indices: Sequence[int], augmentation: Augmentation, seeds: Sequence[int]) -> Tensor:
        return fetch_changed(self._pixels, indices, evaluated(self.channels, self.size_px), augmentation, seeds)

    def _pixels(self, index: int, resolution: Resolution) -> Tensor:
        return resolution.pixels(self._decode(index))

    def _decode(self, index: int) -> Image.Image:
        shard, offset = self.shards[int(self.groups[index])], int(self.offsets[index])
        content = shard.read(offset, int(self.sizes[index]))
        return decode(content, self.name(index), self.channels, self.white)


class Ahead:
    """Prefetches remote shards in a background thread, some steps before the workers of a loader need them."""

    def __init__(self, images: ShardImages, batches: Iterable[Sequence[tuple[int, int]]], steps: int) -> None:
        """Prefetch for the `batches` of a loader, pairs whose second number is an image, `steps` ahead."""
        self._images, self._batches, self._steps = images, iter(batches), steps
        self._asked: deque[int] = deque(maxlen=4 * SHARDS_OPEN)
        self._pool = ThreadPoolExecutor(1)
        self._walked = 0

    def at(self, step: int) -> None:
        """Prefetch up to `steps` batches after the batch `step` of the loader, counted from its first."""
        for positions in islice(self._batches, max(0, step + self._steps - self._walked)):
            self._walked += 1
            for shard in dict.fromkeys(self._images.groups[[index for _, index in positions]].tolist()):
                if self._images.shards[shard].remote and shard not in self._asked:
                    self._asked.append(shard)
                    self._pool.submit(self._images.shards[shard].local)  # the worker reports a failure

    def close(self) -> None:
        """Stop prefetching."""
        self._pool.shutdown(wait=False, cancel_futures=True)
