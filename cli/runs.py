"""`nastool runs`: list, compare and remove runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.arguments import Command
from cli.configured import configured
from cli.invocation import Invocation

if TYPE_CHECKING:
    from toolchain.overview.summary import BudgetSummary, RunSummary

app = typer.Typer(help="List, compare and remove runs; without a command, list them.", invoke_without_command=True)

COLUMNS = ("run", "stage", "budget", "accuracy", "latency", "check", "age", "size")


@app.callback()
def runs(
    context: typer.Context,
    runs: Annotated[
        str | None, typer.Option("--runs", help="Folder of the runs, without a command.", show_default=False)
    ] = None,
    json: options.Json = False,
) -> None:
    """List, compare and remove runs; without a command, list them."""
    from toolchain.errors import BadConfig

    if context.invoked_subcommand is None:
        list_runs(runs=runs, config=None, json=json)
    elif runs is not None or json:
        flag, command = "--json" if runs is None else "--runs", context.invoked_subcommand
        raise BadConfig(f"{flag} before {command} is ignored. Write it after: nastool runs {command} {flag}")


@app.command("list", cls=Command)
@configured("runs")
def list_runs(invocation: Invocation, json: options.Json = False) -> None:
    """List all runs: the stage each has reached, its winners, age and size."""
    from toolchain.errors import BadConfig
    from toolchain.overview.summary import summaries

    folder = invocation.config.runs
    if not folder.is_dir() and "runs" in invocation.given:
        raise BadConfig(f"--runs: there is no folder {folder}. Name the one that holds the runs")
    listed = summaries(folder)
    if json:
        console.answer_json({"runs": [run.as_dict() for run in listed]})
        return
    if not listed:
        console.say(f"no runs in {folder}. Start one with nastool quickstart, or nastool init")
        return
    console.answer_table(f"runs in {folder}, the latest first", COLUMNS, [row for run in listed for row in _rows(run)])
    for run in listed:
        if run.problem:
            console.say(f"warning: {run.name}: {run.problem}")


@app.command("compare", cls=Command)
@configured("runs")
def compare(
    invocation: Invocation,
    first: Annotated[str, typer.Argument(help="Name of a run.", show_default=False)],
    second: Annotated[str, typer.Argument(help="Name of another run.", show_default=False)],
    json: options.Json = False,
) -> None:
    """Compare two runs: their winners, and the settings that differ."""
    from toolchain.overview.compare import different_settings, existing_run
    from toolchain.overview.summary import summarize

    folder = invocation.config.runs
    pair = [existing_run(folder, name) for name in (first, second)]
    summary, settings = [summarize(run) for run in pair], different_settings(*pair)
    if json:
        differing = [{"key": key, "first": one, "second": other} for key, one, other in settings]
        console.answer_json({"runs": [run.as_dict() for run in summary], "settings": differing})
        return
    console.answer_table("winners", COLUMNS, [row for run in summary for row in _rows(run)])
    if settings:
        console.answer_table("settings that differ", ("key", first, second), settings)
    else:
        console.say("the settings are the same")


@app.command("remove", cls=Command)
@configured("runs")
def remove(
    invocation: Invocation,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of the runs.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    json: options.Json = False,
) -> None:
    """Remove runs with all their files. Measured latencies stay: they are in the latency table."""
    from toolchain.overview import removal
    from toolchain.overview.compare import existing_run
    from toolchain.overview.summary import summarize

    folder = invocation.config.runs
    chosen = [existing_run(folder, name) for name in dict.fromkeys(names)]
    if not yes:
        console.say_table("runs to remove", COLUMNS, [row for run in chosen for row in _rows(summarize(run))])
        typer.confirm(f"Remove {len(chosen)} run{'s'[: len(chosen) != 1]} from {folder}?", abort=True, err=True)
    for run in chosen:
        removal.remove(run)
    removed = [run.folder.name for run in chosen]
    if json:
        console.answer_json({"removed": removed})
    else:
        console.answer_facts("removed", {name: str(Path(folder) / name) for name in removed})


def _rows(run: "RunSummary") -> list[tuple[str, ...]]:
    """A row for each budget."""
    files = (_age(run.age_s), f"{run.size_bytes / 1e6:,.1f} MB")
    if not run.budgets:
        return [(run.name, run.stage, "", "", "", "", *files)]
    return [(run.name, budget.stage, *_winner(budget), *files) for budget in run.budgets]


def _winner(budget: "BudgetSummary") -> tuple[str, ...]:
    """Budget, accuracy, latency and verdict; the accuracy is of the test images where the network was retrained."""
    latency = "" if budget.latency_ms is None else f"{budget.latency_ms:.3f} ms"
    inherited = f"{budget.holdout_accuracy:.2%} hold-out{_interval(budget.holdout_interval)}"
    return (
        budget.name,
        inherited
        if budget.test_accuracy is None
        else f"{budget.test_accuracy:.2%} test{_interval(budget.test_interval)}",
        latency if budget.measured or not latency else f"{latency} predicted",
        budget.check.in_words if budget.check else "",
    )


def _interval(ends: tuple[float, float] | None) -> str:
    """The 95 % interval of an accuracy, if it is known."""
    return "" if ends is None else f" ({ends[0]:.1%} to {ends[1]:.1%})"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
