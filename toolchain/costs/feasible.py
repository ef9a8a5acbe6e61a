"""Which architectures fit: the least reachable cost, and draws that always fit.

Costs are additive, so what the blocks from position i on can still reach is a small set of sums. We keep the
sums that no other sum beats in every cost (the front). A prefix can be completed within the limits exactly if
it fits together with some sum of the front behind it. So a draw never runs into a dead end, and an impossible
budget is known before anything is computed on it.
"""

from random import Random

import numpy as np
from numpy.typing import NDArray

from toolchain.costs.core import Budget
from toolchain.errors import BudgetInfeasible
from toolchain.spaces.core import Architecture, SearchSpace

Sums = NDArray[np.int64]

TICKS_PER_UNIT = {"ms": 100_000}  # latencies as whole 10 ns, rounded up; counts are whole already
UNIFORM_TRIES = 64


class FeasibleSampler:
    """Draws architectures of `space` that fit `budget`.

    A draw is uniform over the feasible architectures where they are at least a few percent of the space. Where
    they are rarer, each block is drawn uniformly among the choices that can still be completed, which always
    fits but favours some architectures over others.

    Raises:
        BudgetInfeasible: nothing fits; the message names the least reachable value.
    """

    def __init__(self, space: SearchSpace, budget: Budget) -> None:
        self._space = space
        self._budget = budget
        ticks = [TICKS_PER_UNIT.get(limit.cost.unit, 1) for limit in budget.limits]
        fixed = [np.ceil(limit.cost.fixed * t) for limit, t in zip(budget.limits, ticks, strict=True)]
        most = [np.floor(limit.most * t) for limit, t in zip(budget.limits, ticks, strict=True)]
        self._room: Sums = (np.array(most) - np.array(fixed)).astype(np.int64)
        self._rows: list[Sums] = [
            np.array(
                [
                    [np.ceil(limit.cost.rows[i][choice.key] * t) for limit, t in zip(budget.limits, ticks, strict=True)]
                    for choice in block.choices
                ],
                dtype=np.int64,
            ).reshape(len(block.choices), len(budget.limits))
            for i, block in enumerate(space.blocks)
        ]
        self._fronts = self._suffix_fronts()

    def draw(self, rng: Random) -> Architecture:
        """One architecture within all limits."""
        for _ in range(UNIFORM_TRIES):
            arch = self._space.draw(rng)
            if self._budget.allows(arch):
                return arch
        return self._guided_draw(rng)

    def _guided_draw(self, rng: Random) -> Architecture:
        used = np.zeros_like(self._room)
        keys = []
        for block, rows, front in zip(self._space.blocks, self._rows, self._fronts[1:], strict=True):
            open_ = [i for i in range(len(rows)) if bool(np.any(np.all(used + rows[i] + front <= self._room, axis=1)))]
            chosen = rng.choice(open_)
            used = used + rows[chosen]
            keys.append(block.choices[chosen].key)
        return self._space.architecture(keys)

    def _suffix_fronts(self) -> list[Sums]:
        """`fronts[i]`: the unbeaten sums of blocks i to the last, those over a limit left out."""
        fronts = [np.zeros((1, len(self._room)), dtype=np.int64)]
        for rows in reversed(self._rows):
            sums = (rows[:, None, :] + fronts[0][None, :, :]).reshape(-1, len(self._room))
            fitting = sums[np.all(sums <= self._room, axis=1)]
            if len(fitting) == 0:
                raise BudgetInfeasible(self._why())
            fronts.insert(0, unbeaten(fitting))
        return fronts

    def _why(self) -> str:
        limits = self._budget.limits
        for limit in limits:
            if limit.cost.least > limit.most:
                return (
                    f"no architecture of {self._space.name} has {limit}: the least reachable is "
                    f"{limit.cost.exact(limit.cost.least)}. Give {limit.cost.name} a limit of at least that"
                )
        ranges = "; ".join(f"{x.cost.name} alone reaches {x.cost.format(x.cost.least)}" for x in limits)
        return f"no architecture of {self._space.name} meets {self._budget} together ({ranges}). Loosen one of them"


def unbeaten(sums: Sums) -> Sums:
    """The rows of `sums` (n, costs) that no other row matches or beats in every cost."""
    sums = np.unique(sums, axis=0)  # sorted by the first cost, then the second, ...
    if sums.shape[1] <= 1:
        return sums[:1]
    if sums.shape[1] == 2:
        best_before = np.minimum.accumulate(np.concatenate(([np.iinfo(np.int64).max], sums[:-1, 1])))
        return sums[sums[:, 1] < best_before]
    kept: list[NDArray[np.int64]] = []
    for row in sums:
        if not any(bool(np.all(other <= row)) for other in kept):
            kept.append(row)
    return np.array(kept)
