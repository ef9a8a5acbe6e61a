"""`nastool check`: the latency regression gate."""

from pathlib import Path
from typing import Annotated

import typer

from cli import console, options


def check(
    file: Annotated[Path | None, typer.Argument(help="An ONNX file; the run's export where none is named.")] = None,
    latency: Annotated[str | None, typer.Option("--latency", help="The most a batch may take: 17ms.")] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="An earlier answer of nastool check --json.")
    ] = None,
    max_regression: Annotated[
        str | None,
        typer.Option("--max-regression", help="How much slower than the baseline is let pass, as 5%."),
    ] = None,
    device: options.Device = None,
    backend: options.Backend = None,
    batch: options.BatchSize = None,
    threads: options.Threads = None,
    run: options.Run = None,
    runs: options.Runs = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
) -> None:
    """Measure the exported file against its budget, and against a baseline.

    Exit code 0: it fits. 1: over the budget, or slower than the baseline. 2: it could not be checked.
    """
    from toolchain.check import check as run_check
    from toolchain.config import load_config
    from toolchain.export import read_manifest
    from toolchain.runs import Run
    from toolchain.units import format_ms, parse_latency_ms

    given = options.flags(
        run=run,
        runs=runs,
        profile__device=device,
        profile__backend=backend,
        profile__batch=batch,
        profile__threads=threads,
        check__max_regression=max_regression,
    )
    settings = load_config(config, given)
    folder = Run(settings.runs / settings.run)
    limit_ms = parse_latency_ms(latency) if latency else None
    if file is None:
        manifest = read_manifest(folder)
        file = folder.onnx
        limit_ms = limit_ms or manifest["limits"].get("latency_ms")
    with console.progress() as bars:
        verdict = run_check(settings, file, limit_ms, baseline, bars)
    if json:
        console.answer_json({"file": str(file), **verdict.as_dict()})
    else:
        console.answer_facts(
            "check failed" if verdict.problems else "check passed",
            {
                "file": file,
                "measured": format_ms(verdict.latency_ms),
                "budget": "none" if verdict.limit_ms is None else format_ms(verdict.limit_ms),
                "baseline": "none" if verdict.baseline_ms is None else format_ms(verdict.baseline_ms),
            },
        )
    for problem in verdict.problems:
        console.error(problem)
    if verdict.problems:
        raise typer.Exit(1)
