"""The standard streams of a command: closed, unread, or on a full device.

stdout carries the answer, so a failed write raises `AnswerLost`. stderr carries progress and errors, which never end
the work: after the first failed write its text is discarded.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

STDERR = 2


class AnswerLost(Exception):
    """The answer could not be written to stdout."""

    def __init__(self, problem: OSError) -> None:
        super().__init__(f"cannot write the answer to stdout: {problem.strerror or problem}")
        self.is_broken_pipe = problem.errno == errno.EPIPE


class _Stream:
    """A text stream that behaves as `stream`, but for a failed write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except UnicodeEncodeError as problem:  # the terminal's encoding lacks a character
            return self._stream.write(text.encode(problem.encoding, "backslashreplace").decode(problem.encoding))
        except OSError as problem:
            self._failed(problem)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as problem:
            self._failed(problem)

    def _failed(self, problem: OSError) -> None:
        """Discard what is buffered and what follows: the end of Python must not fail on it again."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Stdout(_Stream):
    def _failed(self, problem: OSError) -> None:
        super()._failed(problem)
        raise AnswerLost(problem) from None


@contextmanager
def guarded() -> Iterator[None]:
    """Replace `sys.stdout` and `sys.stderr` by streams that handle failed writes."""
    _open_closed_descriptors()
    before = sys.stdout, sys.stderr
    out, err = (stream or open(os.devnull, "w", encoding="utf-8") for stream in before)  # noqa: PTH123, SIM115
    sys.stdout, sys.stderr = _Stdout(out), _Stream(err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _open_closed_descriptors() -> None:
    """Open the null device on closed standard descriptors; else a database could be given number 2."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(number)
