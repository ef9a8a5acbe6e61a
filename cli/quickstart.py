"""`nastool quickstart`: the main job on real data, from a profile to a checked file."""

from typing import TYPE_CHECKING

from cli import console, options

if TYPE_CHECKING:
    from toolchain.quickstart.pipeline import QuickstartResult

VERDICTS = {"pass": "passed", "fail": "failed", "inconclusive": "inconclusive"}


@options.configured("quickstart", preset="quick")
def quickstart(invocation: options.Invocation, json: options.Json = False) -> None:
    """Profile, train, search under a latency budget, retrain, export and check, in a few minutes on a CPU."""
    from toolchain.quickstart.data import with_data
    from toolchain.quickstart.pipeline import run_quickstart

    config = invocation.config.model_copy(update={"run": "quickstart"})
    with console.progress() as bars:
        config = with_data(config, config.data if "data" in invocation.given else None, bars)
        result = run_quickstart(config, bars)
    if json:
        console.answer_json(result.as_dict())
    else:
        _answer(result)


def _answer(result: "QuickstartResult") -> None:
    winner = result.winner
    console.answer_facts(
        f"winner on {result.data}, for this {result.device}",
        {
            "architecture": " ".join(winner.architecture),
            "MACs": f"{winner.macs:,}",
            "latency, predicted": f"{winner.latency_ms:.3f} ms a batch of {result.batch}",
            "latency, measured": f"{result.measured_latency_ms:.3f} ms",
            "budget": f"{result.limit_ms:.3f} ms",
            "check": VERDICTS[result.verdict.value],
            "hold-out accuracy": f"{winner.holdout_accuracy:.2%} (inherited weights)",
            "test accuracy": f"{result.test_accuracy:.2%} (retrained)",
            **({} if winner.finalists is None else {"choice of the winner": winner.finalists.statement}),
            "ONNX file": result.onnx,
            "all files": result.folder,
        },
    )
