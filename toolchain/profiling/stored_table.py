"""The records of a space in the latency table, as searches and reports read them."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from latency_db.store import Store, open_store
from latency_db.table import LatencyTable, Record
from latency_db.target import Target
from toolchain.costs.latency import network_prefix, position_keys, stem_key, variant_keys
from toolchain.costs.regression import REGRESSION
from toolchain.profiling.sessions import one_session, session_of
from toolchain.spaces.core import SearchSpace


def load_table(space: SearchSpace, target: Target, db: str, among: Collection[str] | None = None) -> LatencyTable:
    """The records of the variants and whole networks of `space` on `target`.

    Read again from the runs in `profile_runs` of the result, it is the same table, whatever was profiled since.

    Args:
        among: uids of the runs to read; default: all.

    Raises:
        LatencyDbError: the database cannot be used. Variants that were not measured raise when they are looked up.
    """
    with open_store(db) as store:
        # without what searches verified: those were chosen for looking quick, and a search that goes on must start
        # as it began (docs/decisions/0027-recalibration-after-a-miss.md)
        keys = list(variant_keys(space))
        if target.backend == REGRESSION:
            keys += position_keys(space)
        table = store.table(target, keys, among)
        networks = () if target.estimate else store.networks(target, network_prefix(space), "verify", among)
        history = {} if target.estimate else store.history(target, table.records, among)
        uids = {run.id: run.uid for run in store.runs(target)}
    records, session = {**table.records, **{record.key: record for record in networks}}, None
    if target.backend == REGRESSION and (stem := table.records.get(stem_key(space))):
        # of one fit only: another fit distributes the same milliseconds differently
        records = {key: record for key, record in records.items() if record.run_id == stem.run_id}
    elif history:
        by_key = {record.key: (record,) for record in networks}
        records, session = one_session(history, by_key), session_of(history, by_key)
    return replace(table, records=records, profile_runs=_profile_runs(records, session, uids))


def _profile_runs(records: Mapping[str, Record], session: int | None, uids: Mapping[int, str]) -> tuple[str, ...]:
    """The uids of the runs that records are from, and of the session that gives their speed, oldest first."""
    used = {record.run_id for record in records.values()} | ({session} if session is not None else set())
    return tuple(uids[run_id] for run_id in sorted(used))


def has_runs(store: Store, target: Target, uids: Collection[str]) -> bool:
    """Whether the table still has all of these finished runs."""
    return set(uids) <= {run.uid for run in store.runs(target) if run.finished_at is not None}
