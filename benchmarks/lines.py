"""Progress of a benchmark as lines with the time since its start, for a terminal and for logs."""

import os
import sys
import time

EVERY_S = 15.0


class Lines:
    """A `Progress` whose tasks print a line every 15 seconds."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def start(self, title: str, total: int, done: int = 0) -> "LinesTask":
        return LinesTask(self, title, total, done)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:4.0f} s] {text}", file=sys.stderr, flush=True)


class LinesTask:
    """One task with a known number of steps."""

    def __init__(self, lines: Lines, title: str, total: int, done: int) -> None:
        self._lines, self._title, self._total, self._done = lines, title, total, done
        self._printed = time.monotonic()

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._done += steps
        if time.monotonic() - self._printed > EVERY_S:
            self._printed = time.monotonic()
            self._lines.say(f"{self._title}: {self._done} of {self._total}")


def load() -> str:
    """The average number of runnable processes over the last one and five minutes."""
    one, five, _ = os.getloadavg()
    return f"{one:.1f} (1 min), {five:.1f} (5 min) on {os.cpu_count()} CPUs"
