"""The finalists of all budgets of a search, as the configuration says."""

from collections.abc import Sequence
from dataclasses import replace

from toolchain.config import Config
from toolchain.costs.core import Budget
from toolchain.errors import BadCheckpoint, BadDocument
from toolchain.parallel.collectives import from_first
from toolchain.search.candidate import Candidate, candidate
from toolchain.search.candidate_timing import Measure, measure_against
from toolchain.search.finalists.admission import Admit
from toolchain.search.finalists.report import EARLIER
from toolchain.search.finalists.selection import FinalistSettings, Selector
from toolchain.search.finalists.trainings import Trainings
from toolchain.search.generations import Scoring
from toolchain.search.per_budget import BudgetResult
from toolchain.search.plan import SearchPlan
from toolchain.search.strategies import Scored, unique
from toolchain.search.verify import Verified, latency_limit, within_budget
from toolchain.search.winner import read_winner
from toolchain.spaces.core import Architecture
from toolchain.training.job import Job
from toolchain.training.recipe import Recipe, load_recipe

MIN_STEPS = 200  # of a training; a network is hardly better than chance after fewer


def selector(job: Job, plan: SearchPlan, scoring: Scoring) -> Selector:
    """What trains finalists and selects between them.

    Raises:
        BadConfig: the recipe of the trainings is not valid.
        BadDocument, RunFolderError: see `Trainings`.
    """
    config, retrain = job.config, job.config.retrain
    epochs = _epochs(job, load_recipe(retrain.recipe, "retrain", retrain.changes))
    settings = FinalistSettings(config.search.finalists, epochs, config.search.finalist_time_s)
    trainings = Trainings(replace(job, config=with_epochs(config, epochs)))
    return Selector(job.space, plan.costs, scoring, trainings, settings)


def _epochs(job: Job, retrain: Recipe) -> float:
    """Epochs of a finalist's training: those of the configuration, or more where these are few steps."""
    epochs = job.config.search.finalist_epochs
    if epochs is None:
        return retrain.epochs_for(len(job.data.fit))
    enough = enough_epochs(epochs, retrain, len(job.data.fit))
    if enough > epochs:
        job.progress.say(
            f"finalists are trained for {enough:.3g} epochs instead of {epochs:g}, which are too few steps to compare "
            f"networks: the data has {len(job.data.fit):,} training images"
        )
    return enough


def enough_epochs(epochs: float, retrain: Recipe, images: int) -> float:
    """`epochs`, or as many as have `MIN_STEPS` steps, but not more than `retrain` has."""
    enough = min(retrain.epochs_for(images), MIN_STEPS * retrain.batch / retrain.images_per_epoch(images))
    return max(epochs, enough)


def with_epochs(config: Config, epochs: float | None) -> Config:
    """`config` with other epochs of retrain; None keeps them."""
    if epochs is None:
        return config
    changes = config.retrain.changes | {"epochs": epochs}
    return config.model_copy(update={"retrain": config.retrain.model_copy(update={"changes": changes})})


def decide(
    results: Sequence[BudgetResult], selector: Selector, measure: Measure | None, job: Job
) -> list[BudgetResult]:
    """Each result with the winner among its finalists; one without a winner stays as it is.

    The winner of an earlier search of the same budget takes part, so that the run never returns a worse one.
    """
    return [
        result
        if result.verified is None
        else _decided(result, result.verified, selector, measure, earlier_winners(job, result.named.name))
        for result in results
    ]


def earlier_winners(job: Job, budget: str) -> tuple[Architecture, ...]:
    """The winner of the last search of `budget` if finalists decided it, after those that took part in it as such.

    The same search typed again therefore has the same finalists.
    """

    def read() -> tuple[Architecture, ...]:
        path = job.run.budget(budget) / "best.json"
        try:
            winner = read_winner(path, job.space) if path.exists() else None
        except (BadCheckpoint, BadDocument):  # of another space, or damaged: this search replaces it
            return ()
        if winner is None or winner.finalists is None or winner.data_digest != job.data.digest:
            return ()
        before = [finalist.architecture for finalist in winner.finalists.finalists if finalist.strategy == EARLIER]
        return tuple(map(job.space.architecture, dict.fromkeys([*before, winner.architecture])))

    return from_first(read)


def _decided(
    result: BudgetResult,
    verified: Verified,
    selector: Selector,
    measure: Measure | None,
    earlier: Sequence[Architecture],
) -> BudgetResult:
    budget = result.named.budget
    admit = _admission(budget, selector, measure)
    selection = selector.select(budget, within_budget(budget, verified.scored), verified.winner, admit, earlier)
    decided = replace(verified, winner=selection.winner, scored=unique(verified.scored, selection.simple))
    return replace(result, verified=decided, simple=selection.simple, finalists=selection.report)


def _admission(budget: Budget, selector: Selector, measure: Measure | None) -> Admit:
    """Admits a candidate that measures within the latency limit, or, where nothing is measured, is predicted to."""
    limit, model = latency_limit(budget), selector.costs.latency

    def admit(scored: Scored) -> Candidate | None:
        if measure is None:
            return candidate(scored, model, None) if budget.allows(scored.architecture) else None
        if limit is None:
            return candidate(scored, model, measure(scored.architecture, 0))
        measured = measure_against(limit, scored.architecture, measure)
        finalist = candidate(scored, model, measured)
        return finalist if keeps_margin(finalist, limit.most) else None

    return admit


def keeps_margin(finalist: Candidate, limit_ms: float) -> bool:
    """Whether a measured candidate is within the limit, and its prediction or its measurement within it by the margin.

    In another process the same file takes a little longer or shorter. The search constrains predictions by the margin,
    which covers that; a simple network is measured without, so its measurement must leave as much.
    """
    assert finalist.measured is not None
    bound_ms, upper_ms = finalist.bound_ms, finalist.measured.upper_ms
    if finalist.calibration is None or (bound_ms is not None and bound_ms <= limit_ms):
        return upper_ms <= limit_ms
    return upper_ms * (1 + finalist.calibration.margin) <= limit_ms
