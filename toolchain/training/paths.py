"""Which path a step of supernet training takes (paper Sec. 3.2, the prior over architectures)."""

from collections.abc import Callable
from random import Random

from toolchain.costs.counters import bitops_cost, macs_cost
from toolchain.counting.levels import CostLevels
from toolchain.spaces.core import Architecture, SearchSpace

Draw = Callable[[Random], Architecture]


def path_sampler(name: str, space: SearchSpace) -> Draw:
    """The sampler that a configuration names.

    `levels` is the paper's default, uniform constraint sampling: a level of cost uniformly (MACs; BitOps where
    the space has bit widths), then a path uniformly at that level. That favours choices that are rare among
    cheap or dear networks; `balanced` draws each choice of a block equally often all the same. `uniform` draws each
    block's choice uniformly.
    """
    if name == "uniform":
        return space.draw
    cost = bitops_cost(space) if space.quantized else macs_cost(space)
    return CostLevels.build(space, cost, balanced=name == "balanced").draw
