"""The lock file of a device: the same file that commands on the device itself lock (`latency_db.locks`).

It is opened as there, in code of its own: nastool may not be installed on the device, and the latency table and the
exporters do not import each other. `tests/toolchain/measuring/test_device_lock.py` holds the two together.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path
from tempfile import gettempdir

FOLDER_VARIABLE = "NASTOOL_LOCKS"


def lock_path(uid: str) -> Path:
    """The lock file of the device with this uid."""
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named) if named else Path("/tmp") if os.access("/tmp", os.W_OK) else Path(gettempdir())
    return folder / f"nastool-{re.sub('[^A-Za-z0-9.-]+', '-', uid)}.lock"


class LockFile:
    """A lock that the kernel frees when this process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._descriptor is not None

    def acquire(self, owner: str) -> str | None:
        """Lock it for `owner`; returns None, or the present owner if it is locked already.

        Raises:
            OSError: the file cannot be opened.
        """
        descriptor = self._open() if self._descriptor is None else self._descriptor
        if self.held:
            return _owner(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            present = _owner(descriptor)
            os.close(descriptor)
            return present
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner.encode()[:200], 0)
        return None

    def release(self) -> None:
        """Free it if this process holds it."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)  # before it is freed: the next owner writes its own name
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        """Links are not followed, and an existing file is opened without O_CREAT, which Linux refuses for files of
        other users in a shared folder."""
        for _ in range(2):
            try:
                return os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                pass
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            except FileExistsError:
                continue  # another process created it in between
            os.fchmod(descriptor, 0o666)  # regardless of the user's umask
            return descriptor
        return os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)


def _owner(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another command"
