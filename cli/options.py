"""The options that several commands share."""

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from toolchain.parallel.ranks import world

ConfigFile = Annotated[Path | None, typer.Option("--config", help="Configuration; ./nastool.toml if there is one.")]
Run = Annotated[str | None, typer.Option("--run", help="Name of the run.", rich_help_panel="Run")]
Runs = Annotated[Path | None, typer.Option("--runs", help="Folder that runs are kept in.", rich_help_panel="Run")]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed gives the same run.", rich_help_panel="Run")]
Space = Annotated[
    str | None,
    typer.Option("--space", help="Search space, as shufflenet_v2 or shufflenet_v2_quick:classes=37."),
]
FixOps = Annotated[
    str | None,
    typer.Option("--fix-ops", help="Search the widths alone: the ops of this architecture, or of a best.json."),
]
Widths = Annotated[str | None, typer.Option("--widths", help="Mid channels to choose from, as multiples: 0.6-0.8-1.0.")]
Data = Annotated[str | None, typer.Option("--data", help="digits, fashion-mnist, folder:PATH or wds:SHARDS.")]
Holdout = Annotated[
    int | None,
    typer.Option("--holdout-per-class", help="Training images a class that candidates are scored on."),
]
Arch = Annotated[str | None, typer.Option("--arch", help="This architecture, and not the search's winner.")]
Recipe = Annotated[str | None, typer.Option("--recipe", help="How to train: imagenet (the paper's) or quick.")]
Epochs = Annotated[float | None, typer.Option("--epochs", help="Passes over the training images.")]
Latency = Annotated[
    list[str] | None,
    typer.Option("--latency", help="The most a batch may take: 17ms. Several, or 13ms..22ms: several budgets."),
]
Macs = Annotated[list[str] | None, typer.Option("--macs", help="The most multiply-adds an image may take: 330M.")]
Params = Annotated[list[str] | None, typer.Option("--params", help="The most parameters: 3.4M.")]
BitOps = Annotated[
    list[str] | None, typer.Option("--bitops", help="The most MACs x weight bits x activation bits: 6.32Gi.")
]
WeightBits = Annotated[list[str] | None, typer.Option("--weight-bits", help="The most bits of packed weights: 27M.")]
BudgetName = Annotated[
    str | None, typer.Option("--budget", help="The winner of this budget, as latency_17ms; else of the last one.")
]
Device = Annotated[str | None, typer.Option("--device", help="What to measure on; `nastool doctor` lists it.")]
Backend = Annotated[str | None, typer.Option("--backend", help="The runtime to measure with.")]
Estimate = Annotated[
    bool | None,
    typer.Option("--estimate", help="Of a device that isn't here, from its known rates; nothing is measured."),
]
TargetId = Annotated[
    str | None,
    typer.Option("--target", help="Use the recorded latencies of this target (an id from `nastool db list`)."),
]
Precision = Annotated[str | None, typer.Option("--precision", help="What networks are timed in: fp32 or fp16.")]
BatchSize = Annotated[int | None, typer.Option("--batch", help="Images a batch that a latency is for.")]
Threads = Annotated[int | None, typer.Option("--threads", help="Threads of the runtime that is timed.")]
Db = Annotated[
    str | None,
    typer.Option("--db", help="The table of measured latencies: a file, or postgresql+psycopg://user@host/database."),
]
Nproc = Annotated[
    int | None,
    typer.Option("--nproc", min=1, help="Processes on this machine, one a GPU.", rich_help_panel="Run"),
]
Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON document on stdout.")]


def flags(**given: Any) -> dict[str, Any]:
    """The options that were given, by their place in the configuration: `search__latency` is search.latency."""
    values = {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    return {key.replace("__", "."): value for key, value in values.items() if value not in (None, [])}


def again(
    space: str | None,
    fixed_ops: str | None,
    widths: str | None,
    data: str | None,
    holdout_per_class: int | None,
    runs: Path | None,
    config: Path | None,
) -> str:
    """The flags that the next command needs as well, as they can be typed: ` --data digits`."""
    given = {
        "--config": config,
        "--space": space,
        "--fix-ops": fixed_ops,
        "--widths": widths,
        "--data": data,
        "--holdout-per-class": holdout_per_class,
        "--runs": runs,
    }
    return "".join(f" {flag} {quote(str(value))}" for flag, value in given.items() if value is not None)


def in_processes(nproc: int | None) -> bool:
    """Do what was typed in `nproc` processes, if it is more than one and this is not one of them already."""
    if nproc is None or nproc == 1 or world() > 1:
        return False
    from toolchain.parallel.launcher import launch

    launch(sys.argv[1:], nproc)
    return True
