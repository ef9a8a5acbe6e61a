"""The inherited accuracy of candidates without BN recalibration, to show the effect of recalibration.

The supernets here keep no running statistics, so those of a supernet that does are imitated: for each layer the mean of
its batch statistics over many random paths, since all paths would update the same layer. They are computed on the
recalibration images with the final weights, which makes them slightly better than real running statistics. A channel
gets the mean over the paths that have it; without any, it keeps the initial mean 0 and variance 1.
"""

from collections.abc import Iterable, Iterator, Sequence
from random import Random

import torch
from torch import Tensor, nn

from toolchain.nets.supernet import Supernet
from toolchain.search.trie import Node, Trie
from toolchain.spaces.core import Architecture, SearchSpace

PATHS = 50  # each processes all batches

Place = tuple[int, str, str]  # position of the block, op, name of the layer in it; the position of stem and head is -1


class SharedStatistics:
    """BN statistics that all paths of a supernet share, as running statistics would be."""

    def __init__(self, supernet: Supernet, inputs: Iterable[Tensor], seed: int, paths: int = PATHS) -> None:
        """Compute them over network inputs (N, C, S, S), each batch through `paths` random paths."""
        self._space = supernet.space
        self._sums: dict[Place, Tensor] = {}  # (2, channels): sums of mean and variance
        self._counts: dict[Place, Tensor] = {}  # (channels,): paths that have the channel
        rng = Random(seed)
        drawn = sorted({self._space.draw(rng) for _ in range(paths)}, key=str)
        trie = Trie(supernet, dict(enumerate(drawn)))
        trie.begin()
        for x in inputs:
            for _ in trie.run(x):
                pass
        for node, (position, op) in places(trie, self._space):
            weight = sum(1 for below in node.walk() if below.leaf is not None)
            for name, norm in _norms(node.module):
                self._add((position, op, name), torch.stack(_statistics(norm)), weight)

    def apply(self, trie: Trie) -> None:
        """Set them in all candidates of `trie`."""
        trie.begin()
        for node, (position, op) in places(trie, self._space):
            for name, norm in _norms(node.module):
                place = (position, op, name)
                if place not in self._sums:
                    continue  # no path used this layer
                statistics = self._sums[place] / self._counts[place]
                for own, mean in zip(_statistics(norm), statistics, strict=True):
                    own[: len(mean)] = mean[: len(own)]
        trie.end()

    def _add(self, place: Place, statistics: Tensor, weight: int) -> None:
        channels = statistics.shape[1]
        sums = self._sums.get(place, statistics.new_zeros(2, 0))
        counts = self._counts.get(place, statistics.new_zeros(0))
        more = max(0, channels - len(counts))
        sums, counts = nn.functional.pad(sums, (0, more)), nn.functional.pad(counts, (0, more))
        sums[:, :channels] += statistics * weight
        counts[:channels] += weight
        self._sums[place], self._counts[place] = sums, counts


def places(trie: Trie, space: SearchSpace) -> Iterator[tuple[Node, tuple[int, str]]]:
    """Each node with the position and the op of its block."""
    pending = [(trie.root, -1, "stem")]
    while pending:
        node, position, op = pending.pop()
        yield node, (position, op)
        for key, child in node.children.items():
            if child.leaf is not None:
                pending.append((child, -1, "head"))
            else:
                choices = space.blocks[position + 1].choices
                pending.append((child, position + 1, next(c.op for c in choices if c.key == key)))


def accuracies(
    supernet: Supernet,
    archs: Sequence[Architecture],
    shared: SharedStatistics,
    holdout: Iterable[tuple[Tensor, Tensor]],
) -> list[float]:
    """Top-1 accuracy of each of `archs` with `shared`, on network inputs and their labels."""
    trie = Trie(supernet, dict(enumerate(archs)))
    shared.apply(trie)
    correct, images = [0] * len(archs), 0
    for x, labels in holdout:
        images += len(labels)
        for number, logits in trie.run(x):
            correct[number] += int((logits.argmax(1) == labels).sum())
    return [count / images for count in correct]


def _norms(module: nn.Module) -> Iterator[tuple[str, nn.BatchNorm2d]]:
    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.BatchNorm2d))


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var
