"""One search and one verified winner for each budget, independent of the supernet and of files.

Measured networks correct the latency model from one budget to the next. It starts from the latency table and learns in
the order in which networks are measured, so a search that is replayed from its journals learns the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from toolchain.costs.latency import LatencyModel
from toolchain.counting.feasible import FeasibleSet
from toolchain.errors import BudgetInfeasible
from toolchain.measuring.network import Measurement
from toolchain.search.budget import NamedBudget, budget_name
from toolchain.search.candidate import candidate
from toolchain.search.candidate_timing import Measure
from toolchain.search.finalists.report import FinalistsReport
from toolchain.search.generations import Scoring, journal_candidates, run_strategy
from toolchain.search.plan import SearchPlan
from toolchain.search.preference import Preference
from toolchain.search.random_select_report import RandomSelect
from toolchain.search.shared_limit import SharedLimit
from toolchain.search.strategies import (
    EVOLUTION,
    LEARNED,
    Evolution,
    GivenNetworks,
    RandomSearch,
    Scored,
    best_first,
    complete,
    unique,
)
from toolchain.search.verify import Continuation, Verified, Verifier, latency_limit, within_budget
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.tracking.tracker import Curves


@dataclass(frozen=True)
class SearchSettings:
    """The numbers of Algorithm 1 (P, T, k and the mutation probability), and whether random search runs as well."""

    population: int
    generations: int
    top_k: int
    mutation: float = 0.1
    random_search: bool = True


@dataclass(frozen=True)
class BudgetResult:
    """The candidates of one budget by strategy, and the winner or why there is none.

    Args:
        simple: the networks that a user would choose by hand, where finalists were trained.
        finalists: what their trainings showed.
        random_select: networks drawn within the budget, if they are asked for.
    """

    named: NamedBudget
    evolution: tuple[Scored, ...]
    random_search: tuple[Scored, ...]
    verified: Verified | None
    unmet: str = ""
    simple: tuple[Scored, ...] = ()
    finalists: FinalistsReport | None = None
    random_select: RandomSelect | None = None


@dataclass(frozen=True)
class Search:
    """How candidates are proposed and scored, the same for every budget.

    Args:
        learned: the networks of a learned distribution, which replace evolution; empty for evolution.
        prefer: which candidate of a budget wins if it measures within it.
    """

    space: SearchSpace
    settings: SearchSettings
    scoring: Scoring
    learned: tuple[Architecture, ...] = ()
    prefer: Preference = best_first

    def evolve(self, feasible: FeasibleSet) -> tuple[Scored, ...]:
        """Algorithm 1 in `feasible`, or the learned networks in it.

        Raises:
            BudgetInfeasible: no learned network is in `feasible`.
        """
        if self.learned:
            learned = GivenNetworks(self._within(feasible), LEARNED)
            return complete(run_strategy(learned, range(1), self.scoring, curves=self._curves(feasible)))
        return self._evolve(feasible, range(self.settings.generations), ())

    def random_search(self, feasible: FeasibleSet) -> tuple[Scored, ...]:
        """Random search with the same number of evaluations, if the settings ask for it."""
        if not self.settings.random_search:
            return ()
        strategy = RandomSearch(feasible, self.settings.population)
        generations = range(self.settings.generations)
        return complete(run_strategy(strategy, generations, self.scoring, curves=self._curves(feasible)))

    def search_on(self, continuation: Continuation) -> tuple[Scored, ...]:
        """Half as many generations again, from the best candidates that were scored before; no more learned ones."""
        if self.learned:
            return ()
        if continuation.slower:
            reason = "whole networks are slower than predicted"
        else:
            reason = f"only {len(continuation.earlier)} scored candidates fit"
        self.scoring.progress.say(f"{reason}; the search continues under {continuation.feasible.budget}")
        more = max(1, self.settings.generations // 2)
        first = self.settings.generations + continuation.number * more
        return self._evolve(continuation.feasible, range(first, first + more), continuation.earlier)

    def _within(self, feasible: FeasibleSet) -> list[Architecture]:
        within = [arch for arch in self.learned if feasible.budget.allows(arch)]
        if not within:
            first = self.learned[0]
            costs = [
                f"{limit.cost.name} of {limit.cost.format(limit.cost.cost(first))}" for limit in feasible.budget.limits
            ]
            raise BudgetInfeasible(
                f"none of the {len(self.learned)} learned networks is within {feasible.budget}; the most probable has "
                f"{', '.join(costs)}. Train again with a larger --cost-weight, or search without --learned"
            )
        return within

    def _evolve(self, feasible: FeasibleSet, generations: range, earlier: Sequence[Scored]) -> tuple[Scored, ...]:
        """The candidates with a complete score; one that a race stopped cannot win."""
        settings = self.settings
        strategy = Evolution(feasible, settings.population, settings.top_k, settings.mutation)
        return complete(run_strategy(strategy, generations, self.scoring, earlier, self._curves(feasible)))

    def _curves(self, feasible: FeasibleSet) -> Curves:
        """Accuracies by generation, named after the budget."""
        return self.scoring.tracker.search(budget_name(feasible.budget))


def search_budgets(search: Search, plan: SearchPlan, measure: Measure | None) -> tuple[BudgetResult, ...]:
    """`search_plans` for the plan of one device."""
    (results,) = search_plans(search, [(plan, measure)])
    return results


def search_plans(
    search: Search, plans: Sequence[tuple[SearchPlan, Measure | None]], others: Sequence[SharedLimit] = ()
) -> list[tuple[BudgetResult, ...]]:
    """Search for each budget of each plan, and find the best candidate of evolution that measures within it.

    Candidates of earlier searches, from the journal, compete as well, so that a later search never returns a worse
    winner. They do so after all scoring has ended: a search that is killed and resumed then sees the same journal.

    Args:
        plans: one for each device, with what times a whole network there; None if nothing can be measured, and winners
            are only predicted.
        others: the limits of the other devices of a shared budget.
    """
    verifications = [
        None
        if measure is None
        else _Verification(
            search, plan.costs.latency, _Measured(measure), [(other, _Measured(other.measure)) for other in others]
        )
        for plan, measure in plans
    ]
    proposed = _run_strategies(search, [plan for plan, _ in plans])
    results = [
        own if verification is None else verification.verified(own)
        for verification, own in zip(verifications, proposed, strict=True)
    ]
    earlier = _evolved_before(search)
    return [
        tuple(_predicted(plan, result, earlier, search.prefer) for result in own)
        if verification is None
        else verification.improved(own, earlier)
        for (plan, _), verification, own in zip(plans, verifications, results, strict=True)
    ]


def _run_strategies(search: Search, plans: Sequence[SearchPlan]) -> list[list[BudgetResult]]:
    """Evolution for all budgets, then random search for all, so that the journal names the strategy correctly."""
    several = sum(len(plan.budgets) for plan in plans) > 1
    evolved = []
    for plan in plans:
        for named, feasible in plan.budgets:
            if several:
                search.scoring.progress.say(f"budget {named.budget}{f' on {plan.device}' if plan.device else ''}")
            evolved.append(search.evolve(feasible))
    evolutions = iter(evolved)
    return [
        [
            BudgetResult(named, next(evolutions), search.random_search(feasible), None)
            for named, feasible in plan.budgets
        ]
        for plan in plans
    ]


def _predicted(plan: SearchPlan, result: BudgetResult, earlier: Sequence[Scored], prefer: Preference) -> BudgetResult:
    """The winner of one budget by its prediction, among its candidates and those of `earlier` commands."""
    pool = unique(result.evolution, earlier)
    best = within_budget(result.named.budget, pool, prefer)[0]
    verified = Verified(candidate(best, plan.costs.latency, None), (), pool)
    return BudgetResult(result.named, result.evolution, result.random_search, verified)


def _evolved_before(search: Search) -> tuple[Scored, ...]:
    """The candidates of evolution in the journal, also those of earlier commands; none beside learned networks."""
    if search.learned:
        return ()
    candidates = journal_candidates(search.scoring.journal, search.space, search.scoring.score)
    return tuple(scored for scored in candidates if scored.strategy == EVOLUTION)


@dataclass
class _Measured:
    """Measures networks on one device, and remembers their latencies."""

    measure: Measure
    measured_ms: dict[Architecture, float] = field(default_factory=dict)

    def __call__(self, arch: Architecture, time: int) -> Measurement:
        """Measure a network, and remember its latency."""
        measurement = self.measure(arch, time)
        self.measured_ms[arch] = min(measurement.latency_ms, self.measured_ms.get(arch, measurement.latency_ms))
        return measurement

    def corrected(self, model: LatencyModel) -> LatencyModel:
        """`model` with what was measured so far."""
        return model.with_networks(self.measured_ms) if self.measured_ms else model


@dataclass
class _Verification:
    """The verification of all budgets, with what was measured so far on each device."""

    search: Search
    start: LatencyModel | None
    measured: _Measured
    others: list[tuple[SharedLimit, _Measured]]

    def verified(self, results: Sequence[BudgetResult]) -> list[BudgetResult]:
        """Each result with its winner among the candidates of this command."""
        pool = unique(*(result.evolution for result in results))
        verified = []
        for result in results:
            try:
                winner = self._winner(result.named, pool)
            except BudgetInfeasible as problem:
                verified.append(BudgetResult(result.named, result.evolution, result.random_search, None, str(problem)))
                continue
            added = winner.scored[len(pool) :] if latency_limit(result.named.budget) else ()
            pool = unique(pool, added)
            verified.append(BudgetResult(result.named, (*result.evolution, *added), result.random_search, winner))
        return verified

    def improved(self, results: Sequence[BudgetResult], earlier: Sequence[Scored]) -> tuple[BudgetResult, ...]:
        """Each result with a better winner from the journal, if there is one."""
        return tuple(self._improved(result, earlier) for result in results)

    def _winner(self, named: NamedBudget, pool: tuple[Scored, ...]) -> Verified:
        if latency_limit(named.budget) is None:  # the best is only measured, so the journal can take part at once
            pool = unique(pool, _evolved_before(self.search))
        return self._verifier.winner(named.budget, pool, self._model)

    def _improved(self, result: BudgetResult, earlier: Sequence[Scored]) -> BudgetResult:
        model = self._model
        if model is None or latency_limit(result.named.budget) is None:
            return result
        verified = self._verifier.improve(result.named.budget, result.verified, earlier, model)
        if verified is None:
            return result
        return BudgetResult(result.named, result.evolution, result.random_search, verified)

    @property
    def _model(self) -> LatencyModel | None:
        """The latency model with what was measured so far."""
        return None if self.start is None else self.measured.corrected(self.start)

    @property
    def _verifier(self) -> Verifier:
        search = self.search
        others = tuple(
            replace(other, model=measured.corrected(other.model), measure=measured) for other, measured in self.others
        )
        return Verifier(
            search.space, self.measured, search.search_on, search.settings.population, others, search.prefer
        )
