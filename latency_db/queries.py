"""Questions to the database and what the rows of its answers mean; used by `store.py` alone."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from latency_db.drift_correction import correct_drift
from latency_db.records import RecordedRun
from latency_db.schema import RecordRow, RunRow, SampleRow, TargetRow
from latency_db.table import Row, Sample, summarize
from latency_db.target import Target

SAMPLE_FIELDS = tuple(Sample.__dataclass_fields__)
RUN_FIELDS = tuple(RecordedRun.__dataclass_fields__)


def newest_rows(session: Session, target: Target, wanted: ColumnElement[bool], without: str = "") -> dict[str, Row]:
    """The wanted parts of a target, each from its newest finished run that is not of the kind `without`.

    Of other parts of the same runs only the figures are read, which tell the machine's speed.
    """
    newest_first = (RunRow.finished_at.desc(), RunRow.id.desc())
    rank = func.row_number().over(partition_by=RecordRow.key, order_by=newest_first).label("rank")
    ranked = (
        select(RecordRow.run_id, RecordRow.key, RecordRow.graph_hash, rank)
        .join(RunRow, RunRow.id == RecordRow.run_id)
        .where(RunRow.target_id == target.id, RunRow.finished_at.is_not(None), RunRow.kind != without, wanted)
        .subquery()
    )
    newest = select(ranked).where(ranked.c.rank == 1).subquery()
    query = (
        select(SampleRow, newest.c.graph_hash)
        .join(newest, (SampleRow.run_id == newest.c.run_id) & (SampleRow.key == newest.c.key))
        .order_by(SampleRow.key, SampleRow.round)
    )
    samples: dict[tuple[str, str, int], list[Sample]] = defaultdict(list)
    for row, graph_hash in session.execute(query):
        samples[row.key, graph_hash, row.run_id].append(sample_of(row))
    figures = (
        _drift_corrected(session, target, {run_id for _, _, run_id in samples}) if target.device_kind == "cpu" else {}
    )
    rows = {}
    for (key, graph_hash, run_id), found in samples.items():
        summary = summarize(found, target.threads, target.device_kind)
        evenly = replace(summary, latency_ms=figures.get((run_id, key), summary.latency_ms))
        rows[key] = Row(key, evenly, graph_hash, run_id)
    return rows


def _drift_corrected(session: Session, target: Target, run_ids: Iterable[int]) -> dict[tuple[int, str], float]:
    """The figure of each part of these runs, at one speed of the machine; none of runs whose order is not known."""
    columns = (SampleRow.place, SampleRow.noise_reason, SampleRow.wall_ms_min, SampleRow.busy_ms_min)
    query = select(SampleRow.run_id, SampleRow.round, SampleRow.key, *columns).where(SampleRow.run_id.in_(run_ids))
    rounds: dict[int, dict[int, dict[str, Sample]]] = defaultdict(lambda: defaultdict(dict))
    for run_id, number, key, place, noise_reason, wall_ms, busy_ms in session.execute(query):
        sample = Sample(1, wall_ms, wall_ms, busy_ms, busy_ms, noise_reason=noise_reason, place=place)
        rounds[run_id][number][key] = sample
    found = {run_id: correct_drift(list(of_run.values()), target.threads) for run_id, of_run in rounds.items()}
    return {(run_id, key): ms for run_id, figures in found.items() for key, ms in figures.items()}


def targets_with(keys: Sequence[str]) -> Select[str, TargetRow]:
    """Each of the parts with every target that it was measured on to the end."""
    return (
        select(RecordRow.key, TargetRow)
        .join(RunRow, RunRow.id == RecordRow.run_id)
        .join(TargetRow, TargetRow.id == RunRow.target_id)
        .where(RunRow.finished_at.is_not(None), RecordRow.key.in_(keys))
        .distinct()
    )


def targets_with_records() -> Select[TargetRow, int]:
    """Every target with the number of its parts that were measured to the end, in the order of their making."""
    measured = (
        select(RunRow.target_id, func.count(func.distinct(RecordRow.key)).label("parts"))
        .join(RecordRow, RecordRow.run_id == RunRow.id)
        .where(RunRow.finished_at.is_not(None))
        .group_by(RunRow.target_id)
        .subquery()
    )
    return (
        select(TargetRow, func.coalesce(measured.c.parts, 0))
        .outerjoin(measured, measured.c.target_id == TargetRow.id)
        .order_by(TargetRow.created_at, TargetRow.id)
    )


def sample_columns(sample: Sample) -> dict[str, Any]:
    return {name: getattr(sample, name) for name in SAMPLE_FIELDS} | {"raw_ms": list(sample.raw_ms)}


def sample_of(row: SampleRow) -> Sample:
    return Sample(**{name: getattr(row, name) for name in SAMPLE_FIELDS} | {"raw_ms": tuple(row.raw_ms)})


def target_of(row: TargetRow) -> Target:
    return Target.from_dict({name: getattr(row, name) for name in Target.__dataclass_fields__})


def run_of(row: RunRow) -> RecordedRun:
    return RecordedRun(**{name: getattr(row, name) for name in RUN_FIELDS})
