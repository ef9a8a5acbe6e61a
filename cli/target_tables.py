"""Tables of targets, runs and records for `nastool db`."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli import console

if TYPE_CHECKING:
    from latency_db.compare import ComparedRecord
    from latency_db.runs import ProfileRun, RunRecord
    from latency_db.store import Store
    from latency_db.table import Record
    from latency_db.target import Target

SHORT = 8  # of the 16 digits of an id: enough to tell targets apart
RUN_COLUMNS = ("run", "kind", "space", "host", "started", "remarks")
RECORD_COLUMNS = ("record", "latency", "median", "p90", "MAD", "samples", "run")
COMPARED_COLUMNS = ("record", "before", "after", "after / before", "spread")
ROUND_COLUMNS = ("record", "round", "calls", "busy min", "busy median", "wall min", "wall median", "noise")


def run_row(run: "ProfileRun") -> tuple[object, ...]:
    """A run as a row under `RUN_COLUMNS`."""
    remarks = [f"{name} {value}" for name, value in run.conditions.items()]
    if run.finished_at is None:
        remarks.append("NOT FINISHED")
    if run.starts_after(datetime.now(UTC)):
        remarks.append("STARTS IN THE FUTURE")
    if run.origin:
        remarks.append(run.origin)
    return (run.id, run.kind, run.space, run.host, run.started_at[:16].replace("T", " "), ", ".join(remarks))


def record_row(record: "Record") -> tuple[object, ...]:
    """A record as a row under `RECORD_COLUMNS`."""
    s = record.summary
    return (record.key, *map(_ms, (s.latency_ms, s.median_ms, s.p90_ms, s.mad_ms)), s.n, record.run_id)


def compared_row(record: "ComparedRecord") -> tuple[object, ...]:
    """A compared record as a row under `COMPARED_COLUMNS`."""
    ratio = "unknown" if record.ratio is None else f"{record.ratio:.3f}"
    spread = "unknown" if record.spread is None else f"{record.spread:.1%}"
    return (record.key, _ms(record.before_ms), _ms(record.after_ms), ratio, spread)


def warn_of_future(runs: Iterable["ProfileRun"]) -> None:
    """Warn about runs that start in the future."""
    now = datetime.now(UTC)
    if late := [run for run in runs if run.starts_after(now)]:
        console.say(
            f"warning: {len(late)} of the runs start in the future (e.g. {late[0].started_at} on {late[0].host}). "
            f"Check the clocks; the newest measurement is the one that was stored last, whatever its date"
        )


def show_run(store: "Store", target: "Target", number: int, json: bool) -> None:
    """Print one run with every round.

    Raises:
        UnknownTarget: there is no such run.
        BadConfig: it has another target.
    """
    from toolchain.errors import BadConfig

    run = store.run(number)
    if run.target_id != target.id:
        raise BadConfig(f"run {number} has the target {run.target_id}, not {target.id}. Run nastool db list")
    records = store.records(number)
    if json:
        console.answer_json({**asdict(run), "records": [asdict(record) for record in records]})
        return
    console.answer_table(f"target {target.id}{estimate(target)}", RUN_COLUMNS, [run_row(run)])
    console.answer_table("rounds, ms per call", ROUND_COLUMNS, [row for r in records for row in _round_rows(r)])


def estimate(target: "Target") -> str:
    """The label of a target whose latencies were not measured."""
    return " (an ESTIMATE, not measured)" if target.estimate else ""


def _round_rows(record: "RunRecord") -> list[tuple[object, ...]]:
    rows = []
    for timed in record.samples:
        s = timed.sample
        times = map(_ms, (s.busy_ms_min, s.busy_ms_median, s.wall_ms_min, s.wall_ms_median))
        rows.append((record.key, timed.round, s.calls, *times, s.noise_reason))
    return rows


def _ms(value: float) -> str:
    return f"{value:.3f}"
