"""The rank of this process and the number of ranks, from the environment that torchrun sets; loads no library."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress

from toolchain.errors import BadLaunch

TORCHRUN_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # set by torchrun and most schedulers
LAUNCHED = "NASTOOL_LAUNCHER"  # id of the process that started this one and shows its errors
LAUNCHER_POLL_S = 0.5
PORTS = range(1, 2**16)
_REMEDY = "Let torchrun set it, or train on one machine with --nproc; for one process alone, unset RANK and WORLD_SIZE"


def rank() -> int:
    """The rank of this process; rank 0 writes files and prints, and is the rank of a single process."""
    return _variable("RANK", 0)


def world() -> int:
    """The number of ranks on all machines."""
    return _variable("WORLD_SIZE", 1)


def local_rank() -> int:
    """The rank of this process among those of this machine, which is also the index of its GPU."""
    return _variable("LOCAL_RANK", 0)


def local_world() -> int:
    """The number of ranks on this machine."""
    return _variable("LOCAL_WORLD_SIZE", 1)


def launched() -> bool:
    """Whether `nastool --nproc` started this process; False if the environment is invalid."""
    return LAUNCHED in os.environ and _is_valid() and world() > 1


def silent() -> bool:
    """Whether another rank prints. If the environment is invalid, this process prints, since it has to report that."""
    return _is_valid() and rank() > 0


def require_valid_environment() -> None:
    """Check the variables of torchrun, which may have been set by hand.

    Raises:
        BadLaunch: a variable is invalid; the message names it.
    """
    for own, count, prefix in ((rank(), world(), ""), (local_rank(), local_world(), "LOCAL_")):
        if count < 1 or (own >= count and f"{prefix}WORLD_SIZE" in os.environ):
            raise BadLaunch(
                f"{prefix}RANK is {own} and {prefix}WORLD_SIZE is {count} in the environment, and ranks "
                f"count from 0 to one less than the world size. {_REMEDY}"
            )
    port = os.environ["MASTER_PORT"] if world() > 1 else str(PORTS[0])
    if not port.isdecimal() or int(port) not in PORTS:
        raise _invalid("MASTER_PORT", f"a port from {PORTS[0]} to {PORTS[-1]}")
    if LAUNCHED in os.environ:
        _number(LAUNCHED)


def exit_with_launcher() -> None:
    """End this process silently on Ctrl-C, and when its launcher was killed.

    Otherwise it would continue to train, and hold the lock of the run.
    """
    if not launched():
        return
    launcher = _number(LAUNCHED)

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(LAUNCHER_POLL_S)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=watch, daemon=True).start()


def _is_valid() -> bool:
    try:
        require_valid_environment()
    except BadLaunch:
        return False
    return True


def exit_rank() -> None:
    """End this process at once with exit code 0 if it is one of several ranks; its files are closed.

    At a normal exit, threads of torch.distributed race with the end of Python, and about one in twenty processes
    aborts. Output that cannot be written does not make finished work fail.
    """
    if world() > 1:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # a closed pipe, a full disk, a closed stream
                stream.flush()
        os._exit(0)


def _variable(name: str, single: int) -> int:
    value = os.environ.get(name)  # first, since every step and normalization calls this
    return single if value is None or not all(key in os.environ for key in TORCHRUN_VARIABLES) else _number(name)


def _number(name: str) -> int:
    try:
        number = int(os.environ[name])
    except ValueError:
        number = -1
    if number < 0:
        raise _invalid(name, "a whole number from 0")
    return number


def _invalid(name: str, expected: str) -> BadLaunch:
    return BadLaunch(f"{name} is {os.environ[name]!r} in the environment, and should be {expected}. {_REMEDY}")
