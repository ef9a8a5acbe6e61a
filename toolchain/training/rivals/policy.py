"""Policy gradient (REINFORCE): ENAS (Pham et al., ICML 2018), BSN (Veniat and Denoyer, CVPR 2018).

The weights are trained on one path, drawn from the policy. An update of the architecture parameters draws two paths;
the reward of each is its accuracy on the images of the update, minus a penalty for its cost. Each is the baseline of
the other (Kool et al., 2019), which needs no state; ENAS has a moving average. The policy is independent for each
block: ENAS's recurrent controller is left out.
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
class Policy:
    """`policy`: one sampled path; architecture parameters by the rewards of two.

    Args:
        cost: None for no penalty.
        weight: of the cost relative to that of the uniform distribution.
    """

    keys: Sequence[Sequence[str]]
    cost: SoftCost | None
    weight: float
    learns: bool = True
    choices_per_step: int = 1

    def mixture(self, logits: Logits, moment: Moment) -> Mixture:
        return single_path(self.keys, drawn(logits, moment.generator))

    def loss(self, logits: Logits, forward: Forward, labels: Tensor, moment: Moment) -> Tensor:
        first, second = (drawn(logits, moment.generator) for _ in range(2))
        with torch.no_grad():
            advantage = self._reward(first, forward, labels) - self._reward(second, forward, labels)
        return -advantage * (_log_probability(logits, first) - _log_probability(logits, second)) / 2

    def _reward(self, path: Sequence[int], forward: Forward, labels: Tensor) -> Tensor:
        reward = (forward(single_path(self.keys, path)).argmax(1) == labels).float().mean()
        if self.cost is None:
            return reward
        pairs = zip(path, self.cost.rows, strict=True)
        chosen = [F.one_hot(torch.tensor(number), len(row)).to(row) for number, row in pairs]
        return reward - self.weight * self.cost.relative(chosen)


def _log_probability(logits: Logits, path: Sequence[int]) -> Tensor:
    """The log-probability of a path under the policy: a scalar."""
    return torch.stack([row.log_softmax(0)[number] for row, number in zip(logits, path, strict=True)]).sum()
