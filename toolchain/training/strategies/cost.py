"""What a step of a strategy costs, so that strategies can be compared at equal cost."""

from random import Random
from statistics import mean

from toolchain.costs.counters import macs_cost
from toolchain.spaces.core import SearchSpace
from toolchain.training.strategies.core import TrainingStrategy

STEPS = 200  # that the mean is taken over


def macs_per_step(strategy: TrainingStrategy, space: SearchSpace, seed: int = 0) -> float:
    """The expected MACs of the forward passes of one step, for each image."""
    cost = macs_cost(space)
    return mean(
        sum(cost.cost(path.architecture) for path in strategy.paths(Random(f"{seed}:{step}"))) for step in range(STEPS)
    )


def equal_cost_epochs(
    epochs: float, reference: TrainingStrategy, strategy: TrainingStrategy, space: SearchSpace
) -> float:
    """The epochs that `strategy` trains at the cost of `epochs` epochs of `reference`, by MACs."""
    return epochs * macs_per_step(reference, space) / macs_per_step(strategy, space)
