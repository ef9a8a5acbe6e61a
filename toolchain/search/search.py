"""`nastool search`: score candidates by evolution, measure the best, return one that fits.

Resume is replay: generation g draws its random numbers from (seed, g) and scores come from the journal where it
has them, so a search that was killed ends as if it had not been. Scores do not depend on the limits, so searches
for other budgets on the same supernet share the journal.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from toolchain.config import Config
from toolchain.costs.core import Budget, Limit
from toolchain.costs.feasible import FeasibleSet
from toolchain.files import write_json
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.measure import context_of, measure
from toolchain.profiling.profiler import export_for_timing
from toolchain.progress import Progress, Task
from toolchain.reporting.figures import draw_cost, draw_generations
from toolchain.runs import Run
from toolchain.search.budget import Costs, budget_of
from toolchain.search.evaluate import Evaluator
from toolchain.search.journal import Journal
from toolchain.search.strategies import Evolution, RandomSearch, Scored, Strategy
from toolchain.search.verify import Verified, journalled, verify
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.data import Data
from toolchain.training.stages import load_supernet

Score = Callable[[Architecture], float]


@dataclass(frozen=True)
class Searched:
    """A search's winner as written to best.json, with all that was scored."""

    best: dict[str, Any]
    evolution: tuple[Scored, ...]
    baseline: tuple[Scored, ...]


@dataclass(frozen=True)
class Plan:
    """What a search is to do, checked before anything is read or written."""

    budget: Budget
    costs: Costs
    feasible: FeasibleSet
    context_id: str


def plan_search(config: Config, space: SearchSpace) -> Plan:
    """Read the limits, and make sure that something fits them.

    Raises:
        BadUnit, MissingLatency, BudgetInfeasible, UnknownDevice, BackendUnavailable: the search can't be done.
    """
    budget, costs = budget_of(config, space)
    return Plan(budget, costs, FeasibleSet(space, budget), context_of(config.profile).id)


def search(config: Config, space: SearchSpace, plan: Plan, data: Data, run: Run, progress: Progress) -> Searched:
    """Search `space` on the run's supernet.

    Raises:
        MissingStage, BadCheckpoint: no supernet or journal that fits the configuration.
        BudgetInfeasible: nothing that was scored measures within the latency limit.
    """
    supernet = load_supernet(config, space, run)
    budget, costs, feasible = plan.budget, plan.costs, plan.feasible
    wanted = config.search
    belongs = {
        "supernet_sha256": hashlib.sha256(run.supernet.read_bytes()).hexdigest(),
        "data": data.name,
        "holdout_per_class": config.holdout_per_class,
        "bn_images": wanted.bn_images,
        "batch": wanted.batch,
        "seed": config.seed,
    }
    journal = Journal(run.candidates, belongs)
    evaluate = Evaluator(supernet, data, wanted.bn_images, wanted.batch, config.seed)

    evolution = Evolution(space, budget, feasible, wanted.population, wanted.top_k, wanted.mutation)
    strategies: list[Strategy] = [evolution]
    if wanted.random_baseline:
        strategies.append(RandomSearch(feasible, wanted.population))
    histories = [
        run_strategy(strategy, wanted.generations, config.seed, journal, evaluate, progress) for strategy in strategies
    ]
    scored = [candidate for history in histories for candidate in history]
    limit = next((limit for limit in budget.limits if limit.cost is costs.latency), None)
    verified = _verify(config, space, scored, limit, costs, plan.context_id, run, progress)
    best = _best(space, verified, budget, costs, plan.context_id, len({s.architecture for s in scored}))
    write_json(run.best, best)
    baseline = histories[1] if wanted.random_baseline else ()
    _draw(run, histories[0], baseline, budget, costs, verified.winner.scored)
    return Searched(best, histories[0], baseline)


def run_strategy(
    strategy: Strategy, generations: int, seed: int, journal: Journal, evaluate: Score, progress: Progress
) -> tuple[Scored, ...]:
    """All candidates of one search in the order they were scored; known scores come from the journal."""
    known = {tuple(line["architecture"]): float(line["accuracy"]) for line in journal.lines}
    scored: list[Scored] = []
    task: Task | None = None
    for generation in range(generations):
        proposals = strategy.propose(scored, Random(f"{seed}:{generation}"))
        task = task or progress.start(f"search ({strategy.name})", generations * len(proposals))
        found = []
        for proposal in proposals:
            arch = proposal.architecture
            accuracy = known.get(arch.choices)
            if accuracy is None:
                accuracy = known[arch.choices] = evaluate(arch)
                journal.append(
                    {
                        "architecture": list(arch.choices),
                        "accuracy": accuracy,
                        "strategy": strategy.name,
                        "generation": generation,
                        "origin": proposal.origin,
                    }
                )
            found.append(Scored(arch, accuracy, generation, proposal.origin))
            best = max(s.accuracy for s in (*scored, *found))
            task.advance(note=f"generation {generation + 1}  best {best:.2%}")
        scored += found
    return tuple(scored)


def _verify(
    config: Config,
    space: SearchSpace,
    scored: list[Scored],
    limit: Limit | None,
    costs: Costs,
    context_id: str,
    run: Run,
    progress: Progress,
) -> Verified:
    journal = Journal(run.measured, {"space_digest": space.digest})
    known = {
        space.architecture(line["architecture"]): float(line["latency_ms"])
        for line in journal.lines
        if line["context"] == context_id
    }

    def measure_whole(arch: Architecture) -> float:
        with TemporaryDirectory(prefix="nastool-") as folder:
            file = Path(folder) / "network.onnx"
            export_for_timing(Network(space, arch, STANDALONE), space.input_shape, file)
            return measure({"network": file}, config.profile, config.seed, progress, "measure candidate")["network"]

    def keep(arch: Architecture, latency_ms: float) -> None:
        journal.append({"architecture": list(arch.choices), "latency_ms": latency_ms, "context": context_id})

    predict = costs.latency.cost if costs.latency else None
    return verify(scored, limit, predict, journalled(known, measure_whole, keep))


def _best(
    space: SearchSpace, verified: Verified, budget: Budget, costs: Costs, context_id: str, evaluations: int
) -> dict[str, Any]:
    winner = verified.winner
    return {
        "architecture": list(winner.scored.architecture.choices),
        "space": space.name,
        "space_digest": space.digest,
        "holdout_accuracy": winner.scored.accuracy,
        **costs.of(winner.scored.architecture),
        "measured_latency_ms": winner.measured_ms,
        "limits": {limit.cost.name: limit.most for limit in budget.limits},
        "context": context_id,
        "evaluations": evaluations,
        "passed_over": [
            {
                "architecture": list(other.scored.architecture.choices),
                "holdout_accuracy": other.scored.accuracy,
                "latency_ms": other.predicted_ms,
                "measured_latency_ms": other.measured_ms,
            }
            for other in verified.passed_over
        ],
    }


def _draw(
    run: Run,
    evolution: tuple[Scored, ...],
    baseline: tuple[Scored, ...],
    budget: Budget,
    costs: Costs,
    winner: Scored,
) -> None:
    def accuracies(history: tuple[Scored, ...]) -> Mapping[int, list[float]]:
        by_generation: dict[int, list[float]] = {}
        for scored in history:
            by_generation.setdefault(scored.generation, []).append(scored.accuracy)
        return by_generation

    histories = {"evolution": accuracies(evolution)} | ({"random search": accuracies(baseline)} if baseline else {})
    draw_generations(histories, run.best.parent / "generations.png")
    shown = budget.limits or (Limit(costs.macs, costs.macs.greatest),)
    for limit in shown:
        points = {
            label: [(limit.cost.cost(s.architecture), s.accuracy) for s in history]
            for label, history in (("random search", baseline), ("evolution", evolution))
            if history
        }
        draw_cost(
            points,
            (limit.cost.cost(winner.architecture), winner.accuracy),
            limit.cost.name,
            limit.most if budget.limits else None,
            run.best.parent / f"accuracy_{limit.cost.name}.png",
        )
