"""One search for each budget, and a measured winner of each: the part that knows no supernet and writes no files.

What whole networks measure is taken into the latency model from one budget to the next. It starts from the latency
table alone and learns in the order in which networks are measured, so a search that is replayed from its journals
learns the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from latency_db.target import Target
from toolchain.config import SearchConfig
from toolchain.costs.core import TableCost
from toolchain.costs.latency import REGRESSION
from toolchain.counting.feasible import FeasibleSet
from toolchain.errors import BudgetInfeasible
from toolchain.measuring.network import Measurement
from toolchain.measuring.target import ReadyTarget
from toolchain.progress import Progress
from toolchain.search.budget import Costs, NamedBudget
from toolchain.search.generations import Evaluate, run_strategy
from toolchain.search.journal import Journal
from toolchain.search.strategies import Evolution, RandomSearch, Scored, Strategy, complete
from toolchain.search.verify import Measure, Verified, Verifier, candidate, fitting
from toolchain.spaces.core import Architecture, SearchSpace


@dataclass(frozen=True)
class SearchPlan:
    """What a search is to do, checked before anything is read or written."""

    goals: tuple[tuple[NamedBudget, FeasibleSet], ...]
    costs: Costs
    target: Target
    unmeasured: str = ""  # why no winner is measured; empty where winners are
    measures: ReadyTarget | None = None  # what winners are measured with

    @property
    def varied(self) -> TableCost:
        """The cost whose limit differs from budget to budget; there are several."""
        first, last = self.goals[0][0].budget.limits, self.goals[-1][0].budget.limits
        return self.costs.named(
            next(one.cost.name for one, other in zip(first, last, strict=True) if one.most != other.most)
        )


def why_unmeasured(space: SearchSpace, target: Target, chosen_by_id: bool) -> str:
    """Why the winner cannot be measured on this target; empty if it can."""
    if space.quantized:
        return "no runtime here runs layers of 1 to 4 bits any quicker"
    if target.device_kind == "estimate":
        return f"{target.device_model} is not here, and its latencies are estimates"
    if target.backend == REGRESSION:
        return f"latencies on {target.device_model} are fitted to networks that were measured elsewhere"
    if chosen_by_id:
        return f"latencies are those of the target {target.id} ({target.device_model}), which need not be here"
    return ""


@dataclass(frozen=True)
class BudgetResult:
    """What the search for one budget came to: its candidates by strategy, and the winner or why there is none."""

    goal: NamedBudget
    evolution: tuple[Scored, ...]
    baseline: tuple[Scored, ...]
    verified: Verified | None
    unmet: str = ""


@dataclass(frozen=True)
class Search:
    """How candidates are proposed and scored, the same for every budget."""

    space: SearchSpace
    config: SearchConfig
    seed: int
    journal: Journal
    evaluate: Evaluate
    progress: Progress

    def evolve(
        self, feasible: FeasibleSet, generations: int, earlier: Sequence[Scored] = (), first: int = 0
    ) -> tuple[Scored, ...]:
        """Algorithm 1 in `feasible`."""
        wanted = self.config
        evolution = Evolution(feasible, wanted.population, wanted.top_k, wanted.mutation)
        return self._run(evolution, generations, earlier, first)

    def baseline(self, feasible: FeasibleSet) -> tuple[Scored, ...]:
        """Random search at the same number of evaluations, if it is wanted."""
        if not self.config.random_search:
            return ()
        return self._run(RandomSearch(feasible, self.config.population), self.config.generations)

    def go_on(self, feasible: FeasibleSet, earlier: Sequence[Scored], searches: int) -> tuple[Scored, ...]:
        """Half as many generations again, from the best of those that were scored before."""
        more = max(1, self.config.generations // 2)
        self.progress.say(f"whole networks are slower than was predicted; the search goes on under {feasible.budget}")
        return self.evolve(feasible, more, earlier, self.config.generations + searches * more)

    def _run(
        self, strategy: Strategy, generations: int, earlier: Sequence[Scored] = (), first: int = 0
    ) -> tuple[Scored, ...]:
        """The candidates that were scored in full: one that lost a race is nobody's winner."""
        race_with = self.config.top_k if self.config.race else None
        return complete(
            run_strategy(
                strategy,
                generations,
                self.seed,
                self.journal,
                self.evaluate,
                self.progress,
                race_with,
                earlier,
                first,
            )
        )


def search_budgets(search: Search, plan: SearchPlan, measure: Measure | None) -> tuple[BudgetResult, ...]:
    """Search for each budget of `plan`, then find the best of all candidates that measures within each.

    Args:
        measure: times a whole network; None where nothing can be measured, and winners are only predicted.
    """
    histories = []
    for goal, feasible in plan.goals:
        if len(plan.goals) > 1:
            search.progress.say(f"budget {goal.budget}")
        found = search.evolve(feasible, search.config.generations)
        histories.append((goal, found, search.baseline(feasible)))
    known: dict[Architecture, Scored] = {}
    for scored in (scored for _, *pair in histories for found in pair for scored in found):
        known.setdefault(scored.architecture, scored)
    learnt: dict[Architecture, float] = {}
    outcomes = []
    for goal, found, baseline in histories:
        try:
            verified = _verified(search, plan, goal, tuple(known.values()), measure, learnt)
        except BudgetInfeasible as problem:
            outcomes.append(BudgetResult(goal, found, baseline, None, str(problem)))
            continue
        later = [scored for scored in verified.scored if scored.architecture not in known]
        known |= {scored.architecture: scored for scored in later}
        outcomes.append(BudgetResult(goal, (*found, *later), baseline, verified))
    return tuple(outcomes)


def _verified(
    search: Search,
    plan: SearchPlan,
    goal: NamedBudget,
    scored: Sequence[Scored],
    measure: Measure | None,
    learnt: dict[Architecture, float],
) -> Verified:
    model = plan.costs.latency
    if measure is None:
        best = fitting(goal.budget, scored)[0]
        return Verified(candidate(best, model, None), (), tuple(scored))

    def remember(arch: Architecture, time: int) -> Measurement:
        found = measure(arch, time)
        learnt[arch] = min(found.latency_ms, learnt.get(arch, found.latency_ms))
        return found

    if model is not None and learnt:
        model = model.with_networks(learnt)
    verifier = Verifier(search.space, remember, search.go_on, enough=search.config.population)
    return verifier.winner(goal.budget, scored, model)
