"""Waiting for an idle machine, for a bounded time."""

from exporters.backends import Compiled
from exporters.timing import UNINTERRUPTED, Timing
from latency_db.table import Sample, round_ms
from toolchain.progress import Progress

WINDOW_MS = 200.0  # a scheduler's time slices are a few ms long, so that this covers many
SAME_SPEED = 1.10  # on a machine in use the anchor network varies by 3 % between rounds, in bursts by 10 % and more


class IdleWaiter:
    """Times the anchor network until it runs without contention, or until the waiting time is used up.

    The device stays loaded while waiting, so that its clocks and caches are as in a measurement. Waiting time is the
    time that the device spent, so that a simulated device uses its own clock.

    Args:
        patience_s: the longest total wait of all calls, in seconds.
        kind: cpu or gpu.
    """

    def __init__(self, anchor: Compiled, patience_s: float, threads: int, kind: str, progress: Progress) -> None:
        self._anchor = anchor
        self._remaining_ms = self._patience_ms = patience_s * 1e3
        self._threads = threads
        self._kind = kind
        self._progress = progress

    def wait(self, least_ms: float) -> None:
        """Return when the machine is idle, or when the waiting time is used up.

        Args:
            least_ms: the shortest time of the anchor network so far, in ms.
        """
        announced = False
        while self._remaining_ms > 0:
            timing = self._anchor.time(WINDOW_MS)
            self._remaining_ms -= timing.calls * timing.wall_ms_median
            reason = self._contention(timing, least_ms)
            if not reason:
                return
            if not announced:
                remaining_s = self._remaining_ms / 1e3
                self._progress.say(f"the machine is busy ({reason}): waiting at most {remaining_s:.0f} s")
                announced = True
        if announced:
            self._progress.say(f"still busy after a total wait of {self._patience_ms / 1e3:g} s: continuing")

    def _contention(self, timing: Timing, least_ms: float) -> str:
        """Why the machine is not idle; empty if it is."""
        if timing.noise_reason:
            return timing.noise_reason
        ratio = timing.wall_ms_median / max(timing.busy_ms_median, 1e-9)
        if self._kind == "cpu" and self._threads == 1 and ratio > UNINTERRUPTED:
            return f"calls take {ratio:.1f} times their CPU time"
        anchor_ms = round_ms(Sample(**vars(timing)), self._threads, self._kind)
        return f"{anchor_ms / least_ms:.2f} times slower than before" if anchor_ms > least_ms * SAME_SPEED else ""
