"""One path per step, as in the paper (Eq. 7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from toolchain.training.strategies.core import Draw, Path


@dataclass(frozen=True)
class SinglePath:
    """`spos`: each step trains one path of the sampler."""

    draw: Draw
    paths_per_step: int = 1

    def paths(self, rng: Random) -> Sequence[Path]:
        return (Path(self.draw(rng)),)
