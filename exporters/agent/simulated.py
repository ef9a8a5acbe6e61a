"""A simulated device: a clock that only advances when something is timed, and the defects of real devices."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sin
from random import Random
from statistics import median

from exporters.timing import Timing

SAMPLES = 8  # per timing; a sample is the mean of a group of calls, as in `exporters.timing`
DRIFT_PERIOD_MS = 60_000.0
BURST_MS = 250.0
THROTTLED = "the device throttled"


@dataclass(frozen=True)
class FakeSettings:
    """The defects of a simulated device; `exporters.backends.fake` describes them."""

    scale_whole: float = 1.0
    noise: float = 0.0
    drift: float = 0.0
    burst: float = 0.0
    burst_slower: float = 2.0
    burst_visible: float = 1.0
    slowdown: float = 0.0
    memory_mb: float = 0.0
    seed: int = 0


class SimulatedDevice:
    """The clock of a simulated device; the same calls in the same order have the same latencies."""

    def __init__(self, settings: FakeSettings) -> None:
        self.settings = settings
        self._now_ms: float | None = None  # set by the first compiled file
        self._rng = Random(f"noise {settings.seed}")

    def start(self, call_ms: float) -> None:
        """The first compiled file sets the clock, so that not every measurement has the same bursts."""
        if self._now_ms is None:
            self._now_ms = Random(f"hour {self.settings.seed} {call_ms}").uniform(0.0, DRIFT_PERIOD_MS)

    def time(self, call_ms: float, min_ms: float) -> Timing:
        """Time calls that take `call_ms` without noise, drift and bursts, for about `min_ms` milliseconds."""
        group = max(1, round(min_ms / SAMPLES / call_ms))
        taken = [self._take(call_ms, group) for _ in range(SAMPLES)]
        calls = tuple(ms for ms, _ in taken)
        throttled = any(throttled for _, throttled in taken) and bool(self.settings.burst_visible)
        least, middle = min(calls), median(calls)
        return Timing(SAMPLES * group, least, middle, least, middle, calls, THROTTLED if throttled else "")

    def _take(self, call_ms: float, calls: int) -> tuple[float, bool]:
        """Advance the clock by `calls` calls; returns the mean time of a call, and whether the device throttled."""
        assert self._now_ms is not None
        settings, now = self.settings, self._now_ms
        throttled = settings.burst > 0 and self._in_burst(now)
        slower = 1 + settings.noise * abs(self._rng.gauss(0, 1))  # noise only makes a call slower
        slower *= 1 + settings.drift * (1 - sin(2 * pi * now / DRIFT_PERIOD_MS)) / 2
        if throttled:
            slower *= settings.burst_slower
        self._now_ms = now + call_ms * slower * calls
        return call_ms * slower, throttled

    def _in_burst(self, now_ms: float) -> bool:
        return Random(f"burst {self.settings.seed} {int(now_ms // BURST_MS)}").random() < self.settings.burst
