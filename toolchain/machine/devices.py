"""`nastool devices`: attached devices, measured targets, and known devices."""

from dataclasses import dataclass

from exporters.devices.attached import Device, attached
from exporters.devices.known import KnownDevice, known
from exporters.remote.address import is_remote, parse_address
from exporters.remote.connection import connect
from exporters.remote.device import devices_of
from latency_db.store import open_store
from latency_db.target import Target
from latency_db.where import exists, shown


@dataclass(frozen=True)
class DeviceOverview:
    """Attached devices, targets with their number of records, and known devices."""

    attached: tuple[Device, ...]
    measured: tuple[tuple[Target, int], ...]
    known: tuple[KnownDevice, ...]
    db: str


def device_overview(db: str, device: str = "cpu") -> DeviceOverview:
    """Inspect this machine and the latency table, which is not created if it does not exist.

    Args:
        device: its machine's devices are listed with the attached ones if it is remote.

    Raises:
        UnknownDevice, DeviceUnreachable, DeviceFailed: it cannot be used.
        LatencyDbError: the database cannot be used.
    """
    measured: tuple[tuple[Target, int], ...] = ()
    if exists(db):
        with open_store(db) as store:
            measured = tuple(store.targets())
    remote = devices_of(connect(parse_address(device))) if is_remote(device) else ()
    return DeviceOverview((*attached(), *remote), measured, known(), shown(db))
