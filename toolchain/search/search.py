"""`nastool search`: score candidates by evolution, measure the best, return one that fits; once for each budget.

Resume is replay: generation g draws its random numbers from (seed, g) and scores come from the journal where it
has them, so a search that was killed ends as if it had not been. Scores do not depend on the limits, so searches
for other budgets on the same supernet share the journal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from exporters.manifest import sha256
from toolchain.config import Config
from toolchain.costs.core import Limit, TableCost
from toolchain.costs.feasible import FeasibleSet
from toolchain.errors import BudgetInfeasible
from toolchain.files import write_json
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.measure import measure
from toolchain.profiling.profiler import export_for_timing
from toolchain.profiling.stack import context_of
from toolchain.progress import Progress
from toolchain.runs import Run
from toolchain.search.budget import Costs, Goal, goals_of
from toolchain.search.evaluate import Evaluator
from toolchain.search.generations import run_strategy
from toolchain.search.journal import Journal, open_journal
from toolchain.search.race import Race
from toolchain.search.ranks import rank
from toolchain.search.results import best_of, draw_search, write_front
from toolchain.search.spread import Spread
from toolchain.search.strategies import Evolution, RandomSearch, Scored, Strategy, best_first, complete
from toolchain.search.under_way import UnderWay
from toolchain.search.verify import Measured, journalled, verify
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.data import Data
from toolchain.training.stages import load_supernet

Measure = Callable[[Architecture], float]


@dataclass(frozen=True)
class Plan:
    """What a search is to do, checked before anything is read or written."""

    goals: tuple[tuple[Goal, FeasibleSet], ...]
    costs: Costs
    context_id: str

    @property
    def varied(self) -> TableCost:
        """The cost whose limit differs from budget to budget; there are several."""
        first, last = self.goals[0][0].budget.limits, self.goals[-1][0].budget.limits
        return next(one.cost for one, other in zip(first, last, strict=True) if one.most != other.most)


@dataclass(frozen=True)
class Searched:
    """The winner of each budget as written to its best.json, and the front over several budgets."""

    winners: dict[str, dict[str, Any]]
    front: list[dict[str, Any]]
    unmet: tuple[str, ...]  # of each budget that nothing measures within, why

    @property
    def best(self) -> dict[str, Any]:
        """The winner of the last budget; where there is one, of that."""
        return next(reversed(self.winners.values()))


def plan_search(config: Config, space: SearchSpace) -> Plan:
    """Read the limits, and make sure that something fits each budget.

    Raises:
        BadUnit, BadConfig, MissingLatency, BudgetInfeasible, UnknownDevice, BackendUnavailable: the search can't
            be done.
    """
    goals, costs = goals_of(config, space)
    feasible = tuple((goal, FeasibleSet(space, goal.budget)) for goal in goals)
    return Plan(feasible, costs, context_of(config.profile).id)


def search(config: Config, space: SearchSpace, plan: Plan, data: Data, run: Run, progress: Progress) -> Searched:
    """Search `space` on the run's supernet, for one budget after the other.

    Raises:
        MissingStage, BadCheckpoint: no supernet or journal that fits the configuration.
        BudgetInfeasible: nothing that was scored measures within any budget's latency limit.
    """
    supernet = load_supernet(config, space, data, run, progress)
    wanted = config.search
    belongs = {
        "supernet_sha256": sha256(run.supernet),
        "data": data.name,
        "data_digest": data.digest,
        "holdout_per_class": config.holdout_per_class,
        "bn_images": wanted.bn_images,
        "batch": wanted.batch,
        "seed": config.seed,
    }
    if wanted.race:
        belongs["race_error"] = wanted.race_error
    journal = open_journal(run.raced if wanted.race else run.candidates, belongs)
    under_way = UnderWay(run.under_way(rank()), belongs)
    race = Race(wanted.race_error) if wanted.race else None
    evaluate = Spread(
        Evaluator(supernet, data, wanted.bn_images, wanted.batch, config.seed, config.workers, race, under_way)
    )
    race_with = wanted.top_k if wanted.race else None
    measure_whole = _journalled_measure(config, space, plan.context_id, run, progress)
    histories: list[tuple[tuple[Scored, ...], tuple[Scored, ...]]] = []
    for goal, feasible in plan.goals:
        if len(plan.goals) > 1:
            progress.say(f"budget {goal.budget}")
        evolution: Strategy = Evolution(feasible, wanted.population, wanted.top_k, wanted.mutation)
        found = run_strategy(evolution, wanted.generations, config.seed, journal, evaluate, progress, race_with)
        baseline: tuple[Scored, ...] = ()
        if wanted.random_baseline:
            plain = RandomSearch(feasible, wanted.population)
            baseline = run_strategy(plain, wanted.generations, config.seed, journal, evaluate, progress, race_with)
        histories.append((complete(found), complete(baseline)))
    under_way.remove()
    known: dict[Architecture, Scored] = {}
    for candidate in (candidate for pair in histories for found in pair for candidate in found):
        known.setdefault(candidate.architecture, candidate)
    scored = tuple(known.values())
    winners: dict[str, dict[str, Any]] = {}
    unmet: list[str] = []
    for (goal, _), (found, baseline) in zip(plan.goals, histories, strict=True):
        try:
            best = _winner(space, plan, goal, scored, measure_whole)
        except BudgetInfeasible as problem:
            unmet.append(str(problem))
            continue
        best |= {"data": data.name, "data_digest": data.digest}
        winners[goal.name] = best
        write_json(run.budget(goal.name) / "best.json", best)
        write_json(run.best, best)
        draw_search(run.budget(goal.name), space, found, baseline, goal.budget, plan.costs, best)
    if not winners:
        raise BudgetInfeasible("; ".join(unmet))
    front = write_front(run.front, plan.varied, scored, winners) if len(plan.goals) > 1 else []
    return Searched(winners, front, tuple(unmet))


def _journalled_measure(config: Config, space: SearchSpace, context_id: str, run: Run, progress: Progress) -> Measure:
    """Whole networks, compiled and timed; what was measured on this stack before is not measured again."""
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

    return journalled(known, measure_whole, keep)


def _winner(
    space: SearchSpace, plan: Plan, goal: Goal, scored: tuple[Scored, ...], measure_whole: Measure
) -> dict[str, Any]:
    """The best of all candidates that fits one budget, whichever budget it was scored for."""
    fitting = tuple(candidate for candidate in scored if goal.budget.allows(candidate.architecture))
    latency = plan.costs.latency
    limit: Limit | None = next((limit for limit in goal.budget.limits if limit.cost is latency), None)
    winner, measured_ms = best_first(fitting)[0], None
    passed_over: tuple[Measured, ...] = ()
    if not space.quantized:
        verified = verify(fitting, limit, latency.cost if latency else None, measure_whole)
        winner, measured_ms = verified.winner.scored, verified.winner.measured_ms
        passed_over = verified.passed_over
    best = best_of(space, winner, measured_ms, passed_over, goal.budget, plan.costs, plan.context_id)
    return best | {"evaluations": len(fitting)}
