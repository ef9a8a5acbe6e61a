"""Corrections of a sum of variants, fitted on whole networks: none, a scale, or a scale and an offset."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

SLOPE_BOUNDS = (0.5, 2.0)  # of an affine correction, relative to the scale of a correction without offset
FEWEST_AFFINE = 5  # networks from which an affine correction is considered
IMPROVEMENT = 0.9  # an additional parameter must reduce the held-out error to this share of it
ROUNDING = 1e-9  # a difference of errors below this is rounding

Floats = NDArray[np.float64]
Correction = tuple[float, float]  # (scale, offset_ms)
Fit = Callable[[Floats, Floats], Correction]  # (sums, measured) -> correction


def choose_correction(sums: Floats, measured: Floats, fixed_ms: float) -> tuple[Correction, Floats]:
    """The simplest correction that predicts networks it was not fitted on.

    Args:
        sums: sums of variants of two or more networks, in ms, above 0.
        measured: their measured latencies, in ms, above 0.
        fixed_ms: the share of stem and head in each sum.

    Returns:
        The correction fitted on all networks, and the held-out prediction of each network in ms.
    """
    chosen: Fit = _identity
    predictions = held_out(chosen, sums, measured)
    fits: list[tuple[Fit, int]] = [(_scale, 2), (partial(_affine, fixed_ms=fixed_ms), FEWEST_AFFINE)]
    for fit, fewest in fits:
        if len(sums) < fewest:
            continue
        candidate = held_out(fit, sums, measured)
        error, best = mape(candidate, measured), mape(predictions, measured)
        if np.all(candidate > 0) and error < IMPROVEMENT * best - ROUNDING:
            chosen, predictions = fit, candidate
    return chosen(sums, measured), predictions


def held_out(fit: Fit, sums: Floats, measured: Floats) -> Floats:
    """The prediction in ms for each network by a correction that was fitted on all others (leave one out)."""
    predictions = np.empty_like(sums)
    for i in range(len(sums)):
        scale, offset_ms = fit(np.delete(sums, i), np.delete(measured, i))
        predictions[i] = scale * sums[i] + offset_ms
    return predictions


def mape(predicted: Floats, measured: Floats) -> float:
    """Mean absolute error of predictions, relative to the measured values."""
    return float(np.abs(predicted / measured - 1).mean())


def _identity(_: Floats, __: Floats) -> Correction:
    return 1.0, 0.0


def _scale(sums: Floats, measured: Floats) -> Correction:
    """The median ratio, which a single noisy measurement does not change."""
    return float(np.median(measured / sums)), 0.0


def _affine(sums: Floats, measured: Floats, fixed_ms: float) -> Correction:
    """Least squares of relative errors. The slope is bounded, since networks that are alike do not determine it.

    A negative offset is at most the fixed part, so that no block's share of a prediction is below zero.
    """
    rows = np.stack([sums, np.ones_like(sums)], axis=1) / measured[:, None]
    slope, _ = np.linalg.lstsq(rows, np.ones_like(sums), rcond=None)[0]
    scale, _ = _scale(sums, measured)
    slope = float(np.clip(slope, SLOPE_BOUNDS[0] * scale, SLOPE_BOUNDS[1] * scale))
    weights = measured**-2.0
    offset_ms = float(((measured - slope * sums) * weights).sum() / weights.sum())
    if offset_ms >= -slope * fixed_ms:
        return slope, offset_ms
    blocks = sums - fixed_ms
    if np.all(blocks > 0):
        slope, _ = _scale(blocks, measured)
    return slope, -slope * fixed_ms
