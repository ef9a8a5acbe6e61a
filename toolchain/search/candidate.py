"""A scored architecture with its predicted and its measured latency."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolchain.costs.calibration import Calibration
from toolchain.costs.latency import LatencyModel
from toolchain.measuring.network import Measurement
from toolchain.search.strategies import Scored


@dataclass(frozen=True)
class Candidate:
    """A candidate when it was chosen.

    Args:
        predicted_ms: None if the block variants were not measured.
        measured: None if nothing is measured, as on a device by estimate.
        elsewhere: the same on the other devices of a shared budget, by the name of their latency.
    """

    scored: Scored
    predicted_ms: float | None
    calibration: Calibration | None
    measured: Measurement | None
    elsewhere: Mapping[str, "Candidate"] = field(default_factory=dict)

    @property
    def bound_ms(self) -> float | None:
        """The upper bound of the prediction; it was within the limit, except that of simple networks."""
        if self.predicted_ms is None or self.calibration is None:
            return None
        return self.predicted_ms * (1 + self.calibration.margin)

    @property
    def slower_than_predicted(self) -> bool:
        """Whether it measured slower than predicted; False if either is unknown."""
        if self.predicted_ms is None or self.measured is None:
            return False
        return self.measured.latency_ms > self.predicted_ms


def candidate(scored: Scored, model: LatencyModel | None, measured: Measurement | None) -> Candidate:
    """`scored` with the prediction of `model`."""
    if model is None:
        return Candidate(scored, None, None, measured)
    return Candidate(scored, model.predicted.cost(scored.architecture), model.calibration, measured)
