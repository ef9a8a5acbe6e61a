"""Delivery to a server in the background, so that a slow or dead one does not stop a training."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from textwrap import shorten

PAUSE_S = 30.0  # between two attempts
WAIT_S = 15.0  # at the end, without any progress
MAX_SHOWN = 200  # characters of an error

Operation = Callable[[], None]


class Delivery:
    """Runs operations one after the other in a thread.

    One that fails is tried again, and the others wait, in order. One that can never succeed is left out.

    `problem` says why the first one failed; empty while none has.
    """

    def __init__(self, is_final: Callable[[Exception], bool], pause_s: float = PAUSE_S) -> None:
        """
        Args:
            is_final: whether an error stays the same in another attempt.
            pause_s: between two attempts.
        """
        self.problem = ""
        self._is_final, self._pause_s = is_final, pause_s
        self._waiting: SimpleQueue[Operation | None] = SimpleQueue()
        self._closing = threading.Event()
        self._put = self._done = self._left_out = 0
        self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
        self._thread.start()

    def put(self, operation: Operation) -> None:
        """Add an operation; returns at once."""
        self._put += 1
        self._waiting.put(operation)

    def close(self, wait_s: float = WAIT_S) -> int:
        """Wait until everything is delivered, or nothing more was for `wait_s`; returns the number that was not."""
        self._closing.set()
        self._waiting.put(None)
        while self._thread.is_alive():
            before = self._done
            self._thread.join(wait_s)
            if self._done == before:
                break
        return self._put - self._done + self._left_out

    def _work(self) -> None:
        for operation in iter(self._waiting.get, None):
            while not self._attempt(operation):
                if self._closing.is_set():
                    return
                self._closing.wait(self._pause_s)
            self._done += 1

    def _attempt(self, operation: Operation) -> bool:
        """Whether an operation needs no further attempt."""
        try:
            operation()
        except Exception as problem:  # of any sort: tracking must not end a training
            self.problem = self.problem or first_sentence(problem)
            final = self._is_final(problem)
            self._left_out += final
            return final
        return True


def first_sentence(problem: Exception) -> str:
    """The beginning of an error's message, without the period."""
    text = str(problem).strip() or type(problem).__name__
    return shorten(text.splitlines()[0].partition(". ")[0].rstrip("."), MAX_SHOWN, placeholder=" ...")
