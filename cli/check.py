"""`nastool check`: the latency regression gate."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation

if TYPE_CHECKING:
    from toolchain.check.ci import Case, OnInconclusive
    from toolchain.check.gate import Verdict
    from toolchain.check.requirements import CheckedFile
    from toolchain.config import Config
    from toolchain.export.manifest import Manifest
    from toolchain.runs import Run

    Export = tuple[Run, Manifest]


@configured("check")
def check(
    invocation: Invocation,
    file: Annotated[Path | None, typer.Argument(help="ONNX file or engine. Default: the export of the run.")] = None,
    latency: Annotated[str | None, typer.Option("--latency", help="Maximum latency of a batch, e.g. 17ms.")] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Check the export of this budget, in export/BUDGET/ of the run.")
    ] = None,
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

    The verdict on a run's export is kept in the run, where nastool report shows it; that on a FILE is only printed.

    Exit code 0: passed. 1: over the budget or slower than the baseline. 2: invalid request. 3: too noisy to decide.
    4: the baseline is for another target. 5: the device or its runtime is not available.
    """
    config = invocation.config
    console.say(f"check of {file or f'run {config.run}'}")
    from toolchain.check import ci
    from toolchain.errors import ON_PURPOSE
    from toolchain.files import require_writable, write_bytes

    if junit is not None:
        require_writable(junit, "--junit latency.xml")
    inconclusive = config.check.on_inconclusive
    try:
        checked, export = _checked_file(config, file, budget, latency)
        verdict = _verdict(config, checked, baseline)
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
    kept = export is not None and _keep(*export, verdict)
    _answer(verdict, json)
    if code := ci.exit_code_of(verdict, inconclusive):
        raise typer.Exit(code)
    if kept and not json:
        console.say(f"Next: {invocation.hint('report', config.run)}")


def _checked_file(
    config: "Config", file: Path | None, budget: str | None, latency: str | None
) -> "tuple[CheckedFile, Export | None]":
    """The file with its latency budget: `file`, or what the run exported (for `budget`), then with that export."""
    from toolchain.check.requirements import CheckedFile, exported_file
    from toolchain.errors import BadConfig
    from toolchain.export.manifest import read_manifest
    from toolchain.runs import run_of
    from toolchain.units import parse_latency_ms

    limit_ms = parse_latency_ms(latency) if latency is not None else None
    if file is not None and budget is not None:
        raise BadConfig("FILE and --budget both select a file. Give only one")
    if file is not None:
        return CheckedFile(file, limit_ms), None
    folder = run_of(config).shipping(budget)
    folder.require_export()
    manifest = read_manifest(folder)
    return exported_file(folder, manifest, config.profile.batch, limit_ms), (folder, manifest)


def _keep(run: "Run", manifest: "Manifest", verdict: "Verdict") -> bool:
    """Keep the verdict in the run; whether that succeeded. The verdict counts even if it cannot be kept."""
    from toolchain.check.kept_verdict import keep_verdict
    from toolchain.errors import RunFolderError

    try:
        reason = keep_verdict(run, manifest, verdict)
    except RunFolderError as problem:
        reason = str(problem)
    if reason:
        console.say(f"the verdict is not kept in the run: {reason}")
    return not reason


def _verdict(config: "Config", checked: "CheckedFile", baseline: Path | None) -> "Verdict":
    from toolchain.check.gate import check as run_check

    with console.progress() as bars:
        return run_check(config, checked, baseline, bars)


def _answer(verdict: "Verdict", json: bool) -> None:
    from toolchain.check.outcome import Outcome
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
