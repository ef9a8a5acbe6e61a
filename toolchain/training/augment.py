"""Random augmentation of a batch of images on its device.

The distributions are torchvision's (RandomResizedCrop, RandomCrop, ColorJitter, RandomHorizontalFlip). The random
numbers of an image are a hash of its seed and their position, as in a counter-based generator: an image does not
depend on the other images of its batch, and CPU and GPU draw the same numbers.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from toolchain.training.auto_augment import auto_augmented
from toolchain.training.recipe import Augmentation

GOLDEN, FIRST, SECOND = (k - 2**64 for k in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
SCALE, LOG_RATIO, TRIES = (0.08, 1.0), (math.log(3 / 4), math.log(4 / 3)), 10  # RandomResizedCrop's own numbers
GRAY = (0.2989, 0.587, 0.114)  # torchvision's weights of red, green, blue

CROP_DRAWS = 2 * TRIES + 2
JITTER_DRAWS = 4  # a factor each for brightness, contrast, saturation, and their order
ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def augment(pixels: Tensor, augmentation: Augmentation, seeds: Sequence[int]) -> Tensor:
    """Augment images uint8 (N, C, S, S), each with its seed."""
    if augmentation.nothing:
        return pixels
    u = draws(torch.tensor(seeds, device=pixels.device), CROP_DRAWS + JITTER_DRAWS + 1)
    crop, jitter, flip = torch.split(u, [CROP_DRAWS, JITTER_DRAWS, 1], dim=1)
    if augmentation.random_resized_crop:
        pixels = _rounded(resized_crops(pixels, *crop_boxes(crop, pixels.shape[-1])))
    elif augmentation.crop_padding:
        pixels = shifted(pixels, augmentation.crop_padding, crop[:, :2])
    if augmentation.color_jitter:
        pixels = _rounded(jittered(pixels.float(), augmentation.color_jitter, jitter))
    if augmentation.flip:
        pixels = torch.where(flip.view(-1, 1, 1, 1) < 0.5, pixels.flip(3), pixels)
    if augmentation.auto_augment != "none":
        pixels = auto_augmented(pixels, augmentation.auto_augment, seeds)
    return pixels


def draws(seeds: Tensor, count: int) -> Tensor:
    """Uniform numbers in [0, 1) from int64 seeds (N,): float32 (N, count). It is splitmix64, seeded with each."""
    v = seeds.unsqueeze(1) + GOLDEN * torch.arange(1, count + 1, device=seeds.device)  # int64 wraps round
    v = (v ^ _shifted_right(v, 30)) * FIRST
    v = (v ^ _shifted_right(v, 27)) * SECOND
    v = v ^ _shifted_right(v, 31)
    return _shifted_right(v, 40).to(torch.float32) / 2**24  # the 24 bits that a float32 has room for


def crop_boxes(u: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """RandomResizedCrop's top, left, height, width, each int64 (N,), for square images, from `CROP_DRAWS` numbers each.

    The first of ten tries that fits into the image; if none fits, the whole image.
    """
    area = size * size * (SCALE[0] + (SCALE[1] - SCALE[0]) * u[:, :TRIES])
    ratio = torch.exp(LOG_RATIO[0] + (LOG_RATIO[1] - LOG_RATIO[0]) * u[:, TRIES : 2 * TRIES])
    widths = torch.cat(((area * ratio).sqrt().round(), torch.full_like(u[:, :1], size)), dim=1)
    heights = torch.cat(((area / ratio).sqrt().round(), torch.full_like(u[:, :1], size)), dim=1)
    fits = (widths >= 1) & (widths <= size) & (heights >= 1) & (heights <= size)
    first = fits.to(torch.uint8).argmax(1, keepdim=True)
    height, width = heights.gather(1, first).squeeze(1), widths.gather(1, first).squeeze(1)
    top = (u[:, 2 * TRIES] * (size - height + 1)).floor()
    left = (u[:, 2 * TRIES + 1] * (size - width + 1)).floor()
    return top.long(), left.long(), height.long(), width.long()


def resized_crops(pixels: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """A crop of each image, resized to the image's size with bilinear interpolation: float32 (N, C, S, S)."""
    size = pixels.shape[-1]
    x0, x1, fx = _positions(left, width, size)
    y0, y1, fy = _positions(top, height, size)
    number = torch.arange(len(pixels), device=pixels.device).view(-1, 1, 1)
    rows = pixels.movedim(1, 3).float()  # (N, S, S, C)
    corners = [[rows[number, y.unsqueeze(2), x.unsqueeze(1)] for x in (x0, x1)] for y in (y0, y1)]
    fx, fy = fx[:, None, :, None], fy[:, :, None, None]
    upper, lower = (torch.lerp(one, other, fx.expand_as(one)) for one, other in corners)
    return torch.lerp(upper, lower, fy.expand_as(upper)).movedim(3, 1)


def shifted(pixels: Tensor, padding: int, u: Tensor) -> Tensor:
    """A random crop of each image, padded with `padding` pixels of zero."""
    size = pixels.shape[-1]
    padded = torch.nn.functional.pad(pixels, (padding,) * 4)
    y, x = ((u[:, axis : axis + 1] * (2 * padding + 1)).long() + torch.arange(size, device=u.device) for axis in (0, 1))
    number = torch.arange(len(pixels), device=u.device).view(-1, 1, 1)
    return padded.movedim(1, 3)[number, y.unsqueeze(2), x.unsqueeze(1)].movedim(3, 1)


def jittered(pixels: Tensor, strength: float, u: Tensor) -> Tensor:
    """ColorJitter of brightness, contrast and saturation, in a random order per image: float32, 0 to 255."""
    low = max(0.0, 1 - strength)
    factors = low + (1 + strength - low) * u[:, :3]
    order = torch.tensor(ORDERS, device=u.device)[(u[:, 3] * len(ORDERS)).long()]
    for turn in range(3):
        op = order[:, turn]
        factor = factors.gather(1, op.unsqueeze(1)).view(-1, 1, 1, 1)
        gray = _gray(pixels)
        # brightness blends with black, contrast with the mean gray, saturation with each pixel's gray
        blended_with = torch.where(_of(op, 0), 0.0, torch.where(_of(op, 1), gray.mean((2, 3), keepdim=True), gray))
        pixels = (blended_with + (pixels - blended_with) * factor).clamp(0, 255)
    return pixels


def _of(op: Tensor, which: int) -> Tensor:
    return (op == which).view(-1, 1, 1, 1)


def _gray(pixels: Tensor) -> Tensor:
    if pixels.shape[1] == 1:
        return pixels
    weights = torch.tensor(GRAY, device=pixels.device).view(1, 3, 1, 1)
    return (pixels * weights).sum(1, keepdim=True)


def _positions(start: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Source positions of `size` resized pixels: lower and upper neighbor (N, size), and the weight of the upper."""
    length = length.unsqueeze(1)
    center = (torch.arange(size, device=start.device) + 0.5) * (length / size) - 0.5
    center = torch.minimum(center.clamp(min=0), (length - 1).float())
    low = center.floor().long()
    return (
        start.unsqueeze(1) + low,
        start.unsqueeze(1) + torch.minimum(low + 1, length - 1),
        center - low,
    )


def _rounded(pixels: Tensor) -> Tensor:
    return pixels.round().clamp(0, 255).to(torch.uint8)


def _shifted_right(v: Tensor, bits: int) -> Tensor:
    """Logical shift right of int64."""
    return (v >> bits) & ((1 << (64 - bits)) - 1)
