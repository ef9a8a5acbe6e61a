"""Ridge regression of an additive latency table on whole networks that were measured elsewhere.

latency = intercept + one coefficient per (choice block, choice). A few hundred measured networks hardly determine all
coefficients, so ridge regression shrinks each towards a prior: its multiply-adds times a rate, plus a constant per
choice with multiply-adds. The three parameters of the prior are fitted first. Cross-validation selects the ridge, and
whether blocks of the same geometry share coefficients; its held-out predictions also give the error and the margin that
a search keeps.
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
RIDGES = tuple(10.0**exponent for exponent in range(-7, 2))  # in units of squared relative errors
SHARES = (0.25, 0.5, 0.75)  # shares of the networks in the learning curve
TARGET = 0.03  # mean absolute percentage error that `more` networks should reach
FLAT = 0.1  # if the error falls slower than n^-0.1, more networks would not help
FEWEST = 10  # minimum number of networks for cross-validation


@dataclass(frozen=True)
class Fit:
    """A fitted table and its error on held-out networks.

    Attributes:
        rows: latency of each block variant in ms by its key in the latency table.
        by_position: whether blocks of the same geometry have separate coefficients.
        held_out_ms: the prediction for each network by the fit without its fold.
        curve: (networks, error) of fits on fewer networks.
        more: additional networks needed for an error of `TARGET`; None if more would hardly reduce the error.
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
    """A design matrix: the coefficients that add up to each network; the last column is the intercept."""

    keys: tuple[str, ...]
    design: Floats  # (networks, coefficients)
    macs: Floats  # of each coefficient


def fit(space: SearchSpace, archs: Sequence[Architecture], measured_ms: Sequence[float]) -> Fit:
    """Fit with shared and with separate coefficients, and return the fit with the lower held-out error.

    Args:
        archs: at least `FEWEST` architectures.
        measured_ms: the latency of each whole network.
    """
    y = np.asarray(measured_ms, float)
    folds = _folds(len(y))
    macs = macs_cost(space)
    by_part, by_position = (_problem(space, macs, archs, positions) for positions in (False, True))
    problem, ridge, held_out = by_part, *_cross_validate(by_part, y, folds)
    if len(by_position.keys) > len(by_part.keys):
        ridge_by_position, held_out_by_position = _cross_validate(by_position, y, folds)
        if mape(held_out_by_position, y) < mape(held_out, y):
            problem, ridge, held_out = by_position, ridge_by_position, held_out_by_position
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
    """Networks to add for an error of `target`, by a power law fitted to the learning curve.

    At least one network per coefficient is needed. Returns None if the error hardly falls with more networks: then it
    comes from the measurements or from the additive model.
    """
    counts, errors = np.array(curve).T
    if errors[-1] <= target:
        return 0
    networks = int(counts[-1])
    missing = max(0, coefficients - networks)
    exponent, constant = map(float, np.polyfit(np.log(counts), np.log(errors), 1))
    if exponent > -FLAT:
        return missing or None
    needed = float(np.exp((np.log(target) - constant) / exponent))
    return max(missing, ceil(needed - networks), 1)


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
    design = np.zeros((len(archs), len(amounts) + 1))
    design[:, -1] = 1
    for line, arch in zip(design, archs, strict=True):
        for columns_of_block, key in zip(where, arch.choices, strict=True):
            line[columns_of_block[key]] += 1
    return _Problem(tuple(columns), design, np.array([*amounts, macs.fixed]))


def _prior(problem: _Problem, y: Floats) -> Floats:
    """The prior of each coefficient: nonnegative least squares on MACs, layers with MACs, and a constant."""
    works = (problem.macs > 0).astype(float)
    works[-1] = 0
    features = np.stack([problem.design @ problem.macs, problem.design @ works, np.ones_like(y)], axis=1)
    scale = features.max(axis=0)
    (a, b, c), _ = nnls(features / scale / y[:, None], np.ones_like(y))
    prior: Floats = a / scale[0] * problem.macs + b / max(scale[1], 1) * works
    prior[-1] += c
    return prior


def _normal(problem: _Problem, y: Floats) -> tuple[Floats, Floats, Floats, float]:
    """The normal equations of relative errors, the prior, and the mean coefficient, which scales the ridge."""
    prior = _prior(problem, y)
    size = float(np.mean(y)) / problem.design[0].sum()
    rows = problem.design / y[:, None]
    return rows.T @ rows, rows.sum(axis=0), prior, size


def _ridge(normal: tuple[Floats, Floats, Floats, float], ridge: float) -> tuple[Floats, Floats]:
    """The linear system of the fit: H w = g."""
    gram, moments, prior, size = normal
    penalty = ridge / size**2
    return gram + penalty * np.eye(len(gram)), moments + penalty * prior


def _solve(problem: _Problem, y: Floats, ridge: float) -> Floats:
    """The coefficients, none below 0."""
    h, g = _ridge(_normal(problem, y), ridge)
    solution: Floats = np.linalg.solve(h, g).astype(np.float64)
    if (solution >= 0).all():
        return solution
    lower = np.linalg.cholesky(h)  # |lower' w - lower^-1 g| has the same minimum as the quadratic form
    nonnegative: Floats = nnls(lower.T, solve_triangular(lower, g, lower=True))[0]
    return nonnegative


def _without(problem: _Problem, y: Floats, fold: NDArray[np.intp]) -> tuple[_Problem, Floats]:
    kept = np.setdiff1d(np.arange(len(y)), fold)
    return _Problem(problem.keys, problem.design[kept], problem.macs), y[kept]


def _cross_validate(problem: _Problem, y: Floats, folds: Sequence[NDArray[np.intp]]) -> tuple[float, Floats]:
    """The ridge with the least held-out error, and its held-out predictions."""
    predictions = np.empty((len(RIDGES), len(y)))
    for fold in folds:
        normal = _normal(*_without(problem, y, fold))
        for row, ridge in zip(predictions, RIDGES, strict=True):
            row[fold] = problem.design[fold] @ np.linalg.solve(*_ridge(normal, ridge))
    ridge = RIDGES[int(np.argmin([mape(row, y) for row in predictions]))]
    held_out = np.empty_like(y)
    for fold in folds:
        held_out[fold] = problem.design[fold] @ _solve(*_without(problem, y, fold), ridge)
    return ridge, held_out


def _curve(
    problem: _Problem, y: Floats, folds: Sequence[NDArray[np.intp]], ridge: float
) -> tuple[tuple[int, float], ...]:
    """The held-out error of fits on a share of the networks."""
    curve = []
    for share in SHARES:
        held_out = np.empty_like(y)
        for fold in folds:
            training, training_ms = _without(problem, y, fold)
            count = max(2, round(share * len(training_ms)))
            rest = np.arange(count, len(training_ms))
            held_out[fold] = problem.design[fold] @ _solve(*_without(training, training_ms, rest), ridge)
        curve.append((round(share * len(y)), mape(held_out, y)))
    return tuple(curve)


def _folds(networks: int) -> list[NDArray[np.intp]]:
    order = list(range(networks))
    Random(0).shuffle(order)  # files are often sorted
    return [np.array(sorted(order[number::FOLDS])) for number in range(min(FOLDS, networks))]


def _rows(space: SearchSpace, problem: _Problem, coefficients: Floats) -> dict[str, float]:
    """Milliseconds by key. Stem and head are in every network, so only their sum is known: each gets half."""
    half = float(coefficients[-1]) / 2
    rows = {stem_key(space): half, head_key(space): half}
    return rows | dict(zip(problem.keys, map(float, coefficients[:-1]), strict=True))
