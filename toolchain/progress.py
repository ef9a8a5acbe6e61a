"""Progress of long work. The toolchain prints nothing; the command line passes a `Progress`."""

from typing import Protocol


class Task(Protocol):
    """One piece of work with a known number of steps."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """`steps` more are done; `note` (loss, accuracy, ...) is shown beside the bar."""


class Progress(Protocol):
    """Receives the progress of work."""

    def start(self, title: str, total: int, done: int = 0) -> Task:
        """Begin a task of `total` steps, `done` of them by an earlier, killed command."""

    def say(self, text: str) -> None:
        """One line that stays on the screen."""


class _QuietTask:
    def advance(self, steps: int = 1, note: str = "") -> None:
        pass


class Quiet:
    """A `Progress` that shows nothing."""

    def start(self, title: str, total: int, done: int = 0) -> Task:
        return _QuietTask()

    def say(self, text: str) -> None:
        pass
