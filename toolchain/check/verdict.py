"""What a check requires of a file, and what it answers."""

from dataclasses import dataclass

from toolchain.check.evidence import StoredRounds
from toolchain.check.outcome import Outcome, worst
from toolchain.measuring.intervals import Interval


@dataclass(frozen=True)
class Requirements:
    """What a file has to fulfill.

    Args:
        limit_ms: maximum latency of a batch, or None.
        max_regression: maximum slowdown against the baseline, as a fraction.
        confidence: probability, 0 to 1, with which an interval contains the true value.
        max_seconds: time limit; the verdict is returned even if it is inconclusive.
        anchor_ms: latency of the anchor network when the limit was met, or None if unknown.
    """

    limit_ms: float | None
    max_regression: float
    confidence: float
    max_seconds: float
    anchor_ms: float | None = None


@dataclass(frozen=True)
class Finding:
    """The verdict on one requirement, `budget` or `regression`, with a sentence that explains it."""

    about: str
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Judgment:
    """Measured values and the verdicts on them.

    Args:
        latency_ms: of the file, by the statistic of the latency table.
        baseline_ms: of the baseline; None if there is none.
        ratio: of the file to the baseline; None if there is none.
        rounds: ms of the file and of the anchor network (None if it was not timed) in each counted round.
        noisy_rounds: why each of the other rounds is not counted.
    """

    latency_ms: Interval
    baseline_ms: float | None
    ratio: Interval | None
    findings: tuple[Finding, ...]
    rounds: StoredRounds
    noisy_rounds: tuple[str, ...]
    seconds: float

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the findings; a failure outweighs an inconclusive finding."""
        return worst(finding.outcome for finding in self.findings)
