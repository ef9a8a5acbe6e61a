"""`nastool run`: the whole job for your own configuration."""

from typing import TYPE_CHECKING

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation, with_fitted_space, with_recipe

if TYPE_CHECKING:
    from toolchain.pipeline.whole_job import JobResult, Shipped


@configured("run")
def run(invocation: Invocation, json: options.Json = False) -> None:
    """Profile, train, search, retrain, export and check, for one or several budgets.

    Without a limit, the budget is the latency that about half of the architectures meet. Resumes when rerun.
    """
    from cli.early_checks import check_arguments

    config = with_recipe(with_fitted_space(invocation), "train").config
    check_arguments(config)
    from toolchain.errors import BudgetInfeasible
    from toolchain.pipeline.whole_job import run_job
    from toolchain.run_report.files_of_report import write_page_of

    with console.progress() as bars:
        result = run_job(config, bars)
    report = write_page_of(result.folder, config.profile.db)
    if json:
        console.answer_json(_as_json(result) | {"report": str(report)})
    else:
        _answer(result)
        console.answer_facts("all budgets", {"report": report, "all files": result.folder})
    if result.unmet:
        raise BudgetInfeasible("; ".join(result.unmet))


def _as_json(result: "JobResult") -> dict[str, object]:
    from toolchain.training.accuracy_interval import interval_fields

    shipped = [
        {
            "budget": shipped.budget,
            "architecture": list(shipped.winner.architecture),
            "limits": shipped.winner.limits,
            "measured_latency_ms": shipped.measured_latency_ms,
            "verdict": None if shipped.verdict is None else shipped.verdict.value,
            "test_accuracy": shipped.retrained.test_accuracy,
            **interval_fields("test", shipped.retrained.test_accuracy, result.test_images),
            "onnx": str(shipped.onnx),
        }
        for shipped in result.shipped
    ]
    about = {"data": result.data, "device": result.device, "batch": result.batch, "folder": str(result.folder)}
    return {**about, "shipped": shipped, "unmet": list(result.unmet)}


def _answer(result: "JobResult") -> None:
    for shipped in result.shipped:
        title = f"{shipped.budget}: shipped, trained on {result.data}, for this {result.device}"
        console.answer_facts(title, _facts(shipped, result))


def _facts(shipped: "Shipped", result: "JobResult") -> dict[str, object]:
    from toolchain.training.accuracy_interval import accuracy_text
    from toolchain.units import format_ms

    latency_ms, limit_ms = shipped.measured_latency_ms, shipped.winner.limits.get("latency_ms")
    measured = "not measured" if latency_ms is None else f"{format_ms(latency_ms)} a batch of {result.batch}"
    return {
        "architecture": " ".join(shipped.winner.architecture),
        "latency, measured": measured,
        **({} if limit_ms is None else {"budget": format_ms(limit_ms)}),
        "check": "no limit on latency" if shipped.verdict is None else shipped.verdict.in_words,
        "test accuracy": accuracy_text(shipped.retrained.test_accuracy, result.test_images),
        "ONNX file": shipped.onnx,
    }
