"""Ctrl-C: the first one stops the command in order, the second one ends it at once. Neither prints a traceback."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 130


@contextmanager
def handled(say_stopped: Callable[[], None]) -> Iterator[None]:
    """Handle Ctrl-C until the end of the block; after a first Ctrl-C until the end of the process.

    Args:
        say_stopped: called before the second Ctrl-C ends the process.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, as in a shell's background job
        yield
        return
    process = os.getpid()
    was_unraisable = sys.unraisablehook

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, second)
        raise KeyboardInterrupt

    def second(number: int, frame: FrameType | None) -> None:
        if os.getpid() == process:  # forked data workers inherit this handler
            say_stopped()
        os._exit(INTERRUPTED)

    def unraisable(dropped: Any) -> None:
        if isinstance(dropped.exc_value, KeyboardInterrupt):  # raised inside a finalizer, where Python drops it
            signal.signal(signal.SIGINT, first)
        else:
            was_unraisable(dropped)

    sys.unraisablehook = unraisable
    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is first:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.unraisablehook = was_unraisable


def end_silently() -> None:
    """End the process without a word at the next Ctrl-C; its message has been printed."""
    if callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
