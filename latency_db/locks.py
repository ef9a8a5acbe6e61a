"""One measurement a device at a time: two that run side by side would both be wrong."""

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from platform import node
from tempfile import gettempdir

from sqlalchemy import Engine, text

from latency_db.errors import DatabaseUnwritable, DeviceBusy

LONGEST_WAIT_S = 3600.0
LOOK_EVERY_S = 0.2
FOLDER_VARIABLE = "NASTOOL_LOCKS"  # a folder, for containers that share a device but not the machine's folders


@contextmanager
def on_this_machine(device: str, waiting: Callable[[str], None], wait_s: float) -> Iterator[None]:
    """Hold the lock file of a device, which every user of this machine shares; the kernel frees it after a kill.

    A process that holds it already goes on: what it measures, it measures one after the other.

    Raises:
        DeviceBusy: another process kept it for longer than `wait_s` seconds.
        DatabaseUnwritable: the file can't be made.
    """
    path = lock_folder() / f"nastool-{re.sub('[^A-Za-z0-9.-]+', '-', device)}.lock"
    try:
        descriptor = _open(path)
    except OSError as problem:
        raise DatabaseUnwritable(
            f"can't open {path}, by which commands that measure take turns: {problem.strerror}. Remove it, or name "
            f"another folder in the environment variable {FOLDER_VARIABLE}"
        ) from None
    try:
        mine = _patiently(lambda: _taken(descriptor), lambda: _holder(descriptor), device, waiting, wait_s)
        if mine:
            os.ftruncate(descriptor, 0)  # a killed process may have left a longer name
            os.pwrite(descriptor, _me().encode(), 0)
        try:
            yield
        finally:
            if mine:
                os.ftruncate(descriptor, 0)  # before it is let go of: who holds it next has yet to write its name
    finally:
        os.close(descriptor)  # the file stays: removed, two could each hold "the" lock


@contextmanager
def on_the_server(engine: Engine, device: str, waiting: Callable[[str], None], wait_s: float) -> Iterator[None]:
    """Hold PostgreSQL's advisory lock of a device; the server frees it when the connection ends.

    Raises:
        DeviceBusy: another process kept it for longer than `wait_s` seconds.
    """
    key = int.from_bytes(hashlib.sha256(f"nastool {device}".encode()).digest()[:8], signed=True)
    # A statement is a transaction here: one that lasted as long as a measurement would hold up the server's cleaning.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:

        def taken() -> bool:
            return bool(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}))

        def holder() -> str:
            holds = (
                "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
                "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
                "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                "AND (l.classid::bigint << 32) + l.objid::bigint = :key"
            )
            name = str(connection.scalar(text(holds), {"key": key}) or "")
            return name.removeprefix("nastool ") or "another command"

        mine = _patiently(taken, holder, device, waiting, wait_s)
        try:
            yield
        finally:
            if mine:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})


def lock_folder() -> Path:
    """The folder of lock files: the same for every user of the machine, whatever their own temporary folders are."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    shared = Path("/tmp")
    return shared if os.access(shared, os.W_OK) else Path(gettempdir())


def _open(path: Path) -> int:
    """Open a lock file for everybody; never through a link, which another user may have laid.

    In a folder that all may write to, Linux refuses to *make* (O_CREAT) a file that is there and another user's, so it
    is opened first and made only where there is none.
    """
    for _ in range(2):
        try:
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            pass
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue  # another one made it in between
        os.fchmod(descriptor, 0o666)  # past the user's umask
        return descriptor
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another command"


def _patiently(
    taken: Callable[[], bool], holder: Callable[[], str], device: str, waiting: Callable[[str], None], wait_s: float
) -> bool:
    """True once the lock was taken, False where this process has it already.

    Raises:
        DeviceBusy: it could not be had in time.
    """
    began, told = time.monotonic(), ""
    while not taken():
        who = holder()
        if who == _me():
            return False
        if time.monotonic() - began >= wait_s:
            raise DeviceBusy(
                f"the device {device} was measured on by {who} for all of {wait_s:.0f} s, and only one command at a "
                f"time may. Type the same again when that one has ended"
            )
        if who != told:
            waiting(f"waiting for {who}, which measures on this device")
            told = who
        time.sleep(LOOK_EVERY_S)
    return True


def _me() -> str:
    return f"process {os.getpid()} on {node()}"
