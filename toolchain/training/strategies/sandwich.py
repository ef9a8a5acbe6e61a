"""The sandwich rule with in-place distillation (Yu and Huang, ICCV 2019; Yu et al., BigNAS, ECCV 2020).

Each step trains the largest path on the labels, and the smallest and two sampled paths on the class probabilities that
the largest predicts for the same images. The extremes bound what all other paths can reach, so they are trained in
every step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from toolchain.costs.counters import default_cost
from toolchain.counting.feasible import cheapest_of, most_expensive_of
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.strategies.core import Draw, Path

SAMPLED = 2  # paths besides the extremes, as in both papers
LARGEST = 0  # its number in a step


@dataclass(frozen=True)
class Sandwich:
    """`sandwich`: the largest path, the smallest, and two of the sampler."""

    largest: Architecture
    smallest: Architecture
    draw: Draw
    paths_per_step: int = 2 + SAMPLED

    def paths(self, rng: Random) -> Sequence[Path]:
        students = (self.smallest, *(self.draw(rng) for _ in range(SAMPLED)))
        return (Path(self.largest), *(Path(arch, teacher=LARGEST) for arch in students))


def extremes(space: SearchSpace) -> tuple[Architecture, Architecture]:
    """The architectures with the most and the least MACs (BitOps if the space has bit widths); of equals the first."""
    cost = default_cost(space)
    return most_expensive_of(space, cost), cheapest_of(space, cost)
