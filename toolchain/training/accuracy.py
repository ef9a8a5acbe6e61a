"""Top-1 accuracy on fixed images, and the images for BN recalibration."""

from collections.abc import Iterable, Iterator
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolchain.parallel.collectives import gather_objects
from toolchain.parallel.ranks import rank, world
from toolchain.training.batches import Batch
from toolchain.training.data import Data, Preprocessing
from toolchain.training.images import Images


def fixed_batches(images: Images, indices: tuple[int, ...], batch: int) -> Iterator[Batch]:
    """Images preprocessed for evaluation, always in the same batches."""
    for start in range(0, len(indices), batch):
        chosen = list(indices[start : start + batch])
        yield images.fetch(chosen), images.labels[chosen]


def recalibration_indices(data: Data, images: int, batch: int, seed: int) -> tuple[int, ...]:
    """A random subset of the training images, without the hold-out, for BN recalibration.

    Complete batches only, if there is one: every batch has the same weight in the mean of the statistics, so the images
    of a small last batch would count too much.
    """
    count = min(images, len(data.fit))
    return tuple(Random(seed).sample(data.fit, count // batch * batch or count))


def recalibration_batches(data: Data, images: int, batch: int, seed: int, spread: bool = False) -> Iterator[Tensor]:
    """The images of `recalibration_indices`: uint8 (N, C, S, S); with `spread`, this process's share."""
    drawn = recalibration_indices(data, images, batch, seed)
    if spread:
        drawn = batches_of_rank(drawn, batch)
    return (pixels for pixels, _ in fixed_batches(data.train, drawn, batch))


def batches_of_rank(indices: tuple[int, ...], batch: int) -> tuple[int, ...]:
    """The part of `indices` in the batches that this process computes."""
    starts = range(0, len(indices), batch)[rank() :: world()]
    return tuple(index for start in starts for index in indices[start : start + batch])


def top1(net: nn.Module, batches: Iterable[Batch], preprocessing: Preprocessing) -> float:
    """The share of images whose highest logit is their label's, 0 to 1."""
    correct, images = count_correct(net, batches, preprocessing)
    return correct / images


def accuracy_over_ranks(
    net: nn.Module, images: Images, indices: tuple[int, ...], batch: int, preprocessing: Preprocessing
) -> float:
    """`top1` on batches shared by all processes; every process gets the accuracy on all images."""
    flags = flags_over_ranks(net, images, indices, batch, preprocessing)
    return int(flags.sum()) / len(flags)


@torch.no_grad()
def count_correct(net: nn.Module, batches: Iterable[Batch], preprocessing: Preprocessing) -> tuple[int, int]:
    """The number of images whose highest logit is their label's, and the number of images."""
    net.eval()
    device = next(net.parameters()).device
    correct = images = 0
    for pixels, labels in batches:
        logits = net(preprocessing(pixels.to(device)))
        correct += int((logits.argmax(1).cpu() == labels).sum())
        images += len(labels)
    return correct, images


@torch.no_grad()
def flags_over_ranks(
    net: nn.Module, images: Images, indices: tuple[int, ...], batch: int, preprocessing: Preprocessing
) -> NDArray[np.bool_]:
    """Whether each image is classified correctly, (N,), computed by all processes together."""
    net.eval()
    device = next(net.parameters()).device
    places = batches_of_rank(tuple(range(len(indices))), batch)
    mine = tuple(indices[place] for place in places)
    parts = [
        (net(preprocessing(pixels.to(device))).argmax(1).cpu() == labels).numpy()
        for pixels, labels in fixed_batches(images, mine, batch)
    ]
    flags = np.zeros(len(indices), dtype=np.bool_)
    for chosen, correct in gather_objects((places, parts)):
        flags[list(chosen)] = np.concatenate(correct) if correct else []
    return flags
