"""All stages of `nastool shrink`, from the user's weights to a checked file."""

from dataclasses import replace
from math import ceil

from toolchain.config import Config
from toolchain.errors import BadConfig, BudgetInfeasible
from toolchain.measuring.from_config import require_target
from toolchain.measuring.space_precision import for_space
from toolchain.measuring.target import ReadyTarget
from toolchain.nets.checked_space import configured_space
from toolchain.nets.model_space.notes import between_notes
from toolchain.nets.model_space.weights import narrowing_of
from toolchain.pipeline.stages import Stages, export_and_check, profiled, retrain_chosen, train_and_search
from toolchain.progress import Progress
from toolchain.runs import open_run, run_of
from toolchain.search.budget import load_costs
from toolchain.search.search import SearchResult
from toolchain.search.winner import SelectedArchitecture, selected
from toolchain.shrink.max_drop import SMALLER_NETWORKS, fastest_within, latencies_ms
from toolchain.shrink.original import Original, measure_original, weights_of
from toolchain.shrink.original_training import train_original
from toolchain.shrink.request import Request, request_of
from toolchain.shrink.result import ShrinkResult, compare
from toolchain.tracking.tracked import require_tracker, tracked
from toolchain.training.data import configured_data
from toolchain.training.job import Job
from toolchain.training.original_model import weight_notes
from toolchain.training.preflight import check_importance
from toolchain.training.retrained import Retrained
from toolchain.training.retraining import retrain
from toolchain.training.torch_setup import prepare_torch
from toolchain.units import format_ms

PROFILE, TRAIN_ORIGINAL = "profile the blocks on this device", "train the original on these images"
STAGES = (
    "evaluate and time the original",
    "adapt the shared weights",
    "search",
    "fine-tune the winner",
    "export",
    "check",
    "time both side by side",
)


def run_shrink(config: Config, progress: Progress) -> ShrinkResult:
    """Shrink the model of the configured space to the requested latency or loss of accuracy.

    Every stage reads the files of an earlier, interrupted run of the same command, and the result is the same.

    Raises:
        BadConfig: see `request_of`.
        UnknownSpace: the model cannot be traced, or has no freedom.
        BudgetInfeasible: no network of the model's space reaches the latency; the least one is named.
        CheckFailed: no network loses as little as requested, or the exported file does not fit the budget.
        UserError: see the stages.
    """
    request = request_of(config)
    require_tracker(config)
    prepare_torch(config)
    space = configured_space(config)
    check_importance(config.train, space)
    for note in between_notes(space):
        progress.say(note)
    data = configured_data(config, space, progress, "supernet", "retrain")
    target = require_target(for_space(config.profile, space))
    job = Job(config, space, data, run_of(config), progress)
    trained = _fits(job)
    stages = Stages(progress, PROFILE, *(() if trained else (TRAIN_ORIGINAL,)), *STAGES)
    profiled(config, space, target, progress, stages)
    with open_run(config, make=True) as run, tracked(config, run, progress) as trackers:
        job = replace(job, run=run, trackers=trackers)
        if not trained:
            stages.begin()
            job = train_original(job)
        stages.begin()
        original = measure_original(job, target)
        _say_original(original, job)
        job = _with_limits(job, request, original, target)
        searched = train_and_search(job, target, stages)
        chosen, retrained = _choose(job, request, original, searched, stages)
        exported = export_and_check(job, chosen, retrained, target, stages)
        stages.begin()
        return compare(job, target, original, exported, searched.alternatives)


def _fits(job: Job) -> bool:
    """Whether the user's weights fit the model entirely; what is newly initialized is said.

    Raises:
        BadCheckpoint: the weights are not those of the model.
    """
    notes = weight_notes(job.space, weights_of(job))
    for note in notes:
        job.progress.say(note)
    return not notes


def _with_limits(job: Job, request: Request, original: Original, target: ReadyTarget) -> Job:
    """The job whose training and search have the latency limits that the request stands for.

    Raises:
        BadConfig: the original is within the limit.
        BudgetInfeasible: the limit is below the least latency of the space.
    """
    costs = load_costs(job.space, target.target, job.config.profile.db, need_latency=True)
    assert costs.latency is not None
    least_ms, greatest_ms = costs.latency.upper.least, costs.latency.upper.greatest
    limit_ms = request.limit_ms(original.latency_ms)
    if limit_ms is not None and limit_ms < least_ms:
        raise BudgetInfeasible(
            f"{_limit_text(request, original, limit_ms)} cannot be reached: the smallest network of {job.space.name} "
            f"is predicted at {format_ms(least_ms)}, and the original takes {format_ms(original.latency_ms)}. Give at "
            f"least {ceil(1000 * least_ms) / 1000:g}ms, or allow {SMALLER_NETWORKS}"
        )
    if limit_ms is not None and limit_ms >= original.latency_ms:
        raise BadConfig(
            f"{format_ms(limit_ms)} is no reduction: the original takes {format_ms(original.latency_ms)}. Give a "
            f"smaller --latency, or a share such as 50%"
        )
    limits = [limit_ms] if limit_ms is not None else latencies_ms(least_ms, greatest_ms, original.latency_ms)
    if limit_ms is not None:
        job.progress.say(f"budget: {_limit_text(request, original, limit_ms)}")
        if limit_ms > greatest_ms and narrowing_of(job.space):
            job.progress.say(
                f"the largest network of this space is predicted at {format_ms(greatest_ms)}. A greater between uses "
                f"more of the budget"
            )
    texts = tuple(f"{limit:.3f}ms" for limit in limits)
    config = job.config
    train = config.train.model_copy(update={"budgets": (texts[-1],)})
    search = config.search.model_copy(update={"latency": texts})
    return replace(
        job, config=config.model_copy(update={"train": train, "search": search}), latency=costs.latency.predicted
    )


def _limit_text(request: Request, original: Original, limit_ms: float) -> str:
    if request.share is None:
        return format_ms(limit_ms)
    return f"{request.share:.4g} x {format_ms(original.latency_ms)} = {format_ms(limit_ms)}"


def _choose(
    job: Job, request: Request, original: Original, searched: SearchResult, stages: Stages
) -> tuple[SelectedArchitecture, Retrained]:
    """The network that meets the request, fine-tuned.

    Raises:
        CheckFailed: no network loses as little as requested.
    """
    if request.max_drop is None:
        chosen = selected(searched.best, job.space)
        return chosen, retrain_chosen(job, chosen, stages)
    stages.begin()
    least_accuracy = original.holdout_accuracy - request.max_drop
    winners = list(searched.winners.values())
    return fastest_within(winners, job.space, least_accuracy, lambda chosen: retrain(job, chosen.architecture))


def _say_original(original: Original, job: Job) -> None:
    job.progress.say(
        f"original: {format_ms(original.latency_ms)}, {original.holdout_accuracy:.2%} of the hold-out, "
        f"{original.test_accuracy:.2%} of the test images"
    )
    if original.unstable:
        job.progress.say(
            f"warning: the latency of the original is not reproducible ({original.unstable}), so a share of it is not "
            f"either. Give --latency in ms, or repeat this with another --run on an idle machine"
        )
