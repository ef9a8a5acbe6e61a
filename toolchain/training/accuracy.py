"""Fixed sets of images: top-1 accuracy on them, and those that BN statistics come from."""

from collections.abc import Iterable, Iterator
from random import Random

import torch
from torch import Tensor, nn

from toolchain.parallel.collectives import sum_over_ranks
from toolchain.parallel.ranks import rank, world
from toolchain.training.data import Data, Preprocessing
from toolchain.training.images import Images

Batch = tuple[Tensor, Tensor]  # uint8 (N, C, S, S), labels int64 (N,)


def fixed_batches(images: Images, indices: tuple[int, ...], batch: int) -> Iterator[Batch]:
    """Some images of a set as they are evaluated, always the same ones in the same batches."""
    for start in range(0, len(indices), batch):
        chosen = list(indices[start : start + batch])
        yield images.fetch(chosen), images.labels[chosen]


def recalibration_indices(data: Data, images: int, batch: int, seed: int) -> tuple[int, ...]:
    """A random subset of the training images, without the hold-out, for BN recalibration.

    Whole batches only, if there is one: in the mean of the batches' statistics each counts the same, and a last
    batch of a few images would weigh each of them many times over.
    """
    count = min(images, len(data.fit))
    return tuple(Random(seed).sample(data.fit, count // batch * batch or count))


def recalibration_batches(data: Data, images: int, batch: int, seed: int, spread: bool = False) -> Iterator[Tensor]:
    """The images of `recalibration_indices`: uint8 (N, C, S, S); this process's share of them where `spread`."""
    drawn = recalibration_indices(data, images, batch, seed)
    if spread:
        drawn = batches_of_rank(drawn, batch)
    return (pixels for pixels, _ in fixed_batches(data.train, drawn, batch))


def batches_of_rank(indices: tuple[int, ...], batch: int) -> tuple[int, ...]:
    """Of the batches that `indices` make, those that this process computes, one after the other."""
    starts = range(0, len(indices), batch)[rank() :: world()]
    return tuple(index for start in starts for index in indices[start : start + batch])


def top1(net: nn.Module, batches: Iterable[Batch], preprocessing: Preprocessing) -> float:
    """The share of images whose highest logit is their label's, 0 to 1."""
    right, images = right_of(net, batches, preprocessing)
    return right / images


def accuracy_over_ranks(
    net: nn.Module, images: Images, indices: tuple[int, ...], batch: int, preprocessing: Preprocessing
) -> float:
    """`top1` of fixed batches that several processes share; each of them gets the accuracy on all."""
    mine = batches_of_rank(indices, batch)
    found = torch.tensor(right_of(net, fixed_batches(images, mine, batch), preprocessing))
    counts = found.to(next(net.parameters()).device)
    sum_over_ranks([counts])
    right, seen = counts.tolist()
    return int(right) / int(seen)


@torch.no_grad()
def right_of(net: nn.Module, batches: Iterable[Batch], preprocessing: Preprocessing) -> tuple[int, int]:
    """How many images have their highest logit at their label, and how many there are."""
    net.eval()
    device = next(net.parameters()).device
    right = images = 0
    for pixels, labels in batches:
        logits = net(preprocessing(pixels.to(device)))
        right += int((logits.argmax(1).cpu() == labels).sum())
        images += len(labels)
    return right, images
