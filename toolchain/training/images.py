"""Where images come from: tensors in memory or files in a folder. Both give uint8 batches of one size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import default_collate
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from toolchain.errors import BadData
from toolchain.training.augment import augment
from toolchain.training.recipe import Augmentation

RESIZE_RATIO = 256 / 224  # evaluation scales the short side to this much above the crop, as on ImageNet


class Images(Protocol):
    """Labelled images of one size."""

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""

    @property
    def groups(self) -> Tensor | None:
        """int64 (N,): of each image, the shard that it is read from; None where any order is as quick as another."""

    def identity(self) -> bytes:
        """What tells these images from others, without decoding them."""

    def fetch(self, indices: Sequence[int]) -> Tensor:
        """Images as they are evaluated: uint8 (len(indices), C, S, S)."""

    def fetch_augmented(self, indices: Sequence[int], augmentation: Augmentation, seeds: Sequence[int]) -> Tensor:
        """Images as they are trained on; the same seeds give the same images: uint8 (len(indices), C, S, S)."""


@dataclass(frozen=True)
class MemoryImages:
    """A small data set, held as one uint8 tensor (N, C, S, S)."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def resized(cls, pixels: Tensor, labels: Tensor, channels: int, size_px: int) -> "MemoryImages":
        """Bring uint8 images (N, 1, H, W) to the size and the channels that a space takes."""
        if pixels.shape[-1] != size_px:
            pixels = tv.resize(pixels, [size_px, size_px], antialias=True)
        return cls(pixels.expand(-1, channels, -1, -1).contiguous(), labels)

    groups = None

    def identity(self) -> bytes:
        return self.pixels.numpy().tobytes()

    def fetch(self, indices: Sequence[int]) -> Tensor:
        return self.pixels[torch.as_tensor(indices, device=self.pixels.device)]

    def fetch_augmented(self, indices: Sequence[int], augmentation: Augmentation, seeds: Sequence[int]) -> Tensor:
        return augment(self.fetch(indices), augmentation, seeds)

    def on(self, device: torch.device) -> "MemoryImages":
        """The same images in the memory of `device`."""
        return MemoryImages(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True)
class FolderImages:
    """Image files, decoded when they are asked for."""

    paths: tuple[Path, ...]
    labels: Tensor
    channels: int
    size_px: int

    groups = None

    def identity(self) -> bytes:
        """Names within their class folders, and sizes in bytes."""
        return "".join(f"{p.parent.name}/{p.name} {p.stat().st_size}\n" for p in self.paths).encode()

    def fetch(self, indices: Sequence[int]) -> Tensor:
        return fetch_decoded(self._decode, indices, self.size_px)

    def fetch_augmented(self, indices: Sequence[int], augmentation: Augmentation, seeds: Sequence[int]) -> Tensor:
        return fetch_changed(self._decode, indices, self.size_px, augmentation, seeds)

    def _decode(self, index: int) -> Image.Image:
        path = self.paths[index]
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise unreadable(path, problem) from None
        return decode(content, str(path), self.channels)


Decode = Callable[[int], Image.Image]  # the number of an image -> the image, of any size, grey or RGB


def fetch_decoded(decode: Decode, indices: Sequence[int], size_px: int) -> Tensor:
    """Images of any size as they are evaluated: uint8 (len(indices), C, size_px, size_px)."""
    return _stacked([_center(decode(index), size_px) for index in indices])


def fetch_changed(
    decode: Decode, indices: Sequence[int], size_px: int, augmentation: Augmentation, seeds: Sequence[int]
) -> Tensor:
    """Images of any size as they are trained on, by torchvision's transforms: uint8 as above.

    They draw from torch's global state, which is seeded for each image and left as it was found.
    """
    change = transform(augmentation, size_px)
    found = []
    with torch.random.fork_rng(devices=[]):
        for index, seed in zip(indices, seeds, strict=True):
            image = decode(index)
            torch.manual_seed(seed)
            whole = augmentation.random_resized_crop
            found.append(change(tv.pil_to_tensor(image) if whole else _center(image, size_px)))
    return _stacked(found)


def _stacked(images: list[Tensor]) -> Tensor:
    """As torch.stack; a worker process stacks them in memory that it shares, which saves copying a batch."""
    stacked: Tensor = default_collate(images)
    return stacked


def _center(image: Image.Image, size_px: int) -> Tensor:
    # scaled by pillow, not as a tensor: a service that has pillow and no torch gets the same pixels
    resized = tv.resize(image, [round(size_px * RESIZE_RATIO)])
    center: Tensor = tv.pil_to_tensor(tv.center_crop(resized, [size_px, size_px]))
    return center


def decode(content: bytes, name: str, channels: int) -> Image.Image:
    """The image in a file, grey for one channel and RGB for three.

    Raises:
        BadData: it is damaged or no image; `name` is named.
    """
    try:
        with Image.open(BytesIO(content)) as image:
            return _of_8_bits(image).convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise unreadable(name, problem) from None


def _of_8_bits(image: Image.Image) -> Image.Image:
    """PIL would cut grey values of 16 bits off at 255, so that most of the image is white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).clip(0, 0xFFFF) >> 8).astype(np.uint8))


def unreadable(path: Path | str, problem: Exception) -> BadData:
    """The error for one file that is no readable image."""
    return BadData(f"can't read the image {path}: {problem}. Repair or remove that file")


def transform(augmentation: Augmentation, size_px: int) -> Callable[[Tensor], Tensor]:
    """The random changes of a recipe, for one uint8 image (C, H, W) -> (C, size_px, size_px)."""
    steps: list[torch.nn.Module] = []
    if augmentation.random_resized_crop:
        steps.append(v2.RandomResizedCrop(size_px, antialias=True))
    elif augmentation.crop_padding:
        steps.append(v2.RandomCrop(size_px, padding=augmentation.crop_padding))
    if augmentation.color_jitter:
        strength = augmentation.color_jitter
        steps.append(v2.ColorJitter(brightness=strength, contrast=strength, saturation=strength))
    if augmentation.flip:
        steps.append(v2.RandomHorizontalFlip())
    composed: Callable[[Tensor], Tensor] = v2.Compose(steps) if steps else v2.Identity()
    return composed
