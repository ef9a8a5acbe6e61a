"""What a search leaves: best.json and two pictures for each budget, and the front over several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.files import write_json
from toolchain.parallel.ranks import rank
from toolchain.report.figures import draw_cost, draw_front, draw_generations
from toolchain.search.budget import Costs, NamedBudget
from toolchain.search.per_budget import SearchPlan
from toolchain.search.strategies import Scored
from toolchain.search.verify import Candidate, Verified, fitting
from toolchain.spaces.core import SearchSpace


def best_of(space: SearchSpace, goal: NamedBudget, plan: SearchPlan, verified: Verified) -> dict[str, Any]:
    """The content of best.json, but for the data.

    `latency_ms` is what was predicted when the winner was chosen, `latency_upper_ms` the upper bound of that, which
    is within the limit; `measured_latency_ms` and `measured_upper_ms` are None where nothing was measured.
    """
    winner, budget, costs, target = verified.winner, goal.budget, plan.costs, plan.target
    arch = winner.scored.architecture
    calibration = winner.calibration
    return {
        "architecture": list(arch.choices),
        "space": space.name,
        "space_digest": space.digest,
        "holdout_accuracy": winner.scored.accuracy,
        **costs.of(arch),
        **_latencies(winner),
        "calibration": None if calibration is None else vars(calibration) | {"in_words": str(calibration)},
        "estimate": target.estimate,
        "not_measured": plan.unmeasured,
        "limits": {limit.cost.name: limit.most for limit in budget.limits},
        "target": target.id,
        "conventions": {cost.name: cost.convention for cost in costs.all},
        "passed_over": [
            {
                "architecture": list(other.scored.architecture.choices),
                "holdout_accuracy": other.scored.accuracy,
                **_latencies(other),
            }
            for other in verified.passed_over
        ],
        "evaluations": len(fitting(budget, verified.scored)),
    }


def _latencies(candidate: Candidate) -> dict[str, float | str | None]:
    measured = candidate.measured
    return {
        "latency_ms": candidate.predicted_ms,
        "latency_margin": candidate.calibration.margin if candidate.calibration else None,
        "latency_upper_ms": candidate.bound_ms,
        "measured_latency_ms": measured.latency_ms if measured else None,
        "measured_upper_ms": measured.upper_ms if measured else None,
        "measured_unstable": measured.unstable if measured else "",
        "measured_anchor_ms": measured.anchor_ms if measured else None,
    }


def draw_search(
    folder: Path,
    space: SearchSpace,
    evolution: Sequence[Scored],
    baseline: Sequence[Scored],
    budget: Budget,
    costs: Costs,
    best: Mapping[str, Any],
) -> None:
    """generations.png, and accuracy_COST.png for each limited cost (MACs where nothing is limited)."""
    searches = {"evolution": evolution} | ({"random search": baseline} if baseline else {})
    draw_generations({label: _by_generation(found) for label, found in searches.items()}, folder / "generations.png")
    winner = space.architecture(best["architecture"])
    macs = costs.named("macs")
    for limit in budget.limits or (Limit(macs, macs.greatest),):
        draw_cost(
            {label: _points(costs.named(limit.cost.name), found) for label, found in reversed(searches.items())},
            (costs.named(limit.cost.name).cost(winner), best["holdout_accuracy"]),
            limit.cost.name,
            limit.most if budget.limits else None,
            folder / f"accuracy_{limit.cost.name}.png",
        )


def write_front(
    path: Path, cost: TableCost, scored: Sequence[Scored], winners: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The candidates that no other beats in accuracy at the same or less cost, as JSON and as a picture beside it."""
    front: list[Scored] = []
    for candidate in sorted(set(scored), key=lambda s: (cost.cost(s.architecture), -s.accuracy)):
        if not front or candidate.accuracy > front[-1].accuracy:
            front.append(candidate)
    found = [
        {
            "architecture": list(s.architecture.choices),
            cost.name: cost.cost(s.architecture),
            "holdout_accuracy": s.accuracy,
        }
        for s in front
    ]
    if rank() > 0:
        return found
    write_json(path, {"cost": cost.name, "convention": cost.convention, "front": found, "winners": dict(winners)})
    draw_front(
        _points(cost, scored),
        _points(cost, front),
        [(w[cost.name], w["holdout_accuracy"], w["limits"].get(cost.name)) for w in winners.values()],
        cost.name,
        path.with_suffix(".png"),
    )
    return found


def _points(cost: TableCost, found: Sequence[Scored]) -> list[tuple[float, float]]:
    return [(cost.cost(s.architecture), s.accuracy) for s in found]


def _by_generation(history: Sequence[Scored]) -> Mapping[int, list[float]]:
    found: dict[int, list[float]] = {}
    for scored in history:
        found.setdefault(scored.generation, []).append(scored.accuracy)
    return found
