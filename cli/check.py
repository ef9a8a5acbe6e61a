"""`nastool check`: the latency regression gate."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options

if TYPE_CHECKING:
    from toolchain.check.ci import Case, OnInconclusive
    from toolchain.check.gate import Verdict
    from toolchain.config import Config


@options.configured("check")
def check(
    invocation: options.Invocation,
    file: Annotated[Path | None, typer.Argument(help="ONNX file or engine. Default: the export of the run.")] = None,
    latency: Annotated[str | None, typer.Option("--latency", help="Maximum latency of a batch, e.g. 17ms.")] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            help="Baseline to compare with: output of nastool check --json, an ONNX file, an engine, or db (the "
            "latency table).",
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the verdict to this file as JUnit XML.")] = None,
    json: options.Json = False,
) -> None:
    """Check that the exported file meets its latency budget and is not slower than a baseline.

    Exit code 0: passed. 1: over the budget or slower than the baseline. 2: invalid request. 3: too noisy to decide.
    4: the baseline is for another target. 5: the device or its runtime is not available.
    """
    from toolchain.check import ci
    from toolchain.errors import ON_PURPOSE
    from toolchain.files import require_writable, write_bytes

    config = invocation.config
    if junit is not None:
        require_writable(junit, "--junit latency.xml")
    inconclusive = config.check.on_inconclusive
    try:
        verdict = _verdict(config, file, latency, baseline)
    except ON_PURPOSE as problem:
        case = ci.case_of_error(problem)
        if junit is not None:
            write_bytes(junit, ci.junit([case], str(file or config.run)))
        _tell_github([case], inconclusive, ci.markdown_of_error(problem))
        raise
    cases = ci.cases_of(verdict, inconclusive)
    if junit is not None:
        write_bytes(junit, ci.junit(cases, str(verdict.file)))
    _tell_github(cases, inconclusive, ci.markdown(verdict))
    _answer(verdict, json)
    if code := ci.exit_code_of(verdict, inconclusive):
        raise typer.Exit(code)


def _verdict(config: "Config", file: Path | None, latency: str | None, baseline: Path | None) -> "Verdict":
    from toolchain.check.gate import check as run_check
    from toolchain.check.requirements import CheckedFile, exported_file
    from toolchain.export.manifest import read_manifest
    from toolchain.runs import run_of
    from toolchain.units import parse_latency_ms

    limit_ms = parse_latency_ms(latency) if latency is not None else None
    checked = CheckedFile(file, limit_ms) if file is not None else None
    if checked is None:
        folder = run_of(config)
        checked = exported_file(folder, read_manifest(folder), config.profile.batch, limit_ms)
    with console.progress() as bars:
        return run_check(config, checked, baseline, bars)


def _answer(verdict: "Verdict", json: bool) -> None:
    from toolchain.check.verdict import Outcome
    from toolchain.units import format_ms

    judgment = verdict.judgment
    if json:
        console.answer_json(verdict.as_dict())
    else:
        titles = {
            Outcome.PASS: "check passed",
            Outcome.FAIL: "check failed",
            Outcome.INCONCLUSIVE: "check inconclusive",
        }
        console.answer_facts(
            titles[verdict.outcome],
            {
                "file": verdict.file,
                "measured": format_ms(verdict.latency_ms),
                "budget": "none" if verdict.requirements.limit_ms is None else format_ms(verdict.requirements.limit_ms),
                "baseline": "none" if judgment.baseline_ms is None else format_ms(judgment.baseline_ms),
                **{finding.about: finding.text for finding in judgment.findings if finding.outcome is Outcome.PASS},
                "rounds": f"{len(judgment.rounds)} in {judgment.seconds:.1f} s, {len(judgment.noisy_rounds)} noisy",
            },
        )
    for problem in verdict.problems:
        if verdict.outcome is Outcome.FAIL:
            console.error(problem)
        else:
            console.say(problem)


def _tell_github(cases: "list[Case] | tuple[Case, ...]", inconclusive: "OnInconclusive", summary: str) -> None:
    """Annotations and the job's summary, where this is a job of GitHub's."""
    from toolchain.check import ci

    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in ci.annotations(cases, inconclusive):
            console.annotate(line)
    if place := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            ci.append(Path(place), summary)
        except OSError as problem:
            console.say(f"cannot write the job's summary to {place}: {problem.strerror}")
