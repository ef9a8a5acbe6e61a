"""TrivialAugment and RandAugment: torchvision's random operations on images."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms import v2

from toolchain.training.recipe import AutoAugment


def policy(name: AutoAugment) -> Callable[[Tensor], Tensor]:
    """The policy `name` for one image uint8 (C, H, W); it draws from torch's global state."""
    policies = {"trivialaugment": v2.TrivialAugmentWide, "randaugment": v2.RandAugment, "none": v2.Identity}
    chosen: Callable[[Tensor], Tensor] = policies[name]()
    return chosen


def auto_augmented(pixels: Tensor, name: AutoAugment, seeds: Sequence[int]) -> Tensor:
    """Each of the images uint8 (N, C, S, S) by its own operations, which its seed draws."""
    augment_image = policy(name)
    images = []
    with torch.random.fork_rng(devices=[]):
        for image, seed in zip(pixels, seeds, strict=True):
            torch.default_generator.manual_seed(seed)
            images.append(augment_image(image))
    return torch.stack(images)
