"""Images in memory or in files; both give uint8 batches of one size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import default_collate
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from toolchain.training.augment import augment
from toolchain.training.auto_augment import policy
from toolchain.training.decode import DEFAULT_WHITE, WhiteLevels, decode, unreadable
from toolchain.training.decoded.kept_images import KeptImages
from toolchain.training.decoded.resolution import Resolution, cropped_from, evaluated
from toolchain.training.printable import printable
from toolchain.training.recipe import Augmentation


class Images(Protocol):
    """Labeled images of one size."""

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""

    @property
    def groups(self) -> Tensor | None:
        """int64 (N,): the shard of each image; None where the order of reading does not matter."""

    def identity(self, indices: Sequence[int]) -> bytes:
        """The contents of some images in that order, or digests of them."""

    def fetch(self, indices: Sequence[int]) -> Tensor:
        """Images for evaluation: uint8 (len(indices), C, S, S)."""

    def fetch_augmented(self, indices: Sequence[int], augmentation: Augmentation, seeds: Sequence[int]) -> Tensor:
        """Augmented images for training; the same seeds give the same images: uint8 (len(indices), C, S, S)."""


@dataclass(frozen=True)
class MemoryImages:
    """A small data set, held as one uint8 tensor (N, C, S, S)."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def resized(cls, pixels: Tensor, labels: Tensor, channels: int, size_px: int) -> "MemoryImages":
        """Resize uint8 images (N, 1, H, W) to the size and channels of a space."""
        if pixels.shape[-1] != size_px:
            pixels = tv.resize(pixels, [size_px, size_px], antialias=True)
        return cls(pixels.expand(-1, channels, -1, -1).contiguous(), labels)

    groups = None

    def identity(self, indices: Sequence[int]) -> bytes:
        return self.pixels[torch.as_tensor(indices)].numpy().tobytes()

    def fetch(self, indices: Sequence[int]) -> Tensor:
        return self.pixels[torch.as_tensor(indices, device=self.pixels.device)]

    def fetch_augmented(self, indices: Sequence[int], augmentation: Augmentation, seeds: Sequence[int]) -> Tensor:
        return augment(self.fetch(indices), augmentation, seeds)

    def on(self, device: torch.device) -> "MemoryImages":
        """The same images in the memory of `device`."""
        return MemoryImages(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True)
class FolderImages:
    """Image files, decoded when they are fetched, or read from `kept` decoded images."""

    paths: tuple[Path, ...]
    labels: Tensor
    channels: int
    size_px: int
    white: WhiteLevels = DEFAULT_WHITE
    digests: tuple[bytes, ...] = ()  # of each file's content, once it was checked
    pixel_digests: tuple[bytes, ...] = ()
    pixel_keys: tuple[bytes, ...] = ()  # change with the file and with everything else that its pixels depend on
    kept: Mapping[Resolution, KeptImages] = field(default_factory=dict)

    groups = None

    def identity(self, indices: Sequence[int]) -> bytes:
        return b"".join(self.digests[index] for index in indices)

    def name(self, index: int) -> str:
        """For messages."""
        return printable(self.paths[index])

    def fetch(self, indices: Sequence[int]) -> Tensor:
        return fetch_decoded(self._pixels, indices, evaluated(self.channels, self.size_px))

    def fetch_augmented(self, indices: Sequence[int], augmentation: Augmentation, seeds: Sequence[int]) -> Tensor:
        return fetch_changed(self._pixels, indices, evaluated(self.channels, self.size_px), augmentation, seeds)

    def decode(self, index: int) -> Image.Image:
        """The whole image.

        Raises:
            BadData: the file cannot be read.
        """
        path = self.paths[index]
        return decode(read_file(path), str(path), self.channels, self.white)

    def _pixels(self, index: int, resolution: Resolution) -> Tensor:
        kept = self.kept[resolution].get(index) if resolution in self.kept else None
        return resolution.pixels(self.decode(index)) if kept is None else kept


def read_file(path: Path) -> bytes:
    """An image file.

    Raises:
        BadData: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as problem:
        raise unreadable(str(path), problem) from None


Pixels = Callable[[int, Resolution], Tensor]  # index of an image -> uint8 (C, H, W)


def fetch_decoded(pixels: Pixels, indices: Sequence[int], center: Resolution) -> Tensor:
    """Images for evaluation: uint8 (len(indices), C, S, S)."""
    return _stacked([pixels(index, center) for index in indices])


def fetch_changed(
    pixels: Pixels, indices: Sequence[int], center: Resolution, augmentation: Augmentation, seeds: Sequence[int]
) -> Tensor:
    """Images augmented by torchvision's transforms: uint8 (len(indices), C, S, S).

    The transforms draw from torch's global state, which is seeded for each image and restored afterwards.
    """
    augment_image = transform(augmentation, center.size_px)
    source = cropped_from(center, augmentation)
    augmented = []
    with torch.random.fork_rng(devices=[]):
        for index, seed in zip(indices, seeds, strict=True):
            image = pixels(index, source)
            torch.manual_seed(seed)
            augmented.append(augment_image(image))
    return _stacked(augmented)


def _stacked(images: list[Tensor]) -> Tensor:
    """torch.stack; in a worker process into shared memory, which saves a copy of the batch."""
    stacked: Tensor = default_collate(images)
    return stacked


def transform(augmentation: Augmentation, size_px: int) -> Callable[[Tensor], Tensor]:
    """The augmentation of a recipe for one uint8 image (C, H, W) -> (C, size_px, size_px)."""
    steps: list[Callable[[Tensor], Tensor]] = []
    if augmentation.random_resized_crop:
        steps.append(v2.RandomResizedCrop(size_px, antialias=True))
    elif augmentation.crop_padding:
        steps.append(v2.RandomCrop(size_px, padding=augmentation.crop_padding))
    if augmentation.color_jitter:
        strength = augmentation.color_jitter
        steps.append(v2.ColorJitter(brightness=strength, contrast=strength, saturation=strength))
    if augmentation.flip:
        steps.append(v2.RandomHorizontalFlip())
    if augmentation.auto_augment != "none":
        steps.append(policy(augmentation.auto_augment))
    composed: Callable[[Tensor], Tensor] = v2.Compose(steps) if steps else v2.Identity()
    return composed
