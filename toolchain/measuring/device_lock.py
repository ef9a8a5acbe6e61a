"""One command at a time measures on a device."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from exporters.devices.attached import Device
from exporters.remote.connection import Connection
from latency_db import locks, where
from latency_db.store import open_store
from toolchain.progress import Progress


@contextmanager
def device_lock(device: Device | None, db: str, progress: Progress) -> Iterator[None]:
    """Hold the lock of a device: on the machine that has it, and for all who share the PostgreSQL server `db`.

    The holder is shown while waiting. An estimate has no device and needs no lock.

    Raises:
        DeviceBusy: another command held it for an hour.
        LatencyDbError: the server cannot be used, or the lock file cannot be created.
    """
    if device is None:
        yield
        return
    with ExitStack() as held:
        if not isinstance(where.parse(db), Path):
            store = held.enter_context(open_store(db))
            held.enter_context(store.device_lock(device.uid, progress.say))
        elif device.remote is None:
            held.enter_context(locks.on_this_machine(device.uid, progress.say, locks.MAX_WAIT_S))
        if device.remote is not None:
            held.enter_context(_on_the_device(device.remote, device.uid, progress))
        yield


@contextmanager
def _on_the_device(remote: Connection, uid: str, progress: Progress) -> Iterator[None]:
    """Hold the lock file on a remote device, which commands on the device itself lock as well.

    Raises:
        DeviceBusy: another command held it for an hour.
    """
    with locks.held(lambda: remote.lock(locks.this_process(), uid), remote.unlock, remote.name, progress.say):
        yield


@contextmanager
def device_locks(devices: Iterable[Device | None], db: str, progress: Progress) -> Iterator[None]:
    """`device_lock` of several devices, always in the same order, so that two commands cannot wait for each other.

    Raises:
        DeviceBusy, LatencyDbError: see `device_lock`.
    """
    by_uid = {device.uid: device for device in devices if device is not None}
    with ExitStack() as held:
        for uid in sorted(by_uid):
            held.enter_context(device_lock(by_uid[uid], db, progress))
        yield
