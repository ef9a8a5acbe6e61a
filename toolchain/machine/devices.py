"""`nastool devices`: attached devices, measured targets, and known devices."""

from dataclasses import dataclass

from exporters.devices.attached import Device, attached
from exporters.devices.known import KnownDevice, known
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


def device_overview(db: str) -> DeviceOverview:
    """Inspect this machine and the latency table, which is not created if it does not exist.

    Raises:
        LatencyDbError: the database cannot be used.
    """
    measured: tuple[tuple[Target, int], ...] = ()
    if exists(db):
        with open_store(db) as store:
            measured = tuple(store.targets())
    return DeviceOverview(attached(), measured, known(), shown(db))
