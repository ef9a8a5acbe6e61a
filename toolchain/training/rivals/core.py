"""The interface of rivals: how a step mixes the choices of each block, and how architecture parameters learn.

Architecture parameters are one vector for each block, the logits of its choices; their softmax is the distribution that
a rival ends with. A mixture gives each block the weights of its choices; a choice that is not named is not computed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from toolchain.nets.supernet import Mixture
from toolchain.spaces.core import SearchSpace

Logits = Sequence[Tensor]  # of each block: (choices,)
Forward = Callable[[Mixture], Tensor]  # the logits (N, classes) of the images of a step


@dataclass(frozen=True)
class Moment:
    """When a step takes place, and its random numbers, which are the same in all processes.

    Args:
        progress: the share of the training that is done, 0 to 1.
    """

    progress: float
    generator: torch.Generator


class Rival(Protocol):
    """A way to train a supernet that the paper compares with."""

    @property
    def learns(self) -> bool:
        """Whether it has architecture parameters, and so ends in an architecture."""

    @property
    def choices_per_step(self) -> int:
        """The choices of the largest block that an update keeps in memory."""

    def mixture(self, logits: Logits, moment: Moment) -> Mixture:
        """What an update of the weights trains. Its gradients do not reach the architecture parameters."""

    def loss(self, logits: Logits, forward: Forward, labels: Tensor, moment: Moment) -> Tensor:
        """What an update of the architecture parameters minimizes, a scalar.

        Args:
            forward: the network on the images of the update.
            labels: theirs, int64 (N,).
        """


def keys_of(space: SearchSpace) -> tuple[tuple[str, ...], ...]:
    """The keys of the choices of each block, in the order of the logits."""
    return tuple(tuple(choice.key for choice in block.choices) for block in space.blocks)


def weighted(keys: Sequence[Sequence[str]], weights: Sequence[Tensor]) -> Mixture:
    """All choices of each block with their weights (choices,)."""
    return [dict(zip(names, row.unbind(), strict=True)) for names, row in zip(keys, weights, strict=True)]


def drawn(logits: Logits, generator: torch.Generator) -> list[int]:
    """The number of one choice of each block, drawn from the softmax of its logits."""
    probabilities = [row.detach().cpu().softmax(0) for row in logits]
    return [int(torch.multinomial(row, 1, generator=generator)) for row in probabilities]


def single_path(keys: Sequence[Sequence[str]], numbers: Sequence[int]) -> Mixture:
    """One choice of each block."""
    one = torch.ones(())
    return [{names[number]: one} for names, number in zip(keys, numbers, strict=True)]


def probabilities(keys: Sequence[Sequence[str]], logits: Logits) -> tuple[Mapping[str, float], ...]:
    """The distribution over the choices of each block."""
    rows = (row.detach().double().cpu().softmax(0).tolist() for row in logits)
    return tuple(dict(zip(names, row, strict=True)) for names, row in zip(keys, rows, strict=True))
