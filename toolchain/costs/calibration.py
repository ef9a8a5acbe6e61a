"""Calibration of predicted latencies: a correction of the sum of variants, its error, and a safety margin.

A block that is timed by itself pays for memory transfers at its borders that a whole network does not have, and finds
its inputs in the cache. So some whole networks are timed as well, and the simplest correction that predicts networks it
was not fitted on is chosen (`corrections.py`). The residuals of these held-out predictions give the reported error and
the margin that the search keeps.

The margin is one-sided and relative. With 19 networks or more, the margin at 95 % is the ceil(0.95 (n + 1))-th smallest
held-out residual: the conformal quantile (Vovk et al. 2005) in the jackknife form of Barber et al., "Predictive
inference with the jackknife+" (Annals of Statistics 2021). For fewer networks this quantile does not exist; the margin
is then the largest residual or Student's prediction bound, mean + t s sqrt(1 + 1/n), whichever is larger, and for fewer
than 5 networks at least the assumed margin. So fewer networks give a wider margin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isnan, sqrt

import numpy as np

from toolchain.costs.corrections import Correction, Floats, WholeNetworks, choose_correction, mape

LEVEL = 0.95
ASSUMED_MARGIN = 0.05  # without measured networks; the winner of a search is measured in any case
FEW = 5  # below this number of networks the margin is at least the assumed one


@dataclass(frozen=True)
class Calibration:
    """predicted ms = scale x (sum of variants in ms) + per_gmac_ms x (MACs / 1e9) + offset_ms.

    Attributes:
        scale, offset_ms, per_gmac_ms: the correction.
        margin: relative safety margin above the prediction, at `level`.
        networks: number of whole networks it was fitted on.
        mape: mean absolute error of held-out predictions, as a share; like all below, None for fewer than two networks.
        bias: mean relative error; positive if predictions are too high.
        within_5, within_10: share of held-out predictions with an error of at most 5 % and 10 %.
        tau: Kendall's rank correlation of the sums and the measured latencies.
        skill: error relative to that of always predicting the median; below 1 is better than knowing nothing of the
            architecture.
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
    per_gmac_ms: float = 0.0

    @property
    def fitted(self) -> Correction:
        """The correction alone."""
        return Correction(self.scale, self.offset_ms, self.per_gmac_ms)

    @property
    def correction(self) -> str:
        """`sum of variants x 1.031 + 0.012 ms`, or with `+ 24.2 ms per GMAC`."""
        scale = f" x {self.scale:.4g}" if self.scale != 1 else ""
        macs = f" + {self.per_gmac_ms:.3g} ms per GMAC" if self.per_gmac_ms else ""
        offset = f" {'+' if self.offset_ms > 0 else '-'} {abs(self.offset_ms):.3g} ms" if self.offset_ms else ""
        return f"sum of variants{scale}{macs}{offset}"

    def __str__(self) -> str:
        if not self.networks and not self.margin:
            return f"{self.correction}; its error is unknown, and no margin is kept"
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
    """The sum without correction and margin, for estimates, which nothing was measured for."""
    return Calibration(1.0, 0.0, 0.0, level, 0)


def calibrate(
    sums_ms: Sequence[float],
    measured_ms: Sequence[float],
    fixed_ms: float = 0.0,
    level: float = LEVEL,
    macs: Sequence[float] | None = None,
) -> Calibration:
    """Choose and fit the correction on whole networks.

    A network whose sum is 0 is left out: its error relative to the sum is undefined. This happens with tables fitted to
    other people's networks, where the identity and even the stem can have 0 ms.

    Args:
        sums_ms: the sum of variants of each network.
        measured_ms: the measured latency of each network as a whole.
        fixed_ms: the share of stem and head in each sum.
        level: the share of new networks that the margin should cover.
        macs: the MACs of each network; None if they were not counted.
    """
    known = [number for number, (total, ms) in enumerate(zip(sums_ms, measured_ms, strict=True)) if min(total, ms) > 0]
    if not known:
        return Calibration(1.0, 0.0, ASSUMED_MARGIN, level, 0)
    sums, measured = np.array(sums_ms, float)[known], np.array(measured_ms, float)[known]
    if len(known) == 1:
        return Calibration(float(measured[0] / sums[0]), 0.0, ASSUMED_MARGIN, level, 1)
    gmacs = None if macs is None else np.array(macs, float)[known] / 1e9
    correction, held_out = choose_correction(WholeNetworks(sums, measured, gmacs, fixed_ms))
    errors = (held_out - measured) / measured
    return Calibration(
        scale=correction.scale,
        offset_ms=correction.offset_ms,
        per_gmac_ms=correction.per_gmac_ms,
        margin=margin_of(measured / held_out - 1, level),
        level=level,
        networks=len(known),
        mape=mape(held_out, measured),
        bias=float(errors.mean()),
        within_5=float((np.abs(errors) <= 0.05).mean()),
        within_10=float((np.abs(errors) <= 0.10).mean()),
        tau=kendall_tau(sums, measured),
        skill=_skill(held_out, measured),
    )


def margin_of(residuals: Floats, level: float) -> float:
    """The relative margin that covers the share `level` of new networks.

    It is never below 0, since the upper bound must not be below the prediction.

    Args:
        residuals: held-out residuals measured / predicted - 1, of two or more networks.
    """
    n = len(residuals)
    rank = ceil((n + 1) * level)
    if rank <= n:
        return max(0.0, float(np.sort(residuals)[rank - 1]))
    from scipy.special import stdtrit  # imported here: commands that predict nothing need no scipy

    spread = float(residuals.std(ddof=1)) * sqrt(1 + 1 / n) * float(stdtrit(n - 1, level))
    least = ASSUMED_MARGIN if n < FEW else 0.0
    return max(least, float(residuals.max()), float(residuals.mean()) + spread)


def kendall_tau(first: Floats, second: Floats) -> float:
    """Kendall's tau-b, -1 to 1: the agreement of two rankings; 0 if all values of one are equal."""
    from scipy.stats import kendalltau  # imported here, since it takes as long as all else that `nastool cost` imports

    tau = float(kendalltau(first, second).statistic)
    return 0.0 if isnan(tau) else tau


def _skill(held_out: Floats, measured: Floats) -> float | None:
    """The error relative to that of predicting the median of the other networks; None if that has no error."""
    medians = np.array([np.median(np.delete(measured, i)) for i in range(len(measured))])
    constant = mape(medians, measured)
    return mape(held_out, measured) / constant if constant else None
