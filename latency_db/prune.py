"""Old runs, of which nothing is read any more."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from latency_db.records import RecordedRun
from latency_db.store import Store

RESUMABLE = timedelta(days=1)  # an unfinished run may be gone on with, or be under way


def superseded(store: Store, now: datetime) -> tuple[RecordedRun, ...]:
    """The runs of which each part has a newer finished measurement on the same target.

    An unfinished run counts as well once it is a day old at the time `now`, which is in UTC.
    """
    keys = store.keys_by_run()
    return _old(store.runs(), keys, now)


def _old(runs: tuple[RecordedRun, ...], keys: Mapping[int, frozenset[str]], now: datetime) -> tuple[RecordedRun, ...]:
    newest: dict[tuple[str, str], tuple[str, int]] = {}
    for run in runs:
        if run.finished_at is not None:
            for key in keys[run.id]:
                place = (run.target_id, key)
                newest[place] = max(newest.get(place, ("", 0)), (run.finished_at, run.id))

    def is_old(run: RecordedRun) -> bool:
        if run.finished_at is None and now - datetime.fromisoformat(run.started_at) < RESUMABLE:
            return False
        mine = (run.finished_at or run.started_at, run.id)
        return all(newest.get((run.target_id, key), ("", 0)) > mine for key in keys[run.id])

    return tuple(run for run in runs if is_old(run))
