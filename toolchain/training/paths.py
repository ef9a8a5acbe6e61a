"""Which path a step of supernet training takes: the prior over architectures of the paper's Sec. 3.2."""

from collections.abc import Callable
from random import Random

from toolchain.costs.counters import bitops_cost, macs_cost
from toolchain.counting.levels import CostLevels
from toolchain.spaces.core import Architecture, SearchSpace

Draw = Callable[[Random], Architecture]


def path_sampler(name: str, space: SearchSpace) -> Draw:
    """The path sampler with this name.

    `constraint` is the paper's default, uniform constraint sampling: a level of cost is drawn uniformly (MACs; BitOps
    if the space has bit widths), then a path uniformly at that level. This favors choices that are rare at some levels;
    `balanced` corrects it, so that each choice of a block is drawn equally often. `uniform` draws the choice of each
    block uniformly.
    """
    if name == "uniform":
        return space.draw
    cost = bitops_cost(space) if space.quantized else macs_cost(space)
    return CostLevels.build(space, cost, balanced=name == "balanced").draw
