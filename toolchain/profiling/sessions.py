"""Which records of several profiling sessions a calibration uses.

Spaces share block variants, so profiling one space measures variants of another one again, perhaps on a busy machine.
A calibration needs variants and networks that were measured at the same speed of the machine. So the records of one
session are used, and records of other sessions are brought to its speed by the anchor network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from latency_db.table import Record


def one_session(
    variants: Mapping[str, Sequence[Record]], networks: Mapping[str, Sequence[Record]]
) -> dict[str, Record]:
    """One record for each key.

    The session is the newest one that measured all variants, else that of the newest network, else that of the newest
    variant. A stable record is preferred to an unstable one, then a record of the session, then the newest.

    Args:
        variants: the records of each key, oldest first.
        networks: the same for whole networks.
    """
    run_id = session_of(variants, networks)
    chosen = {key: _choose(records, run_id) for key, records in {**variants, **networks}.items() if records}
    anchors = [r.summary.anchor_ms for r in chosen.values() if r.run_id == run_id and r.summary.anchor_ms is not None]
    anchor_ms = median(anchors) if anchors else None
    return {
        key: record if record.run_id == run_id else _at_speed_of(record, anchor_ms) for key, record in chosen.items()
    }


def session_of(variants: Mapping[str, Sequence[Record]], networks: Mapping[str, Sequence[Record]]) -> int | None:
    """The id of the run whose speed the records are brought to; None if there are no records."""
    return _newest_complete_run(variants) or _newest_run(networks) or _newest_run(variants)


def _newest_complete_run(records: Mapping[str, Sequence[Record]]) -> int | None:
    runs = [{record.run_id for record in of_key} for of_key in records.values()]
    return max(set.intersection(*runs), default=None) if runs else None


def _newest_run(records: Mapping[str, Sequence[Record]]) -> int | None:
    return max((of_key[-1].run_id for of_key in records.values() if of_key), default=None)


def _choose(records: Sequence[Record], run_id: int | None) -> Record:
    candidates = [record for record in records if not record.summary.unstable] or records
    return next((record for record in reversed(candidates) if record.run_id == run_id), candidates[-1])


def _at_speed_of(record: Record, anchor_ms: float | None) -> Record:
    return replace(record, summary=replace(record.summary, latency_ms=record.summary.at_speed_of(anchor_ms)))
