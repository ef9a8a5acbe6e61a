"""Winners are measured before they are accepted: compiled, timed end to end, and rejected if they may exceed the limit.

A candidate over the limit is measured once more before it counts as a miss, since noise only makes a network slower. A
miss corrects the calibration, which then excludes the candidates that would miss for the same reason. If few scored
candidates remain, the search continues under the corrected limit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from toolchain.costs.core import Budget, Limit
from toolchain.costs.latency import LatencyModel
from toolchain.counting.feasible import FeasibleSet
from toolchain.errors import BudgetInfeasible
from toolchain.search.candidate import Candidate, candidate
from toolchain.search.candidate_timing import Measure, measure_against
from toolchain.search.preference import Preference, preferred_to
from toolchain.search.shared_limit import SharedLimit, why_shared
from toolchain.search.strategies import Scored, best_first
from toolchain.spaces.core import SearchSpace

MAX_MISSES = 12  # networks that may miss one budget before the search gives up
MAX_SEARCHES = 4  # times that the search continues for one budget


@dataclass(frozen=True)
class Verified:
    """The winner, the better candidates that measured over the limit, and all candidates that were considered."""

    winner: Candidate
    passed_over: tuple[Candidate, ...]
    scored: tuple[Scored, ...]


@dataclass(frozen=True)
class Continuation:
    """Why and where a search continues.

    Args:
        feasible: the architectures within the corrected limit.
        earlier: the scored candidates among them.
        number: how often the search has continued before.
        slower: measured networks missed the limit because they are slower than predicted.
    """

    feasible: FeasibleSet
    earlier: tuple[Scored, ...]
    number: int
    slower: bool


SearchOn = Callable[[Continuation], tuple[Scored, ...]]


def latency_limit(budget: Budget) -> Limit | None:
    """The limit on the latency, if there is one."""
    return next((limit for limit in budget.limits if limit.cost.name == "latency_ms"), None)


def with_latency_bounds(budget: Budget, model: LatencyModel, others: Sequence[SharedLimit] = ()) -> Budget:
    """`budget` with its latency limits applied to the upper bounds of `model` and of those of `others`."""
    bounds = {"latency_ms": model.upper, **{other.name: other.upper for other in others}}
    return Budget(tuple(replace(limit, cost=bounds.get(limit.cost.name, limit.cost)) for limit in budget.limits))


def within_budget(budget: Budget, scored: Sequence[Scored], prefer: Preference = best_first) -> list[Scored]:
    """The candidates within all limits, the preferred ones first."""
    return prefer([candidate for candidate in scored if budget.allows(candidate.architecture)])


@dataclass(frozen=True)
class Verifier:
    """Finds the best candidate of a space that measures within a budget.

    Args:
        measure: compiles and times a whole network.
        search_on: scores more candidates.
        enough: with fewer candidates than this the search continues, and also if a correction has excluded more than
            half of them.
        others: the limits of further devices, if the budget is shared.
        prefer: the order in which candidates are tried.
    """

    space: SearchSpace
    measure: Measure
    search_on: SearchOn
    enough: int
    others: tuple[SharedLimit, ...] = ()
    prefer: Preference = best_first

    def winner(self, budget: Budget, scored: Sequence[Scored], model: LatencyModel | None) -> Verified:
        """The best candidate of `scored`, or of a continued search, that measures within `budget`.

        Raises:
            BudgetInfeasible: nothing that was measured is within the limit; the message names the lowest latency.
        """
        limit = latency_limit(budget)
        if limit is None or model is None:
            best = within_budget(budget, scored, self.prefer)[0]
            return Verified(candidate(best, model, self.measure(best.architecture, 0)), (), tuple(scored))
        return _Verification(self, budget, limit, model, list(scored), list(self.others)).run()

    def improve(
        self, budget: Budget, verified: Verified | None, scored: Sequence[Scored], model: LatencyModel
    ) -> Verified | None:
        """`verified`, or the best of `scored` that is preferred to it and measures within `budget`; scores nothing."""
        limit = latency_limit(budget)
        assert limit is not None
        known = () if verified is None else verified.scored
        architectures = {candidate.architecture for candidate in known}
        added = [candidate for candidate in scored if candidate.architecture not in architectures]
        better = added if verified is None else preferred_to(self.prefer, verified.winner.scored, added)
        attempt = _Verification(self, budget, limit, model, better, list(self.others))
        winner = attempt.try_remaining()
        if winner is None and verified is None:
            return None
        passed_over = () if verified is None else verified.passed_over
        return Verified(
            winner or verified.winner,  # type: ignore[union-attr]
            (*passed_over, *attempt.missed),
            (*known, *added),
        )


@dataclass
class _Verification:
    """The verification of one budget: what was scored, what missed, and the latency model with their corrections."""

    verifier: Verifier
    budget: Budget
    limit: Limit
    model: LatencyModel
    pool: list[Scored]
    others: list[SharedLimit]
    missed: list[Candidate] = field(default_factory=list)
    searches: int = 0
    searched: int = 0  # candidates that fitted when the search ended or last continued

    def run(self) -> Verified:
        while len(self.missed) < MAX_MISSES:
            within = within_budget(self._corrected, self.pool, self.verifier.prefer)
            remaining = self._without_missed(within)
            if len(remaining) < max(self.verifier.enough, self.searched / 2) and self.searches < MAX_SEARCHES:
                self._search_on(within, remaining)
            elif remaining:
                self.searched = max(self.searched, len(remaining))
                if winner := self._try(remaining[0]):
                    return self._verified(winner)
            else:
                break
        return self._last_resort()

    def try_remaining(self) -> Candidate | None:
        """The best of the pool that measures within the limit, without a continued search."""
        while len(self.missed) < MAX_MISSES:
            remaining = self._without_missed(within_budget(self._corrected, self.pool, self.verifier.prefer))
            if not remaining:
                return None
            if winner := self._try(remaining[0]):
                return winner
        return None

    @property
    def _corrected(self) -> Budget:
        return with_latency_bounds(self.budget, self.model, self.others)

    def _without_missed(self, candidates: Sequence[Scored]) -> list[Scored]:
        missed = {miss.scored.architecture for miss in self.missed}
        return [candidate for candidate in candidates if candidate.architecture not in missed]

    def _verified(self, winner: Candidate) -> Verified:
        return Verified(winner, tuple(self.missed), tuple(self.pool))

    def _try(self, scored: Scored) -> Candidate | None:
        """`scored` if it measures within all limits; a miss is recorded and corrects the model of its device."""
        measured = measure_against(self.limit, scored.architecture, self.verifier.measure)
        tried = candidate(scored, self.model, measured)
        if measured.upper_ms > self.limit.most:
            self.missed.append(tried)
            self.model = self.model.with_networks({scored.architecture: measured.latency_ms})
            return None
        for number, other in enumerate(self.others):
            measured = measure_against(other.limit, scored.architecture, other.measure)
            there = candidate(scored, other.model, measured)
            tried = replace(tried, elsewhere={**tried.elsewhere, other.name: there})
            if measured.upper_ms > other.limit.most:
                self.missed.append(tried)
                corrected = other.model.with_networks({scored.architecture: measured.latency_ms})
                self.others[number] = replace(other, model=corrected)
                return None
        return tried

    def _search_on(self, within: Sequence[Scored], remaining: Sequence[Scored]) -> None:
        """Add new candidates under the corrected limit; if there are none, do not search again."""
        added = self._new_candidates(within)
        self.searches = self.searches + 1 if added else MAX_SEARCHES
        self.pool += added
        self.searched = len(remaining) + len(added)

    def _new_candidates(self, within: Sequence[Scored]) -> list[Scored]:
        try:
            feasible = FeasibleSet(self.verifier.space, self._corrected)
        except BudgetInfeasible:
            return []
        slower = any(miss.slower_than_predicted for miss in self.missed)
        scored = self.verifier.search_on(Continuation(feasible, tuple(within), self.searches, slower))
        known = {candidate.architecture for candidate in within}
        return [candidate for candidate in scored if candidate.architecture not in known]

    def _last_resort(self) -> Verified:
        """Try the candidate with the lowest prediction: one noisy measurement must not exclude all others.

        Raises:
            BudgetInfeasible: it is over the limit as well.
        """
        model = self.model
        quickest = self._quickest()
        if quickest is not None and (winner := self._try(quickest)):
            return self._verified(winner)
        raise BudgetInfeasible(_why(self.missed, self.limit, model, self.others))

    def _quickest(self) -> Scored | None:
        """The candidate with the lowest prediction within all other limits, unless it was measured."""
        counted = tuple(limit for limit in self.budget.limits if not limit.cost.name.startswith("latency_ms"))
        latencies = [(self.model, self.limit), *((other.model, other.limit) for other in self.others)]

        def share(scored: Scored) -> float:
            """Of its limit, on the device where it is the largest."""
            return max(model.predicted.cost(scored.architecture) / limit.most for model, limit in latencies)

        quickest = min(within_budget(Budget(counted), self.pool), key=share, default=None)
        return None if quickest in [miss.scored for miss in self.missed] else quickest


def _why(missed: Sequence[Candidate], limit: Limit, model: LatencyModel, others: Sequence[SharedLimit]) -> str:
    if others:
        return why_shared(missed, limit, model, others)
    reached = [miss.measured for miss in missed if miss.measured]
    least = ""
    if reached:
        fastest = min(reached, key=lambda measured: measured.latency_ms)
        least = f", the fastest at {limit.cost.format(fastest.latency_ms)}"
        if fastest.latency_ms <= limit.most:
            least += f", but up to {limit.cost.format(fastest.upper_ms)} by its rounds"
    count = f"{len(reached)} {'was' if len(reached) == 1 else 'were'}"
    return (
        f"no candidate measured within {limit}: {count} compiled and timed{least}. According to these measurements a "
        f"latency is the {model.calibration}, and the space begins at {model.upper.least_limit()}. Allow at least that"
    )
