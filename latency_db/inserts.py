"""Rows that a run adds, each function inside one transaction. Used by `store.py` only."""

from collections.abc import Mapping, Sequence
from platform import node
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from latency_db.queries import RUN_FIELDS, sample_columns
from latency_db.runs import NewRun, ProfileRun, RunRecord
from latency_db.schema import RecordRow, RunRow, SampleRow, TargetRow, new_uid
from latency_db.table import Sample
from latency_db.target import Target


def add_run(session: Session, target: Target, graph_hashes: Mapping[str, str], new: NewRun) -> int:
    """A run without samples; gives its id."""
    _add_target(session, target)
    run = RunRow(
        uid=new_uid(),
        target_id=target.id,
        kind=new.kind,
        origin=new.origin,
        space=new.space,
        space_digest=new.space_digest,
        host=node(),
        code_version=new.code_version,
        conditions=dict(new.conditions),
        planned_rounds=new.rounds,
    )
    session.add(run)
    session.flush()
    session.add_all(RecordRow(run_id=run.id, key=key, graph_hash=graph) for key, graph in graph_hashes.items())
    return run.id


def add_samples(session: Session, run_id: int, number: int, samples: Mapping[str, Sample]) -> None:
    """One round of a run, unless it is stored already."""
    stored = select(SampleRow.key).where(SampleRow.run_id == run_id, SampleRow.round == number)
    if session.scalars(stored.limit(1)).first() is not None:
        return
    session.add_all(
        SampleRow(run_id=run_id, key=key, round=number, **sample_columns(sample)) for key, sample in samples.items()
    )


def add_copy(session: Session, run: ProfileRun, target: Target, records: Sequence[RunRecord]) -> bool:
    """A run of another database unchanged; False if it is stored already."""
    _add_target(session, target)
    values = {name: getattr(run, name) for name in RUN_FIELDS if name != "id"}
    row = _insert(session, RunRow).values(**values | {"conditions": dict(run.conditions)})
    added = session.execute(row.on_conflict_do_nothing(index_elements=["uid"]).returning(RunRow.id))
    run_id = added.scalar()
    if run_id is None:
        return False
    session.add_all(RecordRow(run_id=run_id, key=r.key, graph_hash=r.graph_hash) for r in records)
    session.flush()
    session.add_all(
        SampleRow(
            run_id=run_id,
            key=record.key,
            round=timed.round,
            taken_at=timed.taken_at,
            **sample_columns(timed.sample),
        )
        for record in records
        for timed in record.samples
    )
    return True


def _add_target(session: Session, target: Target) -> None:
    row = _insert(session, TargetRow).values(id=target.id, **target.as_dict())
    session.execute(row.on_conflict_do_nothing(index_elements=["id"]))


def _insert(session: Session, table: type[Any]) -> Any:
    """An INSERT that can skip existing rows: two commands may begin their first runs at the same time."""
    return (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert(table)
