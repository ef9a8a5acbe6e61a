"""The whole job for one configuration: profile, train, search, retrain, export and check, for each budget."""

from dataclasses import dataclass, replace
from pathlib import Path

from latency_db.table import LatencyTable
from toolchain.check.outcome import Outcome
from toolchain.config import Config
from toolchain.errors import BadConfig
from toolchain.export.manifest import Manifest
from toolchain.export.pipeline import export
from toolchain.measuring.from_config import require_target
from toolchain.measuring.space_precision import for_space
from toolchain.measuring.target import ReadyTarget
from toolchain.nets.checked_space import configured_space
from toolchain.pipeline.stages import Stages, export_and_check, profiled, retrain_chosen, train_and_search
from toolchain.progress import Progress
from toolchain.runs import open_run
from toolchain.search.budget import middle_latency_ms, training_latency
from toolchain.search.limits import LIMITED, count_budgets, read_limits
from toolchain.search.winner import Winner, selected
from toolchain.spaces.core import SearchSpace
from toolchain.tracking.tracked import require_tracker, tracked
from toolchain.training.data import configured_data
from toolchain.training.job import Job
from toolchain.training.preflight import check_retrain, check_train
from toolchain.training.retrained import Retrained
from toolchain.training.torch_setup import prepare_torch

FIRST_STAGES = ("profile the choice blocks on this device", "train the supernet", "search")
STAGES_OF_BUDGET = ("retrain the winner", "export", "check")


@dataclass(frozen=True)
class Shipped:
    """The winner of one budget with its files.

    Args:
        measured_latency_ms: of the check, or of the export where there is no limit on latency.
        verdict: of the check; None where there is no limit on latency. A failed check raises an error instead.
    """

    budget: str
    winner: Winner
    retrained: Retrained
    manifest: Manifest
    measured_latency_ms: float | None
    verdict: Outcome | None
    onnx: Path


@dataclass(frozen=True)
class JobResult:
    """What the whole job shipped; `unmet` says which budgets have no winner."""

    shipped: tuple[Shipped, ...]
    unmet: tuple[str, ...]
    data: str
    device: str
    batch: int
    test_images: int
    holdout_images: int
    folder: Path


def run_job(config: Config, progress: Progress) -> JobResult:
    """Profile, train, search within the limits, and retrain, export and check each winner.

    The target is resolved once, for all stages. Each stage resumes from its files, so the same command continues a job
    that was interrupted. Without a limit, it is the latency that about half of the architectures are predicted to meet.

    Raises:
        BadConfig: several devices.
        CheckFailed: an exported file does not fit its budget.
        UserError: see the stages.
    """
    _require_one_device(config)
    require_tracker(config)
    prepare_torch(config)
    space = configured_space(config)
    data = configured_data(config, space, progress, "supernet", "retrain")
    check_train(config, space)
    check_retrain(config, space)
    target = require_target(for_space(config.profile, space))
    stages = Stages(progress, *FIRST_STAGES, *_titles(count_budgets(read_limits(config.search))))
    config = _limited(config, space, profiled(config, space, target, progress, stages), progress)
    with open_run(config, make=True) as run, tracked(config, run, progress) as trackers:
        job = Job(config, space, data, run, progress, training_latency(config, space, target.target), trackers)
        searched = train_and_search(job, target, stages)
        several = count_budgets(read_limits(config.search)) > 1
        shipped = tuple(
            _ship(replace(job, run=run.shipping(name if several else None)), name, winner, target, stages)
            for name, winner in searched.winners.items()
        )
    return JobResult(
        shipped=shipped,
        unmet=searched.unmet,
        data=data.name,
        device=target.target.device_model,
        batch=target.target.batch,
        test_images=len(data.test.labels),
        holdout_images=len(data.holdout),
        folder=run.folder,
    )


def _require_one_device(config: Config) -> None:
    if len(config.profile.devices) > 1:
        raise BadConfig(
            "the whole job is for one device, and several are configured. Give one --device, or run the commands one "
            "after the other"
        )


def _titles(budgets: int) -> tuple[str, ...]:
    if budgets == 1:
        return STAGES_OF_BUDGET
    return tuple(f"{title} of budget {number}" for number in range(1, budgets + 1) for title in STAGES_OF_BUDGET)


def _limited(config: Config, space: SearchSpace, table: LatencyTable, progress: Progress) -> Config:
    """The configuration with a limit."""
    if any(getattr(config.search, name) for name in LIMITED):
        return config
    limit_ms = middle_latency_ms(space, table, config.seed)
    progress.say(f"budget: {limit_ms:.3f} ms, which about half of the architectures of the space are predicted to meet")
    search = config.search.model_copy(update={"latency": (f"{limit_ms:.3f}ms",)})
    return config.model_copy(update={"search": search})


def _ship(job: Job, budget: str, winner: Winner, target: ReadyTarget, stages: Stages) -> Shipped:
    """Retrain, export and check one winner."""
    chosen = selected(winner, job.space)
    retrained = retrain_chosen(job, chosen, stages)
    if "latency_ms" in chosen.limits:
        exported = export_and_check(job, chosen, retrained, target, stages)
        manifest, verdict = exported.manifest, exported.verdict
        return Shipped(budget, winner, retrained, manifest, verdict.latency_ms, verdict.outcome, job.run.onnx)
    stages.begin()
    manifest = export(job, chosen, target)
    stages.begin()
    job.progress.say("there is no limit on latency to check against")
    return Shipped(budget, winner, retrained, manifest, manifest.measured_latency_ms, None, job.run.onnx)
