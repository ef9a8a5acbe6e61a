"""Two commands that measure on one device take turns."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from exporters.devices.attached import find
from exporters.errors import DeviceMissing
from latency_db import locks, where
from latency_db.store import open_store
from toolchain.config import ProfileConfig
from toolchain.progress import Progress


@contextmanager
def device_lock(config: ProfileConfig, progress: Progress) -> Iterator[None]:
    """Be the only one who measures on the device, of all on this machine and all who share the server's table.

    Who has it is said while it is waited for. An estimate of a device that isn't here needs no turn.

    Raises:
        DeviceBusy: another command kept it for an hour.
        LatencyDbError: the server can't be used, or the lock's file can't be made.
    """
    device = _uid(config)
    if device is None:
        yield
        return
    if isinstance(where.parse(config.db), Path):
        with locks.on_this_machine(device, progress.say, locks.LONGEST_WAIT_S):
            yield
        return
    with open_store(config.db) as store, store.device_lock(device, progress.say):
        yield


@contextmanager
def device_locks(configs: Iterable[ProfileConfig], progress: Progress) -> Iterator[None]:
    """`device_lock` of several configurations, always in one order, so that no two commands wait for each other.

    Raises:
        as `device_lock`.
    """
    devices = {device: config for config in configs if (device := _uid(config)) is not None}
    with ExitStack() as turns:
        for device in sorted(devices):
            turns.enter_context(device_lock(devices[device], progress))
        yield


def _uid(config: ProfileConfig) -> str | None:
    """What its device is locked by; None for one that isn't here."""
    try:
        return find(config.device).uid
    except DeviceMissing:
        return None
