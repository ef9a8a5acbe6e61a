"""An additive latency table from whole networks that were measured elsewhere: regularized regression.

latency = fixed + one number a (choice block, choice). Networks that were measured whole determine these numbers only
together, and a few hundred of them only just, so ridge regression pulls each towards a prior: its share of
multiply-adds, plus something for each layer that does any. The prior's three numbers are fitted first. How hard it
pulls, and whether blocks that are alike share their numbers, is chosen by cross-validation; the same held-out
predictions give the error, and the margin that a search keeps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from toolchain.costs.calibration import kendall_tau
from toolchain.costs.core import TableCost
from toolchain.costs.corrections import mape
from toolchain.costs.counters import macs_cost
from toolchain.costs.latency import block_key, head_key, position_key, stem_key
from toolchain.spaces.core import Architecture, SearchSpace

Floats = NDArray[np.float64]

FOLDS = 10
RIDGES = tuple(10.0**exponent for exponent in range(-7, 2))  # in squared relative errors
SHARES = (0.25, 0.5, 0.75)  # of the networks, for the learning curve
TARGET = 0.03  # mean absolute error that "how many more" is asked for
FLAT = 0.1  # an error that falls by less than n^-0.1 is not that of too few networks
FEWEST = 10  # networks, without which nothing can be held out


@dataclass(frozen=True)
class Fit:
    """A fitted table and how good it is on networks that it has not seen.

    Attributes:
        rows: ms of each part by its key in the latency table.
        by_position: whether blocks with the same outside have numbers of their own.
        held_out_ms: the prediction for each network by the fit without its fold.
        curve: (networks, error) of fits on fewer.
        more: about how many more networks the target needs; 0: none, None: more would hardly help.
    """

    rows: Mapping[str, float]
    by_position: bool
    ridge: float
    held_out_ms: Floats
    mape: float
    bias: float
    tau: float
    skill: float
    curve: tuple[tuple[int, float], ...]
    more: int | None

    @property
    def coefficients(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class _Problem:
    """Rows of ones and zeros: which numbers add up to each network; the last column is the fixed part."""

    keys: tuple[str, ...]
    taken: Floats  # (networks, numbers)
    macs: Floats  # of each number


def fit(space: SearchSpace, archs: Sequence[Architecture], measured_ms: Sequence[float]) -> Fit:
    """Fit both ways, and take the one that predicts left-out networks better.

    Args:
        archs: at least `FEWEST`.
        measured_ms: of each, whole.
    """
    y = np.asarray(measured_ms, float)
    folds = _folds(len(y))
    macs = macs_cost(space)
    by_part, by_position = (_problem(space, macs, archs, positions) for positions in (False, True))
    problem, ridge, held_out = by_part, *_cross_validate(by_part, y, folds)
    if len(by_position.keys) > len(by_part.keys):
        other_ridge, other = _cross_validate(by_position, y, folds)
        if mape(other, y) < mape(held_out, y):
            problem, ridge, held_out = by_position, other_ridge, other
    error = mape(held_out, y)
    constant = np.empty_like(y)
    for fold in folds:
        constant[fold] = np.median(np.delete(y, fold))
    curve = (*_curve(problem, y, folds, ridge), (len(y), error))
    return Fit(
        rows=_rows(space, problem, _solve(problem, y, ridge)),
        by_position=problem is by_position,
        ridge=ridge,
        held_out_ms=held_out,
        mape=error,
        bias=float((held_out / y - 1).mean()),
        tau=kendall_tau(held_out, y),
        skill=error / mape(constant, y) if mape(constant, y) else 1.0,
        curve=curve,
        more=how_many_more(curve, len(problem.keys)),
    )


def how_many_more(curve: Sequence[tuple[int, float]], coefficients: int, target: float = TARGET) -> int | None:
    """Networks to add for an error of `target`, by a power law through the learning curve.

    An additive table needs at least one network for each of its numbers. Where the error hardly falls any more, it
    is that of the measurements, or of adding up, and None is returned.
    """
    counts, errors = np.array(curve).T
    if errors[-1] <= target:
        return 0
    networks = int(counts[-1])
    missing = max(0, coefficients - networks)
    exponent, constant = map(float, np.polyfit(np.log(counts), np.log(errors), 1))
    if exponent > -FLAT:
        return missing or None
    wanted = float(np.exp((np.log(target) - constant) / exponent))
    return max(missing, ceil(wanted - networks), 1)


def _problem(space: SearchSpace, macs: TableCost, archs: Sequence[Architecture], positions: bool) -> _Problem:
    columns: dict[str, int] = {}
    amounts: list[float] = []
    where: list[dict[str, int]] = []
    for number, (block, row) in enumerate(zip(space.blocks, macs.rows, strict=True)):
        where.append({})
        for choice in block.choices:
            key = block_key(space, block, choice)
            key = position_key(key, number) if positions else key
            if key not in columns:
                columns[key] = len(amounts)
                amounts.append(row[choice.key])
            where[number][choice.key] = columns[key]
    taken = np.zeros((len(archs), len(amounts) + 1))
    taken[:, -1] = 1
    for line, arch in zip(taken, archs, strict=True):
        for columns_of_block, key in zip(where, arch.choices, strict=True):
            line[columns_of_block[key]] += 1
    return _Problem(tuple(columns), taken, np.array([*amounts, macs.fixed]))


def _prior(problem: _Problem, y: Floats) -> Floats:
    """Each number by multiply-adds, by layers that do any, and a constant: three amounts, none below 0."""
    works = (problem.macs > 0).astype(float)
    works[-1] = 0
    features = np.stack([problem.taken @ problem.macs, problem.taken @ works, np.ones_like(y)], axis=1)
    scale = features.max(axis=0)
    (a, b, c), _ = nnls(features / scale / y[:, None], np.ones_like(y))
    prior: Floats = a / scale[0] * problem.macs + b / max(scale[1], 1) * works
    prior[-1] += c
    return prior


def _normal(problem: _Problem, y: Floats) -> tuple[Floats, Floats, Floats, float]:
    """The normal equations of relative errors, the prior, and the size of a number that deviations are a share of."""
    prior = _prior(problem, y)
    size = float(np.mean(y)) / problem.taken[0].sum()
    rows = problem.taken / y[:, None]
    return rows.T @ rows, rows.sum(axis=0), prior, size


def _ridge(normal: tuple[Floats, Floats, Floats, float], ridge: float) -> tuple[Floats, Floats]:
    """The quadratic form whose least point is the fit: H w = g."""
    gram, right, prior, size = normal
    pull = ridge / size**2
    return gram + pull * np.eye(len(gram)), right + pull * prior


def _solve(problem: _Problem, y: Floats, ridge: float) -> Floats:
    """The numbers, none below 0."""
    h, g = _ridge(_normal(problem, y), ridge)
    found: Floats = np.linalg.solve(h, g).astype(np.float64)
    if (found >= 0).all():
        return found
    lower = np.linalg.cholesky(h)  # |lower' w - lower^-1 g| has the same least point as the quadratic form
    kept: Floats = nnls(lower.T, solve_triangular(lower, g, lower=True))[0]
    return kept


def _without(problem: _Problem, y: Floats, fold: NDArray[np.intp]) -> tuple[_Problem, Floats]:
    kept = np.setdiff1d(np.arange(len(y)), fold)
    return _Problem(problem.keys, problem.taken[kept], problem.macs), y[kept]


def _cross_validate(problem: _Problem, y: Floats, folds: Sequence[NDArray[np.intp]]) -> tuple[float, Floats]:
    """The ridge with the least held-out error, and its held-out predictions."""
    found = np.empty((len(RIDGES), len(y)))
    for fold in folds:
        normal = _normal(*_without(problem, y, fold))
        for row, ridge in zip(found, RIDGES, strict=True):
            row[fold] = problem.taken[fold] @ np.linalg.solve(*_ridge(normal, ridge))
    ridge = RIDGES[int(np.argmin([mape(row, y) for row in found]))]
    held_out = np.empty_like(y)
    for fold in folds:
        held_out[fold] = problem.taken[fold] @ _solve(*_without(problem, y, fold), ridge)
    return ridge, held_out


def _curve(
    problem: _Problem, y: Floats, folds: Sequence[NDArray[np.intp]], ridge: float
) -> tuple[tuple[int, float], ...]:
    """The held-out error of fits on a share of the networks."""
    found = []
    for share in SHARES:
        held_out = np.empty_like(y)
        for fold in folds:
            some, of_some = _without(problem, y, fold)
            count = max(2, round(share * len(of_some)))
            rest = np.arange(count, len(of_some))
            held_out[fold] = problem.taken[fold] @ _solve(*_without(some, of_some, rest), ridge)
        found.append((round(share * len(y)), mape(held_out, y)))
    return tuple(found)


def _folds(networks: int) -> list[NDArray[np.intp]]:
    order = list(range(networks))
    Random(0).shuffle(order)  # files are often sorted
    return [np.array(sorted(order[number::FOLDS])) for number in range(min(FOLDS, networks))]


def _rows(space: SearchSpace, problem: _Problem, numbers: Floats) -> dict[str, float]:
    """Milliseconds by key. Stem and head are in every network, so only their sum is known: each gets half."""
    half = float(numbers[-1]) / 2
    rows = {stem_key(space): half, head_key(space): half}
    return rows | dict(zip(problem.keys, map(float, numbers[:-1]), strict=True))
