"""The files of a finished search: best.json and two pictures for each budget, and the front over several budgets."""

from collections.abc import Mapping, Sequence
from typing import Literal

from toolchain.costs.core import Limit, TableCost
from toolchain.files import Count, Document, Milliseconds, Share, write_document
from toolchain.report.figures import WinnerPoint, draw_cost, draw_front, draw_generations
from toolchain.runs import Run
from toolchain.search.budget import Costs, NamedBudget
from toolchain.search.candidate import Candidate
from toolchain.search.per_budget import BudgetResult
from toolchain.search.plan import SearchPlan
from toolchain.search.strategies import Scored
from toolchain.search.verify import fitting
from toolchain.search.winner import Latencies, PassedOver, Winner, summarize_calibration
from toolchain.spaces.core import SearchSpace
from toolchain.training.accuracy import standard_error
from toolchain.training.data import Data
from toolchain.training.job import Job


class FrontEntry(Document):
    """A candidate on the front, with the cost that the front is drawn over; the others are None."""

    architecture: tuple[str, ...]
    holdout_accuracy: Share
    macs: Count | None = None
    params: Count | None = None
    bitops: Count | None = None
    weight_bits: Count | None = None
    latency_ms: Milliseconds | None = None

    def as_json(self) -> dict[str, object]:
        """The fields that are known."""
        return self.model_dump(mode="json", exclude_none=True)


class Front(Document):
    """The content of front.json: the candidates that no other beats in accuracy at the same or lower cost."""

    schema_version: Literal[1] = 1
    cost: str
    convention: str
    front: tuple[FrontEntry, ...]
    winners: dict[str, Winner]


def winner_of(space: SearchSpace, plan: SearchPlan, data: Data, result: BudgetResult, evaluations: int) -> Winner:
    """The content of best.json for the verified winner of one budget."""
    assert result.verified is not None
    winner, budget = result.verified.winner, result.named.budget
    arch, calibration = winner.scored.architecture, winner.calibration
    counts = plan.costs.counts(arch)
    return Winner(
        **_latencies(winner).model_dump(),
        macs=counts["macs"],
        params=counts["params"],
        bitops=counts["bitops"],
        weight_bits=counts["weight_bits"],
        architecture=arch.choices,
        space=space.name,
        space_digest=space.digest,
        strategy=winner.scored.strategy,
        holdout_accuracy=winner.scored.accuracy,
        holdout_loss=winner.scored.loss,
        calibration=None if calibration is None else summarize_calibration(calibration),
        estimate=plan.target.estimate,
        not_measured=plan.unmeasured,
        limits={limit.cost.name: limit.most for limit in budget.limits},
        target=plan.target.id,
        conventions={cost.name: cost.convention for cost in plan.costs.all},
        passed_over=tuple(map(_passed_over, result.verified.passed_over)),
        evaluations=evaluations,
        data=data.name,
        data_digest=data.digest,
        finalists=result.finalists,
    )


def count_evaluations(named: NamedBudget, scored: Sequence[Scored]) -> int:
    """How many of the scored candidates are within the budget."""
    return len(fitting(named.budget, scored))


def _passed_over(candidate: Candidate) -> PassedOver:
    return PassedOver(
        **_latencies(candidate).model_dump(),
        architecture=candidate.scored.architecture.choices,
        holdout_accuracy=candidate.scored.accuracy,
        holdout_loss=candidate.scored.loss,
    )


def _latencies(candidate: Candidate) -> Latencies:
    measured = candidate.measured
    return Latencies(
        latency_ms=candidate.predicted_ms,
        latency_margin=candidate.calibration.margin if candidate.calibration else None,
        latency_upper_ms=candidate.bound_ms,
        measured_latency_ms=measured.latency_ms if measured else None,
        measured_upper_ms=measured.upper_ms if measured else None,
        measured_unstable=measured.unstable if measured else "",
        measured_anchor_ms=measured.anchor_ms if measured else None,
    )


def write_winner(job: Job, plan: SearchPlan, result: BudgetResult, winner: Winner) -> None:
    """Write best.json and the pictures of one budget; search/best.json is the winner of the last budget.

    Raises:
        RunFolderError: they cannot be written.
    """
    write_document(job.run.budget(result.named.name) / "best.json", winner)
    write_document(job.run.best, winner)
    _draw(job, plan.costs, result, winner)


def _draw(job: Job, costs: Costs, result: BudgetResult, winner: Winner) -> None:
    """generations.png, and accuracy_COST.png for each limited cost (MACs if nothing is limited)."""
    folder, budget = job.run.budget(result.named.name), result.named.budget
    histories = {"evolution": result.evolution}
    if result.random_search:
        histories["random search"] = result.random_search
    draw_generations({label: _by_generation(scored) for label, scored in histories.items()}, folder / "generations.png")
    drawn = histories | ({"simple networks": result.simple} if result.simple else {})
    for limit in budget.limits or (_no_limit(costs),):
        cost = costs.named(limit.cost.name)
        draw_cost(
            {label: _points(cost, scored) for label, scored in reversed(drawn.items())},
            _point_with_error(cost, winner, job),
            cost.name,
            limit.most if budget.limits else None,
            folder / f"accuracy_{cost.name}.png",
        )


def _point_with_error(cost: TableCost, winner: Winner, job: Job) -> WinnerPoint:
    accuracy, arch = winner.holdout_accuracy, job.space.architecture(winner.architecture)
    return WinnerPoint(cost.cost(arch), accuracy, standard_error(accuracy, len(job.data.holdout)))


def _no_limit(costs: Costs) -> Limit:
    macs = costs.named("macs")
    return Limit(macs, macs.greatest)


def find_front(cost: TableCost, scored: Sequence[Scored], winners: Mapping[str, Winner]) -> Front:
    """The candidates that no other beats in accuracy at the same or lower cost."""
    front: list[Scored] = []
    for candidate in sorted(set(scored), key=lambda s: (cost.cost(s.architecture), -s.accuracy)):
        if not front or candidate.accuracy > front[-1].accuracy:
            front.append(candidate)
    entries = tuple(_entry(cost, candidate) for candidate in front)
    return Front(cost=cost.name, convention=cost.convention, front=entries, winners=dict(winners))


def _entry(cost: TableCost, candidate: Scored) -> FrontEntry:
    value = cost.cost(candidate.architecture)
    fields = {
        "architecture": candidate.architecture.choices,
        "holdout_accuracy": candidate.accuracy,
        cost.name: value if cost.unit == "ms" else int(value),
    }
    return FrontEntry.model_validate(fields)


def write_front(run: Run, front: Front, cost: TableCost, scored: Sequence[Scored]) -> None:
    """Write front.json and its picture.

    Raises:
        RunFolderError: they cannot be written.
    """
    write_document(run.front, front)
    draw_front(
        _points(cost, scored),
        [(entry.model_dump()[cost.name], entry.holdout_accuracy) for entry in front.front],
        [_winner_point(cost, winner) for winner in front.winners.values()],
        cost.name,
        run.front.with_suffix(".png"),
    )


def _winner_point(cost: TableCost, winner: Winner) -> tuple[float, float, float | None]:
    value = winner.cost(cost.name)
    assert value is not None
    return value, winner.holdout_accuracy, winner.limits.get(cost.name)


def _points(cost: TableCost, scored: Sequence[Scored]) -> list[tuple[float, float]]:
    return [(cost.cost(candidate.architecture), candidate.accuracy) for candidate in scored]


def _by_generation(history: Sequence[Scored]) -> Mapping[int, list[float]]:
    accuracies: dict[int, list[float]] = {}
    for scored in history:
        accuracies.setdefault(scored.generation, []).append(scored.accuracy)
    return accuracies
