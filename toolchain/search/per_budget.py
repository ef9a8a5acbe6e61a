"""One search and one verified winner for each budget, independent of the supernet and of files.

Measured networks correct the latency model from one budget to the next. It starts from the latency table and learns in
the order in which networks are measured, so a search that is replayed from its journals learns the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from toolchain.costs.latency import LatencyModel
from toolchain.counting.feasible import FeasibleSet
from toolchain.errors import BudgetInfeasible
from toolchain.measuring.network import Measurement
from toolchain.search.budget import NamedBudget
from toolchain.search.candidate import candidate
from toolchain.search.candidate_timing import Measure
from toolchain.search.finalists.report import FinalistsReport
from toolchain.search.generations import Scoring, journal_candidates, run_strategy
from toolchain.search.plan import SearchPlan
from toolchain.search.strategies import EVOLUTION, Evolution, RandomSearch, Scored, complete, unique
from toolchain.search.verify import Continuation, Verified, Verifier, fitting, latency_limit
from toolchain.spaces.core import Architecture, SearchSpace


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
    """

    named: NamedBudget
    evolution: tuple[Scored, ...]
    random_search: tuple[Scored, ...]
    verified: Verified | None
    unmet: str = ""
    simple: tuple[Scored, ...] = ()
    finalists: FinalistsReport | None = None


@dataclass(frozen=True)
class Search:
    """How candidates are proposed and scored, the same for every budget."""

    space: SearchSpace
    settings: SearchSettings
    scoring: Scoring

    def evolve(self, feasible: FeasibleSet) -> tuple[Scored, ...]:
        """Algorithm 1 in `feasible`."""
        return self._evolve(feasible, range(self.settings.generations), ())

    def random_search(self, feasible: FeasibleSet) -> tuple[Scored, ...]:
        """Random search with the same number of evaluations, if the settings ask for it."""
        if not self.settings.random_search:
            return ()
        strategy = RandomSearch(feasible, self.settings.population)
        return complete(run_strategy(strategy, range(self.settings.generations), self.scoring))

    def search_on(self, continuation: Continuation) -> tuple[Scored, ...]:
        """Half as many generations again, from the best candidates that were scored before."""
        if continuation.slower:
            reason = "whole networks are slower than predicted"
        else:
            reason = f"only {len(continuation.earlier)} scored candidates fit"
        self.scoring.progress.say(f"{reason}; the search continues under {continuation.feasible.budget}")
        more = max(1, self.settings.generations // 2)
        first = self.settings.generations + continuation.number * more
        return self._evolve(continuation.feasible, range(first, first + more), continuation.earlier)

    def _evolve(self, feasible: FeasibleSet, generations: range, earlier: Sequence[Scored]) -> tuple[Scored, ...]:
        """The candidates with a complete score; one that a race stopped cannot win."""
        settings = self.settings
        strategy = Evolution(feasible, settings.population, settings.top_k, settings.mutation)
        return complete(run_strategy(strategy, generations, self.scoring, earlier))


def search_budgets(search: Search, plan: SearchPlan, measure: Measure | None) -> tuple[BudgetResult, ...]:
    """Search for each budget of `plan`, and find the best candidate of evolution that measures within it.

    Candidates of earlier searches, from the journal, compete as well, so that a later search never returns a worse
    winner. They do so after all scoring has ended: a search that is killed and resumed then sees the same journal.

    Args:
        measure: times a whole network; None if nothing can be measured, and winners are only predicted.
    """
    results = _run_strategies(search, plan)
    if measure is None:
        earlier = _evolved_before(search)
        return tuple(_predicted(plan, result, earlier) for result in results)
    verification = _Verification(search, plan.costs.latency, measure)
    return verification.improved(verification.verified(results))


def _run_strategies(search: Search, plan: SearchPlan) -> list[BudgetResult]:
    """Evolution for all budgets, then random search for all, so that the journal names the strategy correctly."""
    evolved = []
    for named, feasible in plan.budgets:
        if len(plan.budgets) > 1:
            search.scoring.progress.say(f"budget {named.budget}")
        evolved.append(search.evolve(feasible))
    return [
        BudgetResult(named, evolution, search.random_search(feasible), None)
        for (named, feasible), evolution in zip(plan.budgets, evolved, strict=True)
    ]


def _predicted(plan: SearchPlan, result: BudgetResult, earlier: Sequence[Scored]) -> BudgetResult:
    """The winner of one budget by its prediction, among its candidates and those of `earlier` commands."""
    pool = unique(result.evolution, earlier)
    best = fitting(result.named.budget, pool)[0]
    verified = Verified(candidate(best, plan.costs.latency, None), (), pool)
    return BudgetResult(result.named, result.evolution, result.random_search, verified)


def _evolved_before(search: Search) -> tuple[Scored, ...]:
    """The candidates of evolution in the journal, also those of earlier commands."""
    candidates = journal_candidates(search.scoring.journal, search.space, search.scoring.score)
    return tuple(scored for scored in candidates if scored.strategy == EVOLUTION)


@dataclass
class _Verification:
    """The verification of all budgets, with the latencies that were measured so far."""

    search: Search
    model: LatencyModel | None
    measure: Measure
    measured_ms: dict[Architecture, float] = field(default_factory=dict)

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

    def improved(self, results: Sequence[BudgetResult]) -> tuple[BudgetResult, ...]:
        """Each result with a better winner from the journal, if there is one."""
        earlier = _evolved_before(self.search)
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
        if self.model is None or not self.measured_ms:
            return self.model
        return self.model.with_networks(self.measured_ms)

    @property
    def _verifier(self) -> Verifier:
        return Verifier(self.search.space, self._measure, self.search.search_on, enough=self.search.settings.population)

    def _measure(self, arch: Architecture, time: int) -> Measurement:
        measurement = self.measure(arch, time)
        self.measured_ms[arch] = min(measurement.latency_ms, self.measured_ms.get(arch, measurement.latency_ms))
        return measurement
