"""Path dropout (Bender et al., "Understanding and simplifying one-shot architecture search", ICML 2018).

A step trains all choices of each block together, of which each is dropped at random. The rate rises linearly, so that
the weights get used to missing choices. There are no architecture parameters: a search selects the architecture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toolchain.nets.supernet import Mixture
from toolchain.training.rivals.core import Forward, Logits, Moment


@dataclass(frozen=True)
class PathDropout:
    """`path-dropout`: the mean of the choices that are kept. The mean has the scale of a single path, which a search
    extracts; a sum would not.

    Args:
        keys: of the choices of each block.
        rate: at the end of the training, the probability that all k choices of a block are dropped; each is dropped
            with its k-th root. A block that loses all of them keeps one.
    """

    keys: Sequence[Sequence[str]]
    rate: float
    learns: bool = False

    @property
    def choices_per_step(self) -> int:
        return max(map(len, self.keys))

    def drop_probability(self, progress: float, choices: int) -> float:
        """The probability that a choice of a block with so many choices is dropped."""
        return float((self.rate * progress) ** (1 / choices))

    def mixture(self, logits: Logits, moment: Moment) -> Mixture:
        return [self._kept(names, moment) for names in self.keys]

    def loss(self, logits: Logits, forward: Forward, labels: Tensor, moment: Moment) -> Tensor:
        raise AssertionError("path dropout has no architecture parameters")

    def _kept(self, names: Sequence[str], moment: Moment) -> dict[str, Tensor]:
        draws = torch.rand(len(names), generator=moment.generator)
        kept = draws >= self.drop_probability(moment.progress, len(names))
        if not kept.any():
            kept[int(torch.randint(len(names), (1,), generator=moment.generator))] = True
        weight = torch.tensor(1 / int(kept.sum()))
        return {name: weight for name, keep in zip(names, kept.tolist(), strict=True) if keep}
