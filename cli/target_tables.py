"""Stacks and their runs, as `nastool db` shows them."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from cli import console

if TYPE_CHECKING:
    from latency_db.records import RecordedRun
    from latency_db.store import Store
    from latency_db.target import Target

SHORT = 8  # of an id's 16 digits: enough to tell targets apart, and to type
RUN_COLUMNS = ("run", "kind", "space", "host", "begun", "remarks")


def run_row(run: "RecordedRun") -> tuple[object, ...]:
    """A run as a row under `RUN_COLUMNS`."""
    remarks = [f"{name} {value}" for name, value in run.conditions.items()]
    if run.finished_at is None:
        remarks.append("NOT FINISHED")
    if run.origin:
        remarks.append(run.origin)
    return (run.id, run.kind, run.space, run.host, run.started_at[:16].replace("T", " "), ", ".join(remarks))


def show_run(store: "Store", target: "Target", number: int, json: bool) -> None:
    """One run with every round.

    Raises:
        UnknownTarget: there is no such run.
        BadConfig: it is another target's.
    """
    from toolchain.errors import BadConfig

    run = store.run(number)
    if run.target_id != target.id:
        raise BadConfig(f"run {number} is of the target {run.target_id}, not of {target.id}")
    parts = store.parts(number)
    if json:
        console.answer_json({**asdict(run), "parts": [asdict(part) for part in parts]})
        return
    console.answer_table(f"target {target.id}{estimate(target)}", RUN_COLUMNS, [run_row(run)])
    console.answer_table(
        "rounds, ms a call",
        ("part", "round", "calls", "busy min", "busy median", "wall min", "wall median", "noise"),
        [
            (part.key, t.round, t.sample.calls, *(f"{ms:.3f}" for ms in figures), t.sample.noise_reason)
            for part in parts
            for t in part.taken
            for s in (t.sample,)
            for figures in ((s.busy_ms_min, s.busy_ms_median, s.wall_ms_min, s.wall_ms_median),)
        ],
    )


def estimate(target: "Target") -> str:
    """What is said beside a target whose figures were not measured."""
    return " (an ESTIMATE, not measured)" if target.estimate else ""
