"""Waiting for a quiet machine, with bounded patience."""

from exporters.backends import Compiled
from exporters.timing import UNINTERRUPTED, Timing
from latency_db.table import Sample, round_ms
from toolchain.progress import Progress

WINDOW_MS = 200.0  # long enough to meet what else runs: a scheduler's slices are a few ms
AS_QUICK = 1.10  # round to round, the anchor network varies by 3 % on a machine in use, in bursts by 10 % and more


class IdleWaiter:
    """Times the anchor network until it runs without noise, or until patience is at an end.

    The device is kept at work while waiting, so that its clocks and caches stay as they are in a measurement. Time is
    what the device spent, so a simulated one passes its own.
    """

    def __init__(self, reference: Compiled, patience_s: float, threads: int, kind: str, progress: Progress) -> None:
        self._reference = reference
        self._left_ms = self._patience_ms = patience_s * 1e3
        self._threads = threads
        self._kind = kind
        self._progress = progress

    def wait(self, least_ms: float) -> None:
        """Return when the machine is quiet, or when `patience_s` seconds were spent over all calls.

        Args:
            least_ms: the least time of the anchor network so far, in ms.
        """
        told = False
        while self._left_ms > 0:
            timing = self._reference.time(WINDOW_MS)
            self._left_ms -= timing.calls * timing.wall_ms_median
            why = self._busy(timing, least_ms)
            if not why:
                return
            if not told:
                self._progress.say(f"the machine is busy ({why}): waiting for it, {self._left_ms / 1e3:.0f} s at most")
                told = True
        if told:
            self._progress.say(f"still busy after {self._patience_ms / 1e3:g} s of waiting in all: going on")

    def _busy(self, timing: Timing, least_ms: float) -> str:
        """Why this is no moment to measure in; empty if it is."""
        if timing.noise_reason:
            return timing.noise_reason
        ratio = timing.wall_ms_median / max(timing.busy_ms_median, 1e-9)
        if self._kind == "cpu" and self._threads == 1 and ratio > UNINTERRUPTED:
            return f"calls take {ratio:.1f} times their CPU time"
        figure = round_ms(Sample(**vars(timing)), self._threads, self._kind)
        return f"{figure / least_ms:.2f} times slower than before" if figure > least_ms * AS_QUICK else ""
