"""Which of several processes this one is. torchrun tells by the environment, so nothing is loaded here."""

import os
import signal
import sys
import threading
import time

from toolchain.errors import BadLaunch

TOLD_BY = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # torchrun sets them, and so do most schedulers
LAUNCHED = "NASTOOL_LAUNCHER"  # the process that started this one, and shows its errors: `launch` sets it
LAUNCHER_CHECKED_EVERY_S = 0.5
PORTS = range(1, 2**16)
_REMEDY = "Let torchrun set it, or train on one machine with --nproc; for one process alone, unset RANK and WORLD_SIZE"


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
    """Whether `nastool --nproc` started this process; it didn't where the environment is wrong."""
    return LAUNCHED in os.environ and _is_sound() and world() > 1


def silent() -> bool:
    """Whether another process prints. Where that can't be told this one does: it has that to say."""
    return _is_sound() and rank() > 0


def require_sound() -> None:
    """Refuse an environment that was set up by hand or by a script, and wrongly.

    Raises:
        BadLaunch: the variable is named.
    """
    for mine, all_, whose in ((rank(), world(), ""), (local_rank(), local_world(), "LOCAL_")):
        if all_ < 1 or (mine >= all_ and f"{whose}WORLD_SIZE" in os.environ):
            raise BadLaunch(
                f"{whose}RANK is {mine} and {whose}WORLD_SIZE is {all_} in the environment, and ranks count from 0 to "
                f"one less than the world's size. {_REMEDY}"
            )
    port = os.environ["MASTER_PORT"] if world() > 1 else str(PORTS[0])
    if not port.isdecimal() or int(port) not in PORTS:
        raise _wrong("MASTER_PORT", f"a port from {PORTS[0]} to {PORTS[-1]}")
    if LAUNCHED in os.environ:
        _number(LAUNCHED)


def end_with_launcher() -> None:
    """End this process by the launcher's Ctrl-C, without a word, and also when the launcher itself was killed.

    Else it would train on with nobody to watch it, and hold the run's lock.
    """
    if not launched():
        return
    launcher = _number(LAUNCHED)

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(LAUNCHER_CHECKED_EVERY_S)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=watch, daemon=True).start()


def _is_sound() -> bool:
    try:
        require_sound()
    except BadLaunch:
        return False
    return True


def end_rank() -> None:
    """End this process at once if it is one of several; its work is done, and its files are closed.

    Else threads of torch.distributed race with the end of Python, and about one time in twenty abort a process that
    has nothing left to do.
    """
    if world() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _told(name: str, alone: int) -> int:
    value = os.environ.get(name)  # first, as it is asked for at every step and normalization
    return alone if value is None or not all(key in os.environ for key in TOLD_BY) else _number(name)


def _number(name: str) -> int:
    try:
        number = int(os.environ[name])
    except ValueError:
        number = -1
    if number < 0:
        raise _wrong(name, "a whole number from 0")
    return number


def _wrong(name: str, wanted: str) -> BadLaunch:
    return BadLaunch(f"{name} is {os.environ[name]!r} in the environment, and should be {wanted}. {_REMEDY}")
