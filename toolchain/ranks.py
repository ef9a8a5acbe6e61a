"""Which of several processes this one is. torchrun tells by the environment, so nothing is loaded here."""

import os
import signal
import threading
import time

TOLD_BY = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # torchrun sets them, and so do most schedulers
LAUNCHED = "NASTOOL_LAUNCHER"  # the process that started this one, and shows its errors: `launch` sets it
LAUNCHER_CHECKED_EVERY_S = 0.5


def rank() -> int:
    """The number of this process, 0 for the one that writes files and prints; 0 where there is one alone."""
    return _told("RANK", 0)


def world() -> int:
    """How many processes work together, on all machines."""
    return _told("WORLD_SIZE", 1)


def local_rank() -> int:
    """The number of this process among those of this machine; it takes the GPU of that number."""
    return _told("LOCAL_RANK", 0)


def local_world() -> int:
    """How many of the processes are on this machine."""
    return _told("LOCAL_WORLD_SIZE", 1)


def launched() -> bool:
    """Whether `nastool --nproc` started this process."""
    return LAUNCHED in os.environ and world() > 1


def end_with_launcher() -> None:
    """End this process by the launcher's Ctrl-C, without a word, and also when the launcher itself was killed.

    Else it would train on with nobody to watch it, and hold the run's lock.
    """
    if not launched():
        return
    launcher = int(os.environ[LAUNCHED])

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(LAUNCHER_CHECKED_EVERY_S)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=watch, daemon=True).start()


def _told(name: str, alone: int) -> int:
    value = os.environ.get(name)  # first, as it is asked for at every step and normalisation
    return alone if value is None or not all(key in os.environ for key in TOLD_BY) else int(value)
