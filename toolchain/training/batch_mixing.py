"""MixUp and CutMix: torchvision's mixtures of the images of a batch, with their labels."""

from collections.abc import Callable

from torch import Tensor
from torchvision.transforms import v2

from toolchain.training.recipe import Recipe

# Inputs (N, C, S, S), labels int64 (N,) -> mixed inputs, class probabilities (N, classes). Draws from torch's state.
Mixing = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def batch_mixing(recipe: Recipe, classes: int) -> Mixing | None:
    """The mixture of a recipe; with both, one of them is drawn for each batch. None if it has none."""
    transforms: list[Mixing] = []
    if recipe.mixup_alpha:
        transforms.append(v2.MixUp(alpha=recipe.mixup_alpha, num_classes=classes))
    if recipe.cutmix_alpha:
        transforms.append(v2.CutMix(alpha=recipe.cutmix_alpha, num_classes=classes))
    if len(transforms) < 2:
        return transforms[0] if transforms else None
    either: Mixing = v2.RandomChoice(transforms)
    return either
