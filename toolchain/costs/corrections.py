"""Corrections of a sum of variants, fitted on whole networks.

From the simplest to the most general: none, a scale, a scale and an offset, and these with a time for each MAC. The
last one is for networks with more weights than a cache holds: a block that is timed alone reads its weights from the
cache, and in the network it does not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SLOPE_BOUNDS = (0.5, 2.0)  # of an affine correction, relative to the scale of a correction without offset
MIN_SLOPE_WITH_MACS = 0.2  # likewise, where MACs explain a part
MIN_AFFINE, MIN_WITH_MACS = 5, 15  # networks from which these corrections are considered
IMPROVEMENT = 0.9  # an additional parameter must reduce the held-out error to this share of it
IMPROVEMENT_BY_MACS = 0.6  # the parameter of MACs, which the sum explains too in most spaces
ROUNDING = 1e-9  # a difference of errors below this is rounding

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correction:
    """predicted ms = scale x (sum of variants in ms) + per_gmac_ms x (MACs / 1e9) + offset_ms."""

    scale: float = 1.0
    offset_ms: float = 0.0
    per_gmac_ms: float = 0.0


@dataclass(frozen=True)
class WholeNetworks:
    """Two or more networks that were timed as a whole.

    Args:
        sums: their sums of variants in ms, above 0.
        measured: their latencies in ms, above 0.
        gmacs: their MACs in 1e9; None if they were not counted.
        fixed_ms: the share of stem and head in each sum.
    """

    sums: Floats
    measured: Floats
    gmacs: Floats | None
    fixed_ms: float

    def without(self, number: int) -> "WholeNetworks":
        """All but one."""
        gmacs = None if self.gmacs is None else np.delete(self.gmacs, number)
        return WholeNetworks(np.delete(self.sums, number), np.delete(self.measured, number), gmacs, self.fixed_ms)

    def predicted(self, correction: Correction) -> Floats:
        """In ms."""
        macs_ms = 0.0 if self.gmacs is None else correction.per_gmac_ms * self.gmacs
        return correction.scale * self.sums + macs_ms + correction.offset_ms


@dataclass(frozen=True)
class _Kind:
    """How a correction is fitted, from how many networks, and to which share it must reduce the held-out error."""

    fit: Callable[[WholeNetworks], Correction]
    fewest: int
    improvement: float = IMPROVEMENT


def choose_correction(networks: WholeNetworks) -> tuple[Correction, Floats]:
    """The simplest correction that predicts networks it was not fitted on.

    Returns:
        The correction fitted on all networks, and the held-out prediction of each network in ms.
    """
    kinds: Sequence[_Kind] = [_Kind(_scale, 2), _Kind(_affine, MIN_AFFINE)]
    if networks.gmacs is not None:
        kinds = [*kinds, _Kind(_with_macs, MIN_WITH_MACS, IMPROVEMENT_BY_MACS)]
    chosen: Callable[[WholeNetworks], Correction] = _identity
    predictions = held_out(chosen, networks)
    for kind in kinds:
        if len(networks.sums) < kind.fewest:
            continue
        candidate = held_out(kind.fit, networks)
        error, best = mape(candidate, networks.measured), mape(predictions, networks.measured)
        if np.all(candidate > 0) and error < kind.improvement * best - ROUNDING:
            chosen, predictions = kind.fit, candidate
    return chosen(networks), predictions


def held_out(fit: Callable[[WholeNetworks], Correction], networks: WholeNetworks) -> Floats:
    """The prediction in ms for each network by a correction that was fitted on all others (leave one out)."""
    return np.array([networks.predicted(fit(networks.without(i)))[i] for i in range(len(networks.sums))])


def mape(predicted: Floats, measured: Floats) -> float:
    """Mean absolute error of predictions, relative to the measured values."""
    return float(np.abs(predicted / measured - 1).mean())


def _identity(_: WholeNetworks) -> Correction:
    return Correction()


def _scale(networks: WholeNetworks) -> Correction:
    return Correction(_median_ratio(networks.sums, networks.measured))


def _median_ratio(sums: Floats, measured: Floats) -> float:
    """Which a single noisy measurement does not change."""
    return float(np.median(measured / sums))


def _affine(networks: WholeNetworks) -> Correction:
    """Least squares of relative errors. The slope is bounded, since networks that are alike do not determine it.

    A negative offset is at most the fixed part, so that no block's share of a prediction is below zero.
    """
    sums, measured, fixed_ms = networks.sums, networks.measured, networks.fixed_ms
    rows = np.stack([sums, np.ones_like(sums)], axis=1) / measured[:, None]
    slope, _ = np.linalg.lstsq(rows, np.ones_like(sums), rcond=None)[0]
    scale = _median_ratio(sums, measured)
    slope = float(np.clip(slope, SLOPE_BOUNDS[0] * scale, SLOPE_BOUNDS[1] * scale))
    weights = measured**-2.0
    offset_ms = float(((measured - slope * sums) * weights).sum() / weights.sum())
    if offset_ms >= -slope * fixed_ms:
        return Correction(slope, offset_ms)
    blocks = sums - fixed_ms
    if np.all(blocks > 0):
        slope = _median_ratio(blocks, measured)
    return Correction(slope, -slope * fixed_ms)


def _with_macs(networks: WholeNetworks) -> Correction:
    """Least squares of relative errors with a time for each MAC and an offset, neither of which is below 0."""
    from scipy.optimize import lsq_linear  # imported here: commands that predict nothing need no scipy

    assert networks.gmacs is not None
    sums, measured = networks.sums, networks.measured
    scale = _median_ratio(sums, measured)
    rows = np.stack([sums, networks.gmacs, np.ones_like(sums)], axis=1) / measured[:, None]
    size = np.abs(rows).max(axis=0)
    lower = np.array([MIN_SLOPE_WITH_MACS * scale, 0.0, 0.0]) * size
    upper = np.array([SLOPE_BOUNDS[1] * scale, np.inf, np.inf]) * size
    slope, per_gmac_ms, offset_ms = lsq_linear(rows / size, np.ones_like(sums), (lower, upper)).x / size
    return Correction(float(slope), float(offset_ms), float(per_gmac_ms))
