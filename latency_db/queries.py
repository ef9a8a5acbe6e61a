"""SQL queries, and the values that their rows stand for. Used by `store.py` only."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from latency_db.runs import ProfileRun, RunSamples, TimedSample
from latency_db.schema import RecordRow, RunRow, SampleRow, TargetRow
from latency_db.table import Sample
from latency_db.target import Target

SAMPLE_FIELDS = tuple(Sample.__dataclass_fields__)
RUN_FIELDS = tuple(ProfileRun.__dataclass_fields__)
TARGET_FIELDS = tuple(Target.__dataclass_fields__)

# Every row is validated: a file can be damaged in ways that SQLite does not notice.
TARGETS, RUNS, SAMPLES = TypeAdapter(Target), TypeAdapter(ProfileRun), TypeAdapter(Sample)
TIMED_SAMPLES = TypeAdapter(TimedSample)

KEYS_PER_QUERY = 500  # both databases limit the number of values in one query to some tens of thousands


@dataclass(frozen=True)
class RunChoice:
    """Which finished runs are read.

    Args:
        without: a kind of run that is left out.
        newest_only: take each record from its newest run only.
        among: uids of the runs; None for all.
    """

    without: str = ""
    newest_only: bool = True
    among: Collection[str] | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        finished = RunRow.finished_at.is_not(None) & (RunRow.kind != self.without)
        return finished if self.among is None else finished & RunRow.uid.in_(self.among)


NEWEST = RunChoice()


def finished_samples(
    session: Session, target: Target, condition: ColumnElement[bool], choice: RunChoice = NEWEST
) -> tuple[RunSamples, ...]:
    """The samples of the records that `condition` selects, by run, from finished runs of a target."""
    records = (
        select(RecordRow.run_id, RecordRow.key, RecordRow.graph_hash, _rank_of_run())
        .join(RunRow, RunRow.id == RecordRow.run_id)
        .where(RunRow.target_id == target.id, choice.condition, condition)
        .subquery()
    )
    if choice.newest_only:
        records = select(records).where(records.c.rank == 1).subquery()
    query = (
        select(SampleRow, records.c.graph_hash)
        .join(records, (SampleRow.run_id == records.c.run_id) & (SampleRow.key == records.c.key))
        .order_by(SampleRow.run_id, SampleRow.key, SampleRow.round)
    )
    samples: dict[int, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    graph_hashes: dict[int, dict[str, str]] = defaultdict(dict)
    for row, graph_hash in session.execute(query):
        samples[row.run_id][row.key].append(sample_of(row))
        graph_hashes[row.run_id][row.key] = graph_hash
    timings = _timings(session, samples) if target.device_kind == "cpu" else {}
    return tuple(
        RunSamples(
            run_id,
            graph_hashes[run_id],
            {key: tuple(of_key) for key, of_key in by_key.items()},
            timings.get(run_id, ()),
        )
        for run_id, by_key in sorted(samples.items())
    )


def finished_samples_of(
    session: Session, target: Target, keys: Sequence[str], choice: RunChoice = NEWEST
) -> list[RunSamples]:
    """`finished_samples` of any number of keys."""
    return [
        run for chunk in _chunks(keys) for run in finished_samples(session, target, RecordRow.key.in_(chunk), choice)
    ]


def elsewhere(session: Session, target: Target, keys: Sequence[str]) -> dict[str, Target]:
    """For each key the target that has it and differs in the fewest fields, those of the same device first."""
    targets: dict[str, list[Target]] = defaultdict(list)
    for chunk in _chunks(keys):
        for key, row in session.execute(_targets_with(chunk)):
            targets[key].append(target_of(row))
    return {key: min(of_key, key=lambda other: _distance(target, other)) for key, of_key in targets.items()}


def begins(column: InstrumentedAttribute[str], prefix: str) -> ColumnElement[bool]:
    """Whether a text begins with `prefix`, in which no character is special."""
    return func.substr(column, 1, len(prefix)) == prefix


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in pieces that fit into one query."""
    for start in range(0, len(keys), KEYS_PER_QUERY):
        yield keys[start : start + KEYS_PER_QUERY]


def _distance(one: Target, other: Target) -> tuple[bool, int, str]:
    return one.device_model != other.device_model, len(one.differences(other)), other.id


def _rank_of_run() -> ColumnElement[int]:
    """1 for the newest run of a record, in the order of `ProfileRun.precedence`."""
    imported = case((RunRow.kind == "import", 1), else_=0)
    rank = func.row_number().over(partition_by=RecordRow.key, order_by=(imported, RunRow.id.desc()))
    return rank.label("rank")


def _timings(session: Session, run_ids: Iterable[int]) -> Mapping[int, tuple[Mapping[str, Sample], ...]]:
    """The timings of all records of these runs, by round, as far as drift correction needs them."""
    columns = (SampleRow.place, SampleRow.noise_reason, SampleRow.wall_ms_min, SampleRow.busy_ms_min)
    query = select(SampleRow.run_id, SampleRow.round, SampleRow.key, *columns).where(SampleRow.run_id.in_(run_ids))
    rounds: dict[int, dict[int, dict[str, Sample]]] = defaultdict(lambda: defaultdict(dict))
    for run_id, number, key, place, noise_reason, wall_ms, busy_ms in session.execute(query):
        times = {"wall_ms_min": wall_ms, "wall_ms_median": wall_ms, "busy_ms_min": busy_ms, "busy_ms_median": busy_ms}
        sample = SAMPLES.validate_python({"calls": 1, **times, "noise_reason": noise_reason, "place": place})
        rounds[run_id][number][key] = sample
    return {run_id: tuple(of_run.values()) for run_id, of_run in rounds.items()}


def _targets_with(keys: Sequence[str]) -> Select[str, TargetRow]:
    """Each of the keys with every target that has a finished record of it."""
    return (
        select(RecordRow.key, TargetRow)
        .join(RunRow, RunRow.id == RecordRow.run_id)
        .join(TargetRow, TargetRow.id == RunRow.target_id)
        .where(RunRow.finished_at.is_not(None), RecordRow.key.in_(keys))
        .distinct()
    )


def targets_with_records() -> Select[TargetRow, int]:
    """Every target with its number of finished records, in the order of their creation."""
    finished = (
        select(RunRow.target_id, func.count(func.distinct(RecordRow.key)).label("records"))
        .join(RecordRow, RecordRow.run_id == RunRow.id)
        .where(RunRow.finished_at.is_not(None))
        .group_by(RunRow.target_id)
        .subquery()
    )
    return (
        select(TargetRow, func.coalesce(finished.c.records, 0))
        .outerjoin(finished, finished.c.target_id == TargetRow.id)
        .order_by(TargetRow.created_at, TargetRow.id)
    )


def sample_columns(sample: Sample) -> dict[str, object]:
    return {name: getattr(sample, name) for name in SAMPLE_FIELDS} | {"raw_ms": list(sample.raw_ms)}


def sample_of(row: SampleRow) -> Sample:
    return SAMPLES.validate_python({name: getattr(row, name) for name in SAMPLE_FIELDS})


def timed_sample_of(row: SampleRow) -> TimedSample:
    return TIMED_SAMPLES.validate_python({"round": row.round, "taken_at": row.taken_at, "sample": sample_of(row)})


def target_of(row: TargetRow) -> Target:
    """The target of a row.

    Raises:
        ValueError: its fields are not those that its id was computed from.
    """
    target = TARGETS.validate_python({name: getattr(row, name) for name in TARGET_FIELDS})
    if target.id != row.id:
        raise ValueError(f"target {row.id}: its fields do not match its id")
    return target


def run_of(row: RunRow) -> ProfileRun:
    return RUNS.validate_python({name: getattr(row, name) for name in RUN_FIELDS})
