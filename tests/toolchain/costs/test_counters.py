"""A layer whose MACs are unknown is an error, never 0."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolchain.costs.counters import count_bitops, count_macs
from toolchain.errors import UnknownSpace


class FunctionalConv(nn.Module):
    """A convolution without an nn.Conv2d."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight)


@pytest.mark.parametrize("kind", ["FunctionalConv", "ConvTranspose2d"])
@pytest.mark.parametrize("count", [count_macs, count_bitops])
def test_a_layer_with_unknown_macs_is_refused(kind: str, count: object) -> None:
    with torch.device("meta"):
        net = nn.Sequential(FunctionalConv() if kind == "FunctionalConv" else nn.ConvTranspose2d(3, 4, 3))
    assert callable(count)
    with pytest.raises(UnknownSpace, match=f"the MACs of {kind} layers cannot be counted"):
        count(net, (3, 8, 8))


def test_normalization_has_no_macs() -> None:
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.PReLU())
    assert count_macs(net, (3, 8, 8)) == 4 * 3 * 8 * 8
