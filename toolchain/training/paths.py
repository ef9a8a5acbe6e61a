"""Which path a step of supernet training takes: the prior over architectures of the paper's Sec. 3.2."""

from toolchain.costs.counters import default_cost
from toolchain.counting.levels import LEVELS, CostLevels
from toolchain.errors import BadConfig
from toolchain.spaces.core import SearchSpace
from toolchain.training.sampled_range import SampledRange
from toolchain.training.strategies.core import Draw


def path_sampler(name: str, space: SearchSpace, sampled: SampledRange | None = None) -> Draw:
    """The path sampler with this name.

    `constraint` is the paper's default, uniform constraint sampling: a level of cost is drawn uniformly, then a path
    uniformly at that level. This favors choices that are rare at some levels; `balanced` corrects it, so that each
    choice of a block is drawn equally often. `uniform` draws the choice of each block uniformly.

    Args:
        sampled: the range of the levels. Default: seven levels from the 1st to the 99th percentile of MACs (BitOps if
            the space has bit widths).

    Raises:
        BadConfig: no architecture lies in the range.
    """
    if name == "uniform":
        return space.draw
    sampled = sampled or SampledRange(default_cost(space), None, None, LEVELS)
    balanced = name == "balanced"
    try:
        return CostLevels.build(space, sampled.cost, sampled.levels, sampled.edges(), balanced).draw
    except ValueError as problem:
        raise BadConfig(f"{problem}. Give a wider range to sample, or fewer levels") from None
