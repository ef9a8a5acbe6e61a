"""Two paths with binary gates (ProxylessNAS: Cai, Zhu and Han, ICLR 2019).

The weights are trained on one path, drawn from the distribution. An update of the architecture parameters draws two
choices of each block and opens the gate of one of them. The gradient of the gates stands for that of the probabilities
of the two (straight-through), so that only two paths are in memory. The loss has a term for the expected cost.

The paper also rescales the two parameters of an update, so that the other probabilities do not change; left out here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from toolchain.nets.supernet import Mixture
from toolchain.training.rivals.core import Forward, Logits, Moment, drawn, single_path
from toolchain.training.rivals.soft_cost import SoftCost


@dataclass(frozen=True)
class TwoPath:
    """`two-path`: one sampled path for the weights, two for the architecture parameters.

    Args:
        cost: None for no cost term.
        weight: of the expected cost, relative to that of the uniform distribution.
    """

    keys: Sequence[Sequence[str]]
    cost: SoftCost | None
    weight: float
    learns: bool = True
    choices_per_step: int = 2

    def mixture(self, logits: Logits, moment: Moment) -> Mixture:
        return single_path(self.keys, drawn(logits, moment.generator))

    def loss(self, logits: Logits, forward: Forward, labels: Tensor, moment: Moment) -> Tensor:
        gates = [_gates(names, row, moment.generator) for names, row in zip(self.keys, logits, strict=True)]
        loss = F.cross_entropy(forward(gates), labels)
        if self.cost is None:
            return loss
        return loss + self.weight * self.cost.relative([row.softmax(0) for row in logits])


def _gates(names: Sequence[str], row: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """The gates of two choices of a block, 1 for one of them and 0 for the other; of its only choice, 1."""
    if len(names) == 1:
        return {names[0]: torch.ones((), device=row.device)}
    two = torch.multinomial(row.detach().cpu().softmax(0), 2, generator=generator)
    pair = row[two.to(row.device)].softmax(0)
    opened = int(torch.multinomial(pair.detach().cpu(), 1, generator=generator))
    gates = F.one_hot(torch.tensor(opened), 2).to(row.device) + (pair - pair.detach())
    return dict(zip((names[number] for number in two.tolist()), gates.unbind(), strict=True))
