"""From the sum of a network's parts to its latency: a calibration on whole networks, and how far to trust it.

A sum of parts is a model of a network: parts that are timed by themselves pay borders that a network doesn't have,
and find their memory warmer. So some whole networks are timed as well, and the simplest correction is taken that
predicts networks which it has not seen: none, a scale, or a scale and an offset. Its residuals on those networks
give the error that is shown, and the margin that a search keeps.

The margin is one-sided and relative. Each network's residual is taken under the correction fitted without it
(leave one out). With 19 networks or more, the margin at 95 % is the ceil(0.95 (n + 1))-th smallest residual: the
conformal quantile (Vovk et al. 2005), in the jackknife form of Barber et al., "Predictive inference with the
jackknife+" (Annals of Statistics 2021). Fewer have no such quantile; then it is the larger of the largest residual
and Student's prediction bound, mean + t s sqrt(1 + 1/n), and below 5 networks at least the margin that is assumed
where nothing is known. Fewer networks therefore mean a wider margin.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

LEVEL = 0.95
ASSUMED_MARGIN = 0.05  # where no whole network was measured; the winner is measured in any case
FEW = 5  # networks, below which a spread says too little to undercut the assumed margin
SLOPES = (0.5, 2.0)  # of an affine correction, as multiples of the one-parameter scale
WORTH = 0.9  # one more parameter must bring the held-out error down to this share of it
ROUNDING = 1e-9  # an error below this is that of the floats

Floats = NDArray[np.float64]
Fit = Callable[[Floats, Floats], tuple[float, float]]  # (sums, measured) -> (scale, offset_ms)


@dataclass(frozen=True)
class Calibration:
    """predicted ms = scale x (sum of parts in ms) + offset_ms.

    The errors are those of predictions for networks that the correction was fitted without; None where fewer than
    two were measured. `mape`, `bias` (positive: predicted too slow), `within_5`, `within_10` and `margin` are shares;
    `tau` is Kendall's rank correlation of predicted and measured; `skill` is the error as a part of that of always
    predicting the median, so below 1 is better than knowing nothing of the architecture.
    """

    scale: float
    offset_ms: float
    margin: float
    level: float
    networks: int
    mape: float | None = None
    bias: float | None = None
    within_5: float | None = None
    within_10: float | None = None
    tau: float | None = None
    skill: float | None = None

    @property
    def kind(self) -> str:
        """The correction in a word: `sum` (none), `scale` or `affine`."""
        if self.offset_ms:
            return "affine"
        return "sum" if self.scale == 1 else "scale"

    def predict(self, sum_ms: float) -> float:
        """The latency in ms of a network whose parts add up to `sum_ms`."""
        return self.scale * sum_ms + self.offset_ms

    def upper(self, sum_ms: float) -> float:
        """What it does not exceed at `level`, in ms."""
        return self.predict(sum_ms) * (1 + self.margin)

    @property
    def correction(self) -> str:
        """`sum of parts x 1.031 + 0.012 ms`"""
        scale = f" x {self.scale:.4g}" if self.scale != 1 else ""
        offset = f" {'+' if self.offset_ms > 0 else '-'} {abs(self.offset_ms):.3g} ms" if self.offset_ms else ""
        return f"sum of parts{scale}{offset}"

    def __str__(self) -> str:
        if not self.networks and not self.margin:
            return f"{self.correction}; how far it is off is not known, and no margin is kept"
        if not self.networks:
            return f"{self.correction}, not calibrated: no whole network was measured, {self.margin:.1%} is assumed"
        number = f"{self.networks} whole network{'s' if self.networks > 1 else ''}"
        if self.mape is None or self.tau is None:
            return f"{self.correction}, from {number}; margin {self.margin:.1%} assumed"
        return (
            f"{self.correction}, from {number}: held-out error {self.mape:.1%}, tau {self.tau:.2f}, "
            f"margin {self.margin:.1%} at {self.level:.0%}"
        )


def uncalibrated(level: float = LEVEL) -> Calibration:
    """The plain sum as it is: what there is to say of an estimate, of which nothing was measured."""
    return Calibration(1.0, 0.0, 0.0, level, 0)


def calibrate(
    sums_ms: Sequence[float], measured_ms: Sequence[float], fixed_ms: float = 0.0, level: float = LEVEL
) -> Calibration:
    """Fit and choose the correction on whole networks.

    Args:
        sums_ms: of the parts of each network.
        measured_ms: of the same networks, whole.
        fixed_ms: what the stem and head are of each sum; a negative offset takes no more than that away, so that
            no part of a prediction is below zero.
    """
    sums, measured = np.asarray(sums_ms, float), np.asarray(measured_ms, float)
    n = len(sums)
    if n == 0:
        return Calibration(1.0, 0.0, ASSUMED_MARGIN, level, 0)
    if n == 1:
        return Calibration(float(measured[0] / sums[0]), 0.0, ASSUMED_MARGIN, level, 1)

    def affine(x: Floats, y: Floats) -> tuple[float, float]:
        return _affine(x, y, fixed_ms)

    chosen: Fit = _identity
    held_out = _held_out(chosen, sums, measured)
    more: Fit
    for more, fewest in ((_scale, 2), (affine, FEW)):
        if n < fewest:
            continue
        found = _held_out(more, sums, measured)
        if mape(found, measured) < WORTH * mape(held_out, measured) - ROUNDING:
            chosen, held_out = more, found
    scale, offset_ms = chosen(sums, measured)
    errors = (held_out - measured) / measured
    others = np.array([np.median(np.delete(measured, i)) for i in range(n)])
    constant = mape(others, measured)
    return Calibration(
        scale=scale,
        offset_ms=offset_ms,
        margin=margin_of(measured / held_out - 1, level),
        level=level,
        networks=n,
        mape=mape(held_out, measured),
        bias=float(errors.mean()),
        within_5=float((np.abs(errors) <= 0.05).mean()),
        within_10=float((np.abs(errors) <= 0.10).mean()),
        tau=kendall_tau(sums, measured),
        skill=mape(held_out, measured) / constant if constant else None,
    )


def margin_of(residuals: Floats, level: float) -> float:
    """The relative margin that covers `level` of new networks, from held-out residuals measured / predicted - 1.

    Never below 0: a bound under the prediction would promise more than the prediction does.
    """
    n = len(residuals)
    rank = ceil((n + 1) * level)
    if rank <= n:
        return max(0.0, float(np.sort(residuals)[rank - 1]))
    spread = float(residuals.std(ddof=1)) * sqrt(1 + 1 / n) * float(stdtrit(n - 1, level))
    least = ASSUMED_MARGIN if n < FEW else 0.0
    return max(least, float(residuals.max()), float(residuals.mean()) + spread)


def mape(predicted: Floats, measured: Floats) -> float:
    """Mean absolute error as a share of what was measured."""
    return float(np.abs(predicted / measured - 1).mean())


def kendall_tau(one: Floats, other: Floats) -> float:
    """Kendall's tau-b: agreement of two rankings, -1 to 1, with ties counted for neither; 0 where one is constant."""
    pairs = np.triu_indices(len(one), 1)
    first, second = (np.sign(np.subtract.outer(values, values))[pairs] for values in (one, other))
    untied = sqrt(float(np.abs(first).sum()) * float(np.abs(second).sum()))
    return float((first * second).sum()) / untied if untied else 0.0


def _identity(_: Floats, __: Floats) -> tuple[float, float]:
    return 1.0, 0.0


def _scale(sums: Floats, measured: Floats) -> tuple[float, float]:
    """The median ratio, which one disturbed network doesn't move."""
    return float(np.median(measured / sums)), 0.0


def _affine(sums: Floats, measured: Floats, fixed_ms: float) -> tuple[float, float]:
    """Least squares of relative errors. The slope is bounded, as networks that are alike don't determine it."""
    rows = np.stack([sums, np.ones_like(sums)], axis=1) / measured[:, None]
    slope, _ = np.linalg.lstsq(rows, np.ones_like(sums), rcond=None)[0]
    scale, _ = _scale(sums, measured)
    slope = float(np.clip(slope, SLOPES[0] * scale, SLOPES[1] * scale))
    weights = measured**-2.0
    offset_ms = float(((measured - slope * sums) * weights).sum() / weights.sum())
    if offset_ms < -slope * fixed_ms:  # more than the fixed part: the parts that are chosen take all of it
        slope, _ = _scale(sums - fixed_ms, measured)
        return slope, -slope * fixed_ms
    return slope, offset_ms


def _held_out(fit: Fit, sums: Floats, measured: Floats) -> Floats:
    """Each network's prediction in ms by the correction that was fitted on all others."""
    found = np.empty_like(sums)
    for i in range(len(sums)):
        scale, offset_ms = fit(np.delete(sums, i), np.delete(measured, i))
        found[i] = scale * sums[i] + offset_ms
    return found
