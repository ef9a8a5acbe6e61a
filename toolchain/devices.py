"""`nastool devices`: what could be measured here, what was measured, and what is known."""

from dataclasses import dataclass

from latency_db.context import Context
from latency_db.devices import Device, attached
from latency_db.known import KnownDevice, known
from latency_db.store import open_store
from latency_db.where import exists, shown


@dataclass(frozen=True)
class Survey:
    """Attached devices, stacks with the number of their rows, and known devices."""

    attached: tuple[Device, ...]
    measured: tuple[tuple[Context, int], ...]
    known: tuple[KnownDevice, ...]
    db: str


def survey(db: str) -> Survey:
    """Look at this machine and at the table, which is not made where there is none.

    Raises:
        LatencyDbError: the database can't be used.
    """
    measured: tuple[tuple[Context, int], ...] = ()
    if exists(db):
        with open_store(db) as store:
            measured = tuple(store.contexts())
    return Survey(attached(), measured, known(), shown(db))
