"""Gumbel softmax over all choices (FBNet: Wu et al., CVPR 2019; SNAS: Xie et al., ICLR 2019).

Each step draws the weights of the choices from a Gumbel softmax, whose temperature falls, so that the mixtures approach
single paths. The loss of the architecture parameters is FBNet's: cross-entropy x a x log(cost) ** b, with the cost of
the same mixture (paper Sec. 3.4 writes it out).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from toolchain.nets.supernet import Mixture
from toolchain.training.rivals.core import Forward, Logits, Moment, weighted
from toolchain.training.rivals.soft_cost import SoftCost

TINY = 1e-10  # keeps the logarithms finite


@dataclass(frozen=True)
class Gumbel:
    """`gumbel`: each block computes the sum of all its choices, weighted by a Gumbel softmax.

    Args:
        first, last: temperature at the start and at the end; it falls exponentially.
        cost: None for no cost term.
        weight, power: a and b of the cost term.
    """

    keys: Sequence[Sequence[str]]
    first: float
    last: float
    cost: SoftCost | None
    weight: float
    power: float
    learns: bool = True

    @property
    def choices_per_step(self) -> int:
        return max(map(len, self.keys))

    def temperature(self, progress: float) -> float:
        """The temperature when this share of the training is done."""
        return float(self.first * (self.last / self.first) ** progress)

    def mixture(self, logits: Logits, moment: Moment) -> Mixture:
        return weighted(self.keys, [row.detach() for row in self.weights(logits, moment)])

    def loss(self, logits: Logits, forward: Forward, labels: Tensor, moment: Moment) -> Tensor:
        weights = self.weights(logits, moment)
        loss = F.cross_entropy(forward(weighted(self.keys, weights)), labels)
        if self.cost is None:
            return loss
        return loss * self.weight * self.cost.expected(weights).log() ** self.power

    def weights(self, logits: Logits, moment: Moment) -> list[Tensor]:
        """The weights of the choices of each block (choices,), which sum to 1."""
        temperature = self.temperature(moment.progress)
        return [((row + _noise(row, moment.generator)) / temperature).softmax(0) for row in logits]


def _noise(row: Tensor, generator: torch.Generator) -> Tensor:
    """Gumbel noise of the shape of `row`."""
    uniform = torch.rand(row.shape, generator=generator).to(row.device)
    return -((uniform + TINY).log().neg() + TINY).log()
