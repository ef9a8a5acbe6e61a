"""How often and for how long files are timed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MeasurementPlan:
    """The settings of one measurement.

    Args:
        rounds: rounds in which every file is timed once.
        min_ms: time spent on each file in a round, in ms.
        quiet_timeout_s: longest total wait for an idle machine, in seconds.
        networks: whole networks that a profile times to calibrate the sum of its variants.
        seed: seed of the order in each round, and of the drawn networks.
    """

    rounds: int
    min_ms: float
    quiet_timeout_s: float
    networks: int = 0
    seed: int = 0
