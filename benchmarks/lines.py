"""Progress of a benchmark as lines with the time since its start, for people who watch and for logs."""

import os
import sys
import time

EVERY_S = 15.0


class Lines:
    """A `Progress` whose tasks print a line now and then."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def start(self, title: str, total: int, done: int = 0) -> "LinesTask":
        return LinesTask(self, title, total, done)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:4.0f} s] {text}", file=sys.stderr, flush=True)


class LinesTask:
    """One piece of work."""

    def __init__(self, lines: Lines, title: str, total: int, done: int) -> None:
        self._lines, self._title, self._total, self._done = lines, title, total, done
        self._told = time.monotonic()

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._done += steps
        if time.monotonic() - self._told > EVERY_S:
            self._told = time.monotonic()
            self._lines.say(f"{self._title}: {self._done} of {self._total}")


def load() -> str:
    """Processes that wanted to run, on average over the last minute and five: what a figure was taken under."""
    one, five, _ = os.getloadavg()
    return f"{one:.1f} (1 min), {five:.1f} (5 min) on {os.cpu_count()} CPUs"
