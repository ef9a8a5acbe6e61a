"""Table 7 of the paper: memory and time of a training step, and the cost of a whole use of each method."""

from collections.abc import Iterator, Mapping

from toolchain.paper.device_days import DeviceDays, device_days
from toolchain.paper.experiment import Experiment
from toolchain.paper.method_steps import STEPS, MethodStep, measure_steps
from toolchain.paper.presets import Preset
from toolchain.paper.result import Column, PaperResult
from toolchain.paper.rows import Rows

COLUMNS = (
    Column(key="memory_ratio", heading="memory / spos", unit="ratio"),
    Column(key="weights_mib", heading="update of weights", unit="MiB"),
    Column(key="architecture_mib", heading="of architecture", unit="MiB"),
    Column(key="time_ratio", heading="time / spos", unit="ratio"),
    Column(key="step_ms", heading="step", unit="ms"),
    Column(key="training_days", heading="training", unit="device-days"),
    Column(key="search_days", heading="search", unit="device-days"),
    Column(key="retraining_days", heading="retraining", unit="device-days"),
    Column(key="total_days", heading="total", unit="device-days"),
)
HEADINGS = ("memory in the paper", "time in the paper", "total in the paper")
TOTALS = {"spos": "29 GPU days", "two-path": "31 GPU days", "gumbel": "36 GPU days"}
PRESETS = {
    "quick": Preset({"space": "shufflenet_v2_quick:stage_widths=64-128,stage_repeats=2-2,widths=0.5-1.5"}, (0, 1, 2)),
    "imagenet": Preset(),
}


def measure(experiment: Experiment) -> Iterator[PaperResult]:
    """Time the steps of all methods, of candidates and of retraining; the table after each seed.

    Raises:
        BadConfig: a recipe is invalid.
    """
    rows, printed = Rows(), {}
    for number, seed in enumerate(experiment.seeds, 1):
        job = experiment.job("steps", seed)
        steps = measure_steps(job, STEPS)
        days = device_days(job, steps)
        for row in steps.rows:
            rows.add(row.method, "", **_values(row, days[row.method]))
            printed[row.method] = _printed(row)
        yield experiment.result(
            title="Table 7, memory and time of a training step, and search cost",
            seeds=experiment.seeds[:number],
            columns=COLUMNS,
            drawn="memory_ratio",
            printed=HEADINGS,
            rows=rows.rows(printed),
            notes=(
                f"batch {steps.batch}, {STEPS} steps on {steps.device}; {experiment.load}",
                "memory: tensors that the larger update keeps for its backward pass; the paper's is that of whole GPUs",
                "device-days: measured time of a step, or of a candidate, times the number that the configuration has",
            ),
        )


def _values(step: MethodStep, days: DeviceDays) -> Mapping[str, float | None]:
    return {
        "memory_ratio": step.memory_ratio,
        "weights_mib": step.weights_mib,
        "architecture_mib": step.architecture_mib,
        "time_ratio": step.time_ratio,
        "step_ms": step.step_ms,
        "training_days": days.training,
        "search_days": days.search,
        "retraining_days": days.retraining,
        "total_days": days.total,
    }


def _printed(step: MethodStep) -> dict[str, str]:
    """The cells of the paper, whose ratios are those of the printed memory and training times."""
    ratios = (step.paper_memory_ratio, step.paper_time_ratio)
    cells = (*(None if ratio is None else f"{ratio:.2f}" for ratio in ratios), TOTALS.get(step.method))
    return {heading: cell for heading, cell in zip(HEADINGS, cells, strict=True) if cell is not None}
