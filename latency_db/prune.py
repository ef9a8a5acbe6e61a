"""Runs that no read uses any more."""

from datetime import datetime, timedelta

from latency_db.runs import ProfileRun
from latency_db.store import Store

RESUMABLE = timedelta(days=1)  # an unfinished run may be resumed, or be in progress


def superseded(store: Store, now: datetime) -> tuple[ProfileRun, ...]:
    """The runs whose records all have a newer finished measurement on the same target.

    Newer means inserted later (`ProfileRun.precedence`); clock times can be wrong. An unfinished run is included if it
    was started more than a day before `now` (UTC).
    """
    runs, keys = store.runs(), store.keys_by_run()
    oldest = (False, 0)
    newest: dict[tuple[str, str], tuple[bool, int]] = {}
    for run in runs:
        if run.finished_at is not None:
            for key in keys[run.id]:
                record = (run.target_id, key)
                newest[record] = max(newest.get(record, oldest), run.precedence)

    def is_superseded(run: ProfileRun) -> bool:
        if run.finished_at is None and now - datetime.fromisoformat(run.started_at) < RESUMABLE:
            return False
        return all(newest.get((run.target_id, key), oldest) > run.precedence for key in keys[run.id])

    return tuple(run for run in runs if is_superseded(run))
