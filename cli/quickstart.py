"""`nastool quickstart`: the main job on real data, from a profile to a checked file."""

from typing import TYPE_CHECKING

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation

if TYPE_CHECKING:
    from pathlib import Path

    from toolchain.quickstart.pipeline import QuickstartResult


@configured("quickstart", preset="quick", takes_file=False)
def quickstart(invocation: Invocation, json: options.Json = False) -> None:
    """Profile, train, search under a latency budget, retrain, export and check, in a few minutes on a CPU."""
    config = invocation.config.model_copy(update={"run": "quickstart"})
    console.say(f"run {config.run}: {config.space}, all steps")
    from toolchain.quickstart.data import with_data
    from toolchain.quickstart.pipeline import run_quickstart
    from toolchain.run_report.files_of_report import write_page_of

    with console.progress() as bars:
        config = with_data(config, config.data if "data" in invocation.given else None, bars)
        result = run_quickstart(config, bars)
    report = write_page_of(result.folder, config.profile.db)
    if json:
        console.answer_json(result.as_dict() | {"report": str(report)})
    else:
        _answer(result, report)


def _answer(result: "QuickstartResult", report: "Path") -> None:
    from toolchain.training.accuracy_interval import accuracy_text

    winner = result.winner
    console.answer_facts(
        f"winner on {result.data}, for this {result.device}",
        {
            "architecture": " ".join(winner.architecture),
            "MACs": f"{winner.macs:,}",
            "latency, predicted": f"{winner.latency_ms:.3f} ms a batch of {result.batch}",
            "latency, measured": f"{result.measured_latency_ms:.3f} ms",
            "budget": f"{result.limit_ms:.3f} ms",
            "check": result.verdict.in_words,
            "hold-out accuracy": f"{accuracy_text(winner.holdout_accuracy, result.holdout_images)}, inherited weights",
            "test accuracy": f"{accuracy_text(result.test_accuracy, result.test_images)}, retrained",
            **({} if winner.finalists is None else {"choice of the winner": winner.finalists.statement}),
            "ONNX file": result.onnx,
            "report": report,
            "all files": result.folder,
        },
    )
