"""Device locks: only one command measures on a device at a time, since two would slow each other down."""

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

MAX_WAIT_S = 3600.0
POLL_EVERY_S = 0.2
FOLDER_VARIABLE = "NASTOOL_LOCKS"  # a folder, for containers that share a device but not the machine's folders


@contextmanager
def on_this_machine(device: str, waiting: Callable[[str], None], wait_s: float) -> Iterator[None]:
    """Hold the lock file of a device, which all users of this machine share; the kernel frees it after a kill.

    Workstations that measure on this machine over ssh lock the same file (`exporters.agent.lock_file`).

    A process that holds it already continues, since it measures one thing after the other.

    Raises:
        DeviceBusy: another process held it for `wait_s` seconds.
        DatabaseUnwritable: the file cannot be created or opened.
    """
    path = lock_folder() / f"nastool-{re.sub('[^A-Za-z0-9.-]+', '-', device)}.lock"
    try:
        descriptor = _open(path)
    except OSError as problem:
        raise DatabaseUnwritable(
            f"cannot open the lock file {path} of the device: {problem.strerror}. Remove it, or name another folder in "
            f"the environment variable {FOLDER_VARIABLE}"
        ) from None
    try:
        acquired = _acquire(lambda: _try_lock(descriptor), lambda: _holder(descriptor), device, waiting, wait_s)
        if acquired:
            os.ftruncate(descriptor, 0)  # a killed process may have written a longer name
            os.pwrite(descriptor, this_process().encode(), 0)
        try:
            yield
        finally:
            if acquired:
                os.ftruncate(descriptor, 0)  # before the lock is released: the next holder writes its own name
    finally:
        os.close(descriptor)  # the file stays: if it were removed, two processes could each lock a file of this name


@contextmanager
def on_the_server(engine: Engine, device: str, waiting: Callable[[str], None], wait_s: float) -> Iterator[None]:
    """Hold PostgreSQL's advisory lock of a device; the server frees it when the connection ends.

    Raises:
        DeviceBusy: another process held it for `wait_s` seconds.
    """
    key = int.from_bytes(hashlib.sha256(f"nastool {device}".encode()).digest()[:8], signed=True)
    # Without AUTOCOMMIT a transaction would last as long as the measurement and delay the server's VACUUM.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:

        def try_lock() -> bool:
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

        acquired = _acquire(try_lock, holder, device, waiting, wait_s)
        try:
            yield
        finally:
            if acquired:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})


@contextmanager
def held(
    acquire: Callable[[], str | None],
    release: Callable[[], None],
    device: str,
    waiting: Callable[[str], None],
    wait_s: float = MAX_WAIT_S,
) -> Iterator[None]:
    """Hold the lock of a device that is on another machine.

    Args:
        acquire: tries to lock it; returns None, or its present holder.

    Raises:
        DeviceBusy: another process held it for `wait_s` seconds.
    """
    holder: str | None = None

    def try_lock() -> bool:
        nonlocal holder
        holder = acquire()
        return holder is None

    acquired = _acquire(try_lock, lambda: holder or "another command", device, waiting, wait_s)
    try:
        yield
    finally:
        if acquired:
            release()


def lock_folder() -> Path:
    """The folder of lock files, which is the same for every user of the machine.

    Raises:
        DatabaseUnwritable: the environment variable names something else.
    """
    if named := os.environ.get(FOLDER_VARIABLE):
        folder = Path(named)
        if not folder.is_dir():
            raise DatabaseUnwritable(
                f"the folder {folder} for lock files, from the environment variable {FOLDER_VARIABLE}, does not exist. "
                f"Create it, or unset {FOLDER_VARIABLE}"
            )
        return folder
    shared = Path("/tmp")
    return shared if os.access(shared, os.W_OK) else Path(gettempdir())


def _open(path: Path) -> int:
    """Open a lock file that all users can open. Links are not followed: another user may have created one.

    In a folder that all users can write to, Linux refuses O_CREAT on an existing file of another user, so the file is
    opened first and created only if there is none.
    """
    for _ in range(2):
        try:
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            pass
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue  # another process created it in between
        os.fchmod(descriptor, 0o666)  # regardless of the user's umask
        return descriptor
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another command"


def _acquire(
    try_lock: Callable[[], bool], holder: Callable[[], str], device: str, waiting: Callable[[str], None], wait_s: float
) -> bool:
    """True once the lock is acquired, False if this process holds it already.

    Raises:
        DeviceBusy: it was not released within `wait_s` seconds.
    """
    began, announced = time.monotonic(), ""
    while not try_lock():
        who = holder()
        if who == this_process():
            return False
        if time.monotonic() - began >= wait_s:
            raise DeviceBusy(
                f"the device {device} was in use by {who} for {wait_s:.0f} s, and only one command at a time can "
                f"measure on it. Run the command again when that one has ended"
            )
        if who != announced:
            waiting(f"waiting for {who}, which measures on this device")
            announced = who
        time.sleep(POLL_EVERY_S)
    return True


def this_process() -> str:
    """The name of this process as the holder of a lock."""
    return f"process {os.getpid()} on {node()}"
