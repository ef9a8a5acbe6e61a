"""`nastool quickstart`: all stages of the main job, from a profile to a checked ONNX file."""

from dataclasses import dataclass
from pathlib import Path

from toolchain.check.outcome import Outcome
from toolchain.config import Config
from toolchain.errors import BudgetInfeasible
from toolchain.export.manifest import ParityRecord
from toolchain.pipeline.whole_job import run_job
from toolchain.progress import Progress
from toolchain.search.winner import Winner
from toolchain.training.accuracy_interval import interval_fields

FINALISTS_S = 45.0  # for the trainings of finalists; all stages together take less than five minutes


@dataclass(frozen=True)
class QuickstartResult:
    """The winner of the search, its exported file, and what was measured.

    Args:
        limit_ms: the budget, in ms a batch.
        verdict: of the check; a failed check raises an error instead.
        device: the model name of the device.
        onnx: the exported file.
        folder: the folder of the run.
    """

    winner: Winner
    limit_ms: float
    measured_latency_ms: float
    verdict: Outcome
    test_accuracy: float
    test_images: int
    holdout_images: int
    parity: ParityRecord
    data: str
    device: str
    batch: int
    onnx: Path
    folder: Path

    def as_dict(self) -> dict[str, object]:
        """The content of --json."""
        winner_fields = {"architecture", "macs", "params", "latency_ms", "holdout_accuracy"}
        return {
            **self.winner.model_dump(mode="json", include=winner_fields),
            "measured_latency_ms": self.measured_latency_ms,
            "limit_ms": self.limit_ms,
            "verdict": self.verdict.value,
            "test_accuracy": self.test_accuracy,
            **interval_fields("test", self.test_accuracy, self.test_images),
            **interval_fields("holdout", self.winner.holdout_accuracy, self.holdout_images),
            "parity": self.parity.model_dump(mode="json"),
            "data": self.data,
            "device": self.device,
            "onnx": str(self.onnx),
            "folder": str(self.folder),
        }


def run_quickstart(config: Config, progress: Progress) -> QuickstartResult:
    """The whole job under the median predicted latency, with less time for finalists than a search of its own has.

    Raises:
        CheckFailed: the exported file does not fit the budget.
        UserError: see `run_job`.
    """
    seconds = min(config.search.finalist_time_s, FINALISTS_S)
    search = config.search.model_copy(update={"finalist_time_s": seconds})
    result = run_job(config.model_copy(update={"search": search}), progress)
    if not result.shipped:
        raise BudgetInfeasible("; ".join(result.unmet))
    (shipped,) = result.shipped
    assert shipped.measured_latency_ms is not None
    assert shipped.verdict is not None  # the limit is on latency
    return QuickstartResult(
        winner=shipped.winner,
        limit_ms=shipped.winner.limits["latency_ms"],
        measured_latency_ms=shipped.measured_latency_ms,
        verdict=shipped.verdict,
        test_accuracy=shipped.retrained.test_accuracy,
        test_images=result.test_images,
        holdout_images=result.holdout_images,
        parity=shipped.manifest.parity,
        data=result.data,
        device=result.device,
        batch=result.batch,
        onnx=shipped.onnx,
        folder=result.folder,
    )
