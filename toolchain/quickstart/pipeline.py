"""`nastool quickstart`: all stages of the main job, from a profile to a checked ONNX file."""

from dataclasses import dataclass
from pathlib import Path

from latency_db.table import LatencyTable
from toolchain.check.gate import Verdict, check
from toolchain.check.requirements import CheckedFile
from toolchain.check.verdict import Outcome
from toolchain.config import Config, SearchConfig
from toolchain.errors import CheckFailed
from toolchain.export.manifest import ParityRecord
from toolchain.export.pipeline import export
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.space_precision import for_space
from toolchain.measuring.target import ReadyTarget
from toolchain.nets.checked_space import configured_space
from toolchain.profiling.profiler import profile_if_missing
from toolchain.progress import Progress
from toolchain.runs import open_run
from toolchain.search.budget import middle_latency_ms
from toolchain.search.plan import plan_search
from toolchain.search.search import search
from toolchain.search.winner import Winner, selected
from toolchain.spaces.core import SearchSpace
from toolchain.training.data import configured_data
from toolchain.training.job import Job
from toolchain.training.retrained import Retrained
from toolchain.training.retraining import retrain
from toolchain.training.supernet_training import train_supernet
from toolchain.training.torch_setup import prepare_torch

FINALISTS_S = 60.0  # for the trainings of finalists; all stages together take less than five minutes


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
            "parity": self.parity.model_dump(mode="json"),
            "data": self.data,
            "device": self.device,
            "onnx": str(self.onnx),
            "folder": str(self.folder),
        }


def run_quickstart(config: Config, progress: Progress) -> QuickstartResult:
    """Profile, train, search under the median predicted latency, retrain, export and check.

    The target is resolved once, for all stages.

    Raises:
        CheckFailed: the exported file does not fit the budget.
        UserError: see the stages.
    """
    prepare_torch(config)
    space = configured_space(config)
    data = configured_data(config, space)
    target = require_target(for_space(config.profile, space))
    limit_ms = _limit_ms(config, space, _profiled(config, space, target, progress), progress)
    config = config.model_copy(update={"search": _limited(config.search, limit_ms)})
    with open_run(config, make=True) as run:
        job = Job(config, space, data, run, progress)
        winner, retrained = _winner(job, target)
        progress.say("5 of 6: export")
        manifest = export(job, selected(winner, space), target)
        progress.say("6 of 6: check")
        checked = CheckedFile(run.onnx, limit_ms, winner.measured_anchor_ms)
        verdict = check(config, checked, None, progress, target)
    _require_passed(verdict, progress)
    return QuickstartResult(
        winner=winner,
        limit_ms=limit_ms,
        measured_latency_ms=verdict.latency_ms,
        verdict=verdict.outcome,
        test_accuracy=retrained.test_accuracy,
        parity=manifest.parity,
        data=data.name,
        device=target.target.device_model,
        batch=target.target.batch,
        onnx=run.onnx,
        folder=run.folder,
    )


def _profiled(config: Config, space: SearchSpace, target: ReadyTarget, progress: Progress) -> LatencyTable:
    progress.say("1 of 6: profile the choice blocks on this device")
    return profile_if_missing(space, target, measurement_plan(config), config.profile.db, progress).table


def _limit_ms(config: Config, space: SearchSpace, table: LatencyTable, progress: Progress) -> float:
    limit_ms = middle_latency_ms(space, table, config.seed)
    progress.say(f"budget: {limit_ms:.3f} ms, which about half of the architectures of the space are predicted to meet")
    return limit_ms


def _limited(search: SearchConfig, limit_ms: float) -> SearchConfig:
    """The settings of the search with the budget, and with less time for finalists than a search of its own has."""
    seconds = min(search.finalist_time_s, FINALISTS_S)
    return search.model_copy(update={"latency": (f"{limit_ms:.3f}ms",), "finalist_time_s": seconds})


def _winner(job: Job, target: ReadyTarget) -> tuple[Winner, Retrained]:
    """Train the supernet, search it, and retrain the winner from scratch."""
    plan = plan_search(job.config, job.space, target)
    job.progress.say("2 of 6: train the supernet")
    train_supernet(job)
    job.progress.say("3 of 6: search")
    winner = search(job, plan).best
    job.progress.say("4 of 6: retrain the winner")
    return winner, retrain(job, selected(winner, job.space).architecture)


def _require_passed(verdict: Verdict, progress: Progress) -> None:
    """Refuse a failed check; report an inconclusive one."""
    if verdict.outcome is Outcome.FAIL:
        raise CheckFailed("; ".join(verdict.problems))
    for problem in verdict.problems:
        progress.say(problem)
