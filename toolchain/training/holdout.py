"""The hold-out of a search: training images of each class on which candidates are scored (paper Sec. 4 "Dataset")."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from toolchain.errors import BadData

AUTO, AUTO_SHARE = "auto", 0.1
# The caps of "auto": the paper's 50 images of a class, or a share of 3,000 images of all classes.
MIN_CAP, CAP_OF_ALL = 50, 3000
TOO_FEW_SHOWN = 8  # classes in a message

HoldOut = int | str  # a number of images of each class, a share as "10%", or "auto"


def split_holdout(
    labels: Tensor, per_class: HoldOut, seed: int, name: str, classes: Sequence[str] = ()
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indices to train on and indices held out of each class, drawn by `seed`.

    Args:
        per_class: a number of images, exact; a share such as "10%", rounded up; or "auto", 10 % and at most
            `MIN_CAP` images, or what `CAP_OF_ALL` images of all classes leave for each.

    Raises:
        BadData: a class has no image left to train on.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    shuffled = labels[order]
    members = {label: order[shuffled == label].tolist() for label in sorted(set(labels.tolist()))}
    counts = {label: _count(per_class, len(images), len(members)) for label, images in members.items()}
    _require_rest({label: len(images) for label, images in members.items()}, counts, name, classes)
    held = sorted(index for label, images in members.items() for index in images[: counts[label]])
    held_set = set(held)
    return tuple(i for i in range(len(labels)) if i not in held_set), tuple(held)


def _count(per_class: HoldOut, images: int, classes: int) -> int:
    """The images of one class that are held out."""
    if isinstance(per_class, int):
        return per_class
    if per_class == AUTO:
        return min(math.ceil(AUTO_SHARE * images), max(MIN_CAP, CAP_OF_ALL // classes))
    return math.ceil(float(per_class.rstrip("%")) / 100 * images)


def _require_rest(sizes: Mapping[int, int], counts: Mapping[int, int], name: str, classes: Sequence[str]) -> None:
    small = [label for label in sizes if sizes[label] <= counts[label]]
    if not small:
        return
    shown = [f"{_name(label, classes)} ({sizes[label]})" for label in small[:TOO_FEW_SHOWN]]
    more = f" and {len(small) - len(shown)} more classes" if len(small) > len(shown) else ""
    first = small[0]
    held = f"and {counts[first]} of each class are held out for the search"
    if len(small) == 1:
        images = f"{sizes[first]} training image{'s'[: sizes[first] != 1]}"
        raise BadData(f"{name}: the class {_name(first, classes)} has {images}, {held}. {_remedy(sizes)}")
    raise BadData(
        f"{name}: {len(small)} classes have too few training images, {held}: {', '.join(shown)}{more}. {_remedy(sizes)}"
    )


def _remedy(sizes: Mapping[int, int]) -> str:
    if min(sizes.values()) < 2:
        return "Each class needs two images or more: add images to that class"
    return "Write --holdout-per-class 10%, a share of each class"


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label] if classes else str(label)
