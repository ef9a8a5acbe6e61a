"""The expected cost of a distribution over choices, for soft terms in the loss.

Costs are tables, so the cost of a mixture is the same convex combination of the table's numbers for each block.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toolchain.costs.core import TableCost

US_PER_MS = 1000


@dataclass(frozen=True)
class SoftCost:
    """A cost as tensors: MACs, or latency in microseconds (as in FBNet, so that its logarithm is positive).

    Args:
        fixed: of stem and head.
        rows: of each block, the cost of its choices (choices,).
    """

    fixed: float
    rows: tuple[Tensor, ...]

    @classmethod
    def of(cls, cost: TableCost, keys: Sequence[Sequence[str]], device: torch.device) -> "SoftCost":
        """`cost` on `device`, with the choices in the order of `keys`."""
        factor = US_PER_MS if cost.unit == "ms" else 1
        rows = tuple(
            torch.tensor([factor * row[key] for key in names], dtype=torch.float32, device=device)
            for row, names in zip(cost.rows, keys, strict=True)
        )
        return cls(factor * cost.fixed, rows)

    def expected(self, weights: Sequence[Tensor]) -> Tensor:
        """The cost of a mixture whose weights (choices,) sum to 1 in each block: a scalar."""
        parts = [(row * weight).sum() for row, weight in zip(self.rows, weights, strict=True)]
        return self.fixed + torch.stack(parts).sum()

    def relative(self, weights: Sequence[Tensor]) -> Tensor:
        """The expected cost relative to that of the uniform mixture, minus 1: 0 at the start of a training."""
        uniform = self.fixed + sum(float(row.mean()) for row in self.rows)
        return self.expected(weights) / uniform - 1
