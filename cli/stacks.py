"""Stacks and their runs, as `nastool db` shows them."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from cli import console

if TYPE_CHECKING:
    from latency_db.context import Context
    from latency_db.records import Run
    from latency_db.store import Store

SHORT = 8  # of an id's 16 digits: enough to tell stacks apart, and to type
RUN_COLUMNS = ("run", "kind", "space", "host", "begun", "remarks")


def run_row(run: "Run") -> tuple[object, ...]:
    """A run as a row under `RUN_COLUMNS`."""
    remarks = [f"{name} {value}" for name, value in run.conditions.items()]
    if run.finished_at is None:
        remarks.append("NOT FINISHED")
    if run.origin:
        remarks.append(run.origin)
    return (run.id, run.kind, run.space, run.host, run.started_at[:16].replace("T", " "), ", ".join(remarks))


def show_run(store: "Store", context: "Context", number: int, json: bool) -> None:
    """One run with every round.

    Raises:
        UnknownContext: there is no such run.
        BadConfig: it is another stack's.
    """
    from toolchain.errors import BadConfig

    run = store.run(number)
    if run.context_id != context.id:
        raise BadConfig(f"run {number} is of the stack {run.context_id}, not of {context.id}")
    parts = store.parts(number)
    if json:
        console.answer_json({**asdict(run), "parts": [asdict(part) for part in parts]})
        return
    console.answer_table(f"stack {context.id}{estimate(context)}", RUN_COLUMNS, [run_row(run)])
    console.answer_table(
        "rounds, ms a call",
        ("part", "round", "calls", "busy min", "busy median", "wall min", "wall median", "disturbed"),
        [
            (part.key, t.round, t.sample.calls, *(f"{ms:.3f}" for ms in figures), t.sample.disturbed)
            for part in parts
            for t in part.taken
            for s in (t.sample,)
            for figures in ((s.busy_ms_min, s.busy_ms_median, s.wall_ms_min, s.wall_ms_median),)
        ],
    )


def estimate(context: "Context") -> str:
    """What is said beside a stack whose figures were not measured."""
    return " (an ESTIMATE, not measured)" if context.estimate else ""
