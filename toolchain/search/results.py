"""The files of a finished search: best.json and its pictures for each budget, front.json and its picture."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from toolchain.costs.core import Limit, TableCost
from toolchain.files import write_document
from toolchain.report.architecture import draw_architectures
from toolchain.report.blocks import network_parts
from toolchain.report.figures import (
    About,
    AccuracyPoint,
    TrainedAlone,
    WinnerPoint,
    draw_cost,
    draw_front,
    draw_generations,
)
from toolchain.search.budget import Costs, NamedBudget
from toolchain.search.candidate import Candidate
from toolchain.search.drawing import drawn_cost, network_title, picture_paths
from toolchain.search.finalists.report import FinalistsReport
from toolchain.search.front import Front
from toolchain.search.per_budget import BudgetResult
from toolchain.search.plan import SearchPlan, SharedDevice
from toolchain.search.strategies import EVOLUTION, LEARNED, Scored
from toolchain.search.verify import within_budget
from toolchain.search.winner import Latencies, PassedOver, SharedLatencies, Winner, summarize_calibration
from toolchain.spaces.core import SearchSpace
from toolchain.training.accuracy_interval import wilson
from toolchain.training.data import Data
from toolchain.training.job import Job


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
        profile_runs=plan.costs.profile_runs,
        conventions={cost.name: cost.convention for cost in plan.costs.all},
        passed_over=tuple(map(_passed_over, result.verified.passed_over)),
        evaluations=evaluations,
        data=data.name,
        data_digest=data.digest,
        holdout_images=len(data.holdout),
        finalists=result.finalists,
        random_select=result.random_select,
        device=plan.device or None,
        elsewhere={
            device.device: _elsewhere(device, winner.elsewhere.get(device.limit.cost.name)) for device in plan.shared
        },
    )


def _elsewhere(device: SharedDevice, candidate: Candidate | None) -> SharedLatencies:
    """The winner on another device of a shared budget."""
    known = {} if candidate is None else _latencies(candidate).model_dump()
    return SharedLatencies(**known, limit_ms=device.limit.most, target=device.ready.target.id)


def count_evaluations(named: NamedBudget, scored: Sequence[Scored]) -> int:
    """How many of the scored candidates are within the budget."""
    return len(within_budget(named.budget, scored))


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
    _draw(job, plan, result, winner)
    _draw_architecture(job, plan.costs, result.named.name, winner)


def picture_title(job: Job, plan: SearchPlan) -> str:
    """`pets: shufflenet_v2 on folder:pets, AMD EPYC (onnxruntime, batch 32)`"""
    target = plan.target
    device = f"{target.device_model} ({target.backend}, batch {target.batch})"
    return f"{job.run.folder.name}: {job.space.name} on {job.data.name}, {device}"


def _draw(job: Job, plan: SearchPlan, result: BudgetResult, winner: Winner) -> None:
    """generations.png, and accuracy_COST.png for each limited cost (MACs if nothing is limited)."""
    folder, budget, costs = job.run.budget(result.named.name), result.named.budget, plan.costs
    title = picture_title(job, plan)
    label = result.evolution[0].strategy if result.evolution else EVOLUTION
    histories = {LEARNED if label == LEARNED else EVOLUTION: result.evolution}
    if result.random_search:
        histories["random search"] = result.random_search
    generations = {label: _by_generation(scored) for label, scored in histories.items()}
    draw_generations(generations, title, folder / "generations.png")
    drawn = histories | ({"simple networks": result.simple} if result.simple else {})
    drawable = {cost.name for cost in costs.all}  # those of other devices are not
    for limit in [entry for entry in budget.limits if entry.cost.name in drawable] or (_no_limit(costs),):
        cost = costs.named(limit.cost.name)
        point = partial(_accuracy_point, job, cost)
        draw_cost(
            {label: _points(cost, scored) for label, scored in reversed(drawn.items())},
            _winner_point(job, cost, winner),
            _trained_alone(winner.finalists, point) if winner.finalists else None,
            About(title, cost.name),
            folder / f"accuracy_{cost.name}.png",
        )


def _draw_architecture(job: Job, costs: Costs, budget: str, winner: Winner) -> None:
    """architecture.svg and architecture.png: the winner block by block."""
    arch = job.space.architecture(winner.architecture)
    title = f"winner of {budget}: {network_title(costs, job.space, arch)}"
    parts = network_parts(job.space, arch, drawn_cost(costs, job.space), title)
    draw_architectures([parts], *picture_paths(job.run.budget(budget) / "architecture"))


def _accuracy_point(job: Job, cost: TableCost, choices: tuple[str, ...], accuracy: float) -> AccuracyPoint:
    low, high = wilson(accuracy, len(job.data.holdout))
    return AccuracyPoint(cost.cost(job.space.architecture(choices)), accuracy, low, high)


def _trained_alone(report: FinalistsReport, point: Callable[[tuple[str, ...], float], AccuracyPoint]) -> TrainedAlone:
    points = [
        (finalist.outcome, point(finalist.architecture, finalist.trained_accuracy)) for finalist in report.finalists
    ]
    (winner,) = [entry for outcome, entry in points if outcome == "winner"]
    return TrainedAlone(winner, [entry for outcome, entry in points if outcome != "winner"])


def _no_limit(costs: Costs) -> Limit:
    macs = costs.named("macs")
    return Limit(macs, macs.greatest)


def write_front(job: Job, plan: SearchPlan, front: Front, scored: Sequence[Scored]) -> None:
    """Write front.json and its picture.

    Raises:
        RunFolderError: they cannot be written.
    """
    cost = plan.varied
    write_document(job.run.front, front)
    draw_front(
        _points(cost, scored),
        [(entry.model_dump()[cost.name], entry.holdout_accuracy) for entry in front.front],
        [_winner_point(job, cost, winner) for winner in front.winners.values()],
        About(picture_title(job, plan), cost.name),
        job.run.front.with_suffix(".png"),
    )


def _winner_point(job: Job, cost: TableCost, winner: Winner) -> WinnerPoint:
    inherited = _accuracy_point(job, cost, winner.architecture, winner.holdout_accuracy)
    return WinnerPoint(inherited, winner.measured_latency_ms, winner.limits.get(cost.name))


def _points(cost: TableCost, scored: Sequence[Scored]) -> list[tuple[float, float]]:
    return [(cost.cost(candidate.architecture), candidate.accuracy) for candidate in scored]


def _by_generation(history: Sequence[Scored]) -> Mapping[int, list[float]]:
    accuracies: dict[int, list[float]] = {}
    for scored in history:
        accuracies.setdefault(scored.generation, []).append(scored.accuracy)
    return accuracies
