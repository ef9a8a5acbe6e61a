"""Images in shards: tar files in the layout of WebDataset, here or behind a URL, for data sets beyond one disk.

A shard's members that share a name up to the first dot are one sample: an image, and its class as a number in a
`.cls` file. Shards are indexed once (where each image lies, and its class), so that any image can be read by itself. So
hold-out, order and resume are the same as for other data, exact to the image; only the order keeps to a few
shards at a time (docs/decisions/0022-data-loading-and-training-speed.md).
"""

import re
import tarfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from toolchain.errors import BadData
from toolchain.training.images import decode, fetch_changed, fetch_decoded
from toolchain.training.recipe import Augmentation
from toolchain.training.shard_files import ShardFile, cached_index, keep_index

IMAGE_ENDINGS = frozenset({"jpg", "jpeg", "png", "webp", "bmp", "ppm", "pgm", "tif", "tiff"})
LABEL_ENDING = "cls"
SHARDS_OPEN = 8  # that many are mixed with each other in an order of images

Index = list[tuple[int, int, int]]  # of each sample: where its image begins in the file, its bytes, its class


@dataclass(frozen=True)
class ShardImages:
    """Images of several shards, decoded when they are asked for."""

    shards: tuple[ShardFile, ...]
    groups: Tensor  # int64 (N,): the shard of each image
    offsets: Tensor  # int64 (N,)
    sizes: Tensor  # int64 (N,), bytes
    labels: Tensor
    channels: int
    size_px: int

    def identity(self) -> bytes:
        """Names of the shards, and where in them there are how many bytes of image."""
        names = "".join(f"{shard.name}\n" for shard in self.shards).encode()
        return names + self.offsets.numpy().tobytes() + self.sizes.numpy().tobytes()

    def fetch(self, indices: Sequence[int]) -> Tensor:
        return fetch_decoded(self._decode, indices, self.size_px)

    def fetch_augmented(self, indices: Sequence[int], augmentation: Augmentation, seeds: Sequence[int]) -> Tensor:
        return fetch_changed(self._decode, indices, self.size_px, augmentation, seeds)

    def _decode(self, index: int) -> Image.Image:
        shard, offset = self.shards[int(self.groups[index])], int(self.offsets[index])
        content = shard.read(offset, int(self.sizes[index]))
        return decode(content, f"at byte {offset} of {shard.url}", self.channels)


class Ahead:
    """Fetches shards behind URLs in a thread of its own, some steps before a loader's workers come to them."""

    def __init__(self, images: ShardImages, batches: Iterable[Sequence[tuple[int, int]]], steps: int) -> None:
        """`batches` are those of the loader, as positions whose second number is an image; stay `steps` ahead."""
        self._images, self._batches, self._steps = images, iter(batches), steps
        self._asked: deque[int] = deque(maxlen=4 * SHARDS_OPEN)
        self._pool = ThreadPoolExecutor(1)
        self._walked = 0

    def at(self, step: int) -> None:
        """The loader has handed over the batch `step`, counted from its first."""
        for positions in islice(self._batches, max(0, step + self._steps - self._walked)):
            self._walked += 1
            for shard in dict.fromkeys(self._images.groups[[index for _, index in positions]].tolist()):
                if self._images.shards[shard].remote and shard not in self._asked:
                    self._asked.append(shard)
                    self._pool.submit(self._images.shards[shard].local)  # a failure is the worker's to tell

    def close(self) -> None:
        """Fetch no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def load_shards(patterns: str, channels: int, size_px: int) -> tuple[tuple[str, ...], ShardImages, ShardImages]:
    """Classes (numbers), training images and test images of `TRAIN;TEST`, each a pattern as `expand` takes it.

    Raises:
        BadData: the pattern names no training or no test shards, or a shard is missing, damaged, or has other members.
    """
    train_pattern, _, test_pattern = patterns.partition(";")
    if not train_pattern or not test_pattern:
        raise BadData(
            f"wds:{patterns} must name training shards and test shards, with a semicolon between them. Write "
            f"--data 'wds:data/train-{{000..146}}.tar;data/val-{{00..06}}.tar'"
        )
    train, test = (_read(expand(pattern), channels, size_px) for pattern in (train_pattern, test_pattern))
    found = sorted(set(train.labels.tolist()))
    if found != list(range(len(found))) or len(found) < 2:
        raise BadData(
            f"the classes in the training shards {train_pattern} are {_few(found)}: they must be numbers from 0 on "
            f"without a gap, two at least. Write the shards anew"
        )
    if unknown := sorted(set(test.labels.tolist()) - set(found)):
        raise BadData(
            f"the test shards {test_pattern} have classes that the training shards lack: {_few(unknown)}. "
            f"Make both from the same classes"
        )
    return tuple(map(str, found)), train, test


def expand(pattern: str) -> tuple[str, ...]:
    """The names that braces stand for, as in a shell: `a-{000..146}.tar`, `{x,y}-{0..3}.tar`."""
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    options: list[Sequence[str]] = []
    for position, piece in enumerate(pieces):
        if position % 2 == 0:
            options.append((piece,))
        elif match := re.fullmatch(r"(\d+)\.\.(\d+)", piece):
            first, last = match.groups()
            options.append([str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)])
        else:
            options.append(piece.split(","))
    return tuple(map("".join, product(*options)))


def _read(urls: tuple[str, ...], channels: int, size_px: int) -> ShardImages:
    shards = tuple(map(ShardFile, urls))
    rows = [(number, *row) for number, shard in enumerate(shards) for row in _index(shard)]
    if not rows:
        raise BadData(f"the shards {urls[0]} to {urls[-1]} have no images. Name others")
    groups, offsets, sizes, labels = torch.tensor(rows, dtype=torch.int64).unbind(1)
    groups, offsets, sizes, labels = (column.contiguous() for column in (groups, offsets, sizes, labels))
    return ShardImages(shards, groups, offsets, sizes, labels, channels, size_px)


def _index(shard: ShardFile) -> Index:
    """Read once from the shard's headers, then from the cache."""
    known = cached_index(shard)
    if known is None:
        known = list(_samples(shard.url, shard.local()))
        keep_index(shard, known)
    return [(offset, size, label) for offset, size, label in known]


def _samples(url: str, path: Path) -> Iterator[tuple[int, int, int]]:
    key, image, label = "", (0, 0), None
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                folder, slash, name = member.name.rpartition("/")
                stem, _, ending = name.partition(".")
                if (here := folder + slash + stem) != key:
                    if key:
                        yield _sample(url, key, image, label)
                    key, image, label = here, (0, 0), None
                if ending.lower() in IMAGE_ENDINGS:
                    image = (member.offset_data, member.size)
                elif ending.lower() == LABEL_ENDING:
                    content = tar.extractfile(member)
                    label = int(content.read()) if content else None
            if key:
                yield _sample(url, key, image, label)
            _require_whole(path, tar)
    except (tarfile.TarError, EOFError, OSError, ValueError) as problem:
        raise BadData(
            f"can't read the shard {url}: {problem}. It must be a plain tar (not packed), with a number in each .cls. "
            f"Repair it, or leave it out of the pattern"
        ) from None


def _sample(url: str, key: str, image: tuple[int, int], label: int | None) -> tuple[int, int, int]:
    if not image[1] or label is None:
        lacks = "image" if not image[1] else f"class ({key}.{LABEL_ENDING} with a number)"
        raise BadData(f"the sample {key} in the shard {url} has no {lacks}. Write that shard anew")
    return (*image, label)


def _require_whole(path: Path, tar: tarfile.TarFile) -> None:
    """tarfile takes the end of a torn file for the end of the archive."""
    last = tar.getmembers()[-1] if tar.getmembers() else None
    if last is not None and last.offset_data + last.size > path.stat().st_size:
        raise tarfile.ReadError(f"it ends in the middle of {last.name}")


def _few(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
