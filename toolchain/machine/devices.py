"""`nastool devices`: what could be measured here, what was measured, and what is known."""

from dataclasses import dataclass

from exporters.devices.attached import Device, attached
from exporters.devices.known import KnownDevice, known
from latency_db.store import open_store
from latency_db.target import Target
from latency_db.where import exists, shown


@dataclass(frozen=True)
class DeviceOverview:
    """Attached devices, targets with the number of their rows, and known devices."""

    attached: tuple[Device, ...]
    measured: tuple[tuple[Target, int], ...]
    known: tuple[KnownDevice, ...]
    db: str


def device_overview(db: str) -> DeviceOverview:
    """Look at this machine and at the table, which is not made where there is none.

    Raises:
        LatencyDbError: the database can't be used.
    """
    measured: tuple[tuple[Target, int], ...] = ()
    if exists(db):
        with open_store(db) as store:
            measured = tuple(store.targets())
    return DeviceOverview(attached(), measured, known(), shown(db))
