"""Questions to the database and what the rows of its answers mean; used by `store.py` alone."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from latency_db.context import Context
from latency_db.evened import evened
from latency_db.records import Run
from latency_db.schema import ContextRow, PartRow, ProfileRun, SampleRow
from latency_db.table import Row, Sample, summarise

SAMPLE_FIELDS = tuple(Sample.__dataclass_fields__)
RUN_FIELDS = tuple(Run.__dataclass_fields__)


def newest_rows(session: Session, context: Context, wanted: ColumnElement[bool], without: str = "") -> dict[str, Row]:
    """The wanted parts of a stack, each from its newest finished run that is not of the kind `without`.

    Of other parts of the same runs only the figures are read, which tell the machine's speed.
    """
    newest_first = (ProfileRun.finished_at.desc(), ProfileRun.id.desc())
    rank = func.row_number().over(partition_by=PartRow.key, order_by=newest_first).label("rank")
    ranked = (
        select(PartRow.run_id, PartRow.key, PartRow.graph_hash, rank)
        .join(ProfileRun, ProfileRun.id == PartRow.run_id)
        .where(
            ProfileRun.context_id == context.id, ProfileRun.finished_at.is_not(None), ProfileRun.kind != without, wanted
        )
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
    figures = _evened(session, context, {run_id for _, _, run_id in samples}) if context.device_kind == "cpu" else {}
    rows = {}
    for (key, graph_hash, run_id), found in samples.items():
        summary = summarise(found, context.threads, context.device_kind)
        evenly = replace(summary, latency_ms=figures.get((run_id, key), summary.latency_ms))
        rows[key] = Row(key, evenly, graph_hash, run_id)
    return rows


def _evened(session: Session, context: Context, run_ids: Iterable[int]) -> dict[tuple[int, str], float]:
    """The figure of each part of these runs, at one speed of the machine; none of runs whose order is not known."""
    columns = (SampleRow.place, SampleRow.disturbed, SampleRow.wall_ms_min, SampleRow.busy_ms_min)
    query = select(SampleRow.run_id, SampleRow.round, SampleRow.key, *columns).where(SampleRow.run_id.in_(run_ids))
    rounds: dict[int, dict[int, dict[str, Sample]]] = defaultdict(lambda: defaultdict(dict))
    for run_id, number, key, place, disturbed, wall_ms, busy_ms in session.execute(query):
        sample = Sample(1, wall_ms, wall_ms, busy_ms, busy_ms, disturbed=disturbed, place=place)
        rounds[run_id][number][key] = sample
    found = {run_id: evened(list(of_run.values()), context.threads) for run_id, of_run in rounds.items()}
    return {(run_id, key): ms for run_id, figures in found.items() for key, ms in figures.items()}


def stacks_with(keys: Sequence[str]) -> Select[str, ContextRow]:
    """Each of the parts with every stack that it was measured on to the end."""
    return (
        select(PartRow.key, ContextRow)
        .join(ProfileRun, ProfileRun.id == PartRow.run_id)
        .join(ContextRow, ContextRow.id == ProfileRun.context_id)
        .where(ProfileRun.finished_at.is_not(None), PartRow.key.in_(keys))
        .distinct()
    )


def stacks_with_parts() -> Select[ContextRow, int]:
    """Every stack with the number of its parts that were measured to the end, in the order of their making."""
    measured = (
        select(ProfileRun.context_id, func.count(func.distinct(PartRow.key)).label("parts"))
        .join(PartRow, PartRow.run_id == ProfileRun.id)
        .where(ProfileRun.finished_at.is_not(None))
        .group_by(ProfileRun.context_id)
        .subquery()
    )
    return (
        select(ContextRow, func.coalesce(measured.c.parts, 0))
        .outerjoin(measured, measured.c.context_id == ContextRow.id)
        .order_by(ContextRow.created_at, ContextRow.id)
    )


def sample_columns(sample: Sample) -> dict[str, Any]:
    return {name: getattr(sample, name) for name in SAMPLE_FIELDS} | {"raw_ms": list(sample.raw_ms)}


def sample_of(row: SampleRow) -> Sample:
    return Sample(**{name: getattr(row, name) for name in SAMPLE_FIELDS} | {"raw_ms": tuple(row.raw_ms)})


def context_of(row: ContextRow) -> Context:
    return Context.from_dict({name: getattr(row, name) for name in Context.__dataclass_fields__})


def run_of(row: ProfileRun) -> Run:
    return Run(**{name: getattr(row, name) for name in RUN_FIELDS})
