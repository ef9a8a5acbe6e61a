"""Where images come from: tensors in memory or files in a folder. Both give uint8 batches of one size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from toolchain.errors import BadData
from toolchain.training.recipe import Augmentation

RESIZE_RATIO = 256 / 224  # evaluation scales the short side to this much above the crop, as on ImageNet


class Images(Protocol):
    """Labelled images of one size."""

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""

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

    def identity(self) -> bytes:
        return self.pixels.numpy().tobytes()

    def fetch(self, indices: Sequence[int]) -> Tensor:
        return self.pixels[torch.as_tensor(indices)]

    def fetch_augmented(self, indices: Sequence[int], augmentation: Augmentation, seeds: Sequence[int]) -> Tensor:
        images = self.fetch(indices)
        if augmentation.nothing:
            return images
        augment = transform(augmentation, images.shape[-1])
        return torch.stack([seeded(augment, image, seed) for image, seed in zip(images, seeds, strict=True)])


@dataclass(frozen=True)
class FolderImages:
    """Image files, decoded when they are asked for."""

    paths: tuple[Path, ...]
    labels: Tensor
    channels: int
    size_px: int

    def identity(self) -> bytes:
        """Names within their class folders, and sizes in bytes."""
        return "".join(f"{p.parent.name}/{p.name} {p.stat().st_size}\n" for p in self.paths).encode()

    def fetch(self, indices: Sequence[int]) -> Tensor:
        return torch.stack([self._center(self._decode(index)) for index in indices])

    def fetch_augmented(self, indices: Sequence[int], augmentation: Augmentation, seeds: Sequence[int]) -> Tensor:
        augment = transform(augmentation, self.size_px)
        prepare = self._as_is if augmentation.random_resized_crop else self._center
        return torch.stack(
            [seeded(augment, prepare(self._decode(i)), seed) for i, seed in zip(indices, seeds, strict=True)]
        )

    def _decode(self, index: int) -> Image.Image:
        path = self.paths[index]
        try:
            with Image.open(path) as image:
                return _of_8_bits(image).convert("L" if self.channels == 1 else "RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
            raise unreadable(path, problem) from None

    def _center(self, image: Image.Image) -> Tensor:
        # scaled by pillow, not as a tensor: a service that has pillow and no torch gets the same pixels
        resized = tv.resize(image, [round(self.size_px * RESIZE_RATIO)])
        center: Tensor = tv.pil_to_tensor(tv.center_crop(resized, [self.size_px, self.size_px]))
        return center

    def _as_is(self, image: Image.Image) -> Tensor:
        pixels: Tensor = tv.pil_to_tensor(image)
        return pixels


def _of_8_bits(image: Image.Image) -> Image.Image:
    """PIL would cut grey values of 16 bits off at 255, so that most of the image is white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).clip(0, 0xFFFF) >> 8).astype(np.uint8))


def unreadable(path: Path, problem: Exception) -> BadData:
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


def seeded(augment: Callable[[Tensor], Tensor], image: Tensor, seed: int) -> Tensor:
    """Apply `augment` with randomness that depends on `seed` alone; torchvision draws from torch's global state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return augment(image)
