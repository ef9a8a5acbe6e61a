"""DARTS (Liu, Simonyan and Yang, ICLR 2019): a softmax-weighted sum of all choices, first-order.

Updates of the weights and of the architecture parameters alternate on two parts of the training images. It has no term
for the cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from toolchain.nets.supernet import Mixture
from toolchain.training.rivals.core import Forward, Logits, Moment, weighted


@dataclass(frozen=True)
class Darts:
    """`darts`: each block computes the sum of all its choices, weighted by the softmax of its logits."""

    keys: Sequence[Sequence[str]]
    learns: bool = True

    @property
    def choices_per_step(self) -> int:
        return max(map(len, self.keys))

    def mixture(self, logits: Logits, moment: Moment) -> Mixture:
        return weighted(self.keys, [row.detach().softmax(0) for row in logits])

    def loss(self, logits: Logits, forward: Forward, labels: Tensor, moment: Moment) -> Tensor:
        outputs = forward(weighted(self.keys, [row.softmax(0) for row in logits]))
        return F.cross_entropy(outputs, labels)
