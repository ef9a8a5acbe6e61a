"""A winner is measured before it is called one: compiled whole, timed, and out if it may be over the limit.

What is over is measured once more before it counts, since a busy machine only ever makes a network look slower. A miss
teaches: it is taken into the calibration, which then rules out the candidates that would miss for the same
reason. Where few of those that were scored are left, the search goes on under the corrected limit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from toolchain.costs.calibration import Calibration
from toolchain.costs.core import Budget, Limit
from toolchain.costs.latency import LatencyModel
from toolchain.counting.feasible import FeasibleSet
from toolchain.errors import BudgetInfeasible
from toolchain.measuring.network import Measurement
from toolchain.search.strategies import Scored, best_first
from toolchain.spaces.core import Architecture, SearchSpace

MOST_MISSES = 12  # networks that measure over one budget, before the search gives it up
MOST_SEARCHES = 4  # times that the search goes on for one budget

Measure = Callable[[Architecture, int], Measurement]  # of an architecture, for the first time (0) or again (1)
SearchOn = Callable[[FeasibleSet, Sequence[Scored], int], tuple[Scored, ...]]


@dataclass(frozen=True)
class Candidate:
    """A scored architecture: what was predicted of it when it was chosen, and what it measured."""

    scored: Scored
    predicted_ms: float | None  # None where the parts were not measured
    calibration: Calibration | None
    measured: Measurement | None  # None where nothing is measured: quantized layers, or a device by estimate

    @property
    def bound_ms(self) -> float | None:
        """The upper bound of the prediction, which was within the limit."""
        if self.predicted_ms is None or self.calibration is None:
            return None
        return self.predicted_ms * (1 + self.calibration.margin)


@dataclass(frozen=True)
class Verified:
    """The winner, what measured over the limit before it, and all candidates, also of searches that went on."""

    winner: Candidate
    passed_over: tuple[Candidate, ...]
    scored: tuple[Scored, ...]


def latency_limit(budget: Budget) -> Limit | None:
    """The limit on the latency, if there is one."""
    return next((limit for limit in budget.limits if limit.cost.name == "latency_ms"), None)


def under(budget: Budget, model: LatencyModel) -> Budget:
    """`budget` with its latency limit held against the upper bound of `model`."""
    return Budget(
        tuple(replace(limit, cost=model.upper) if limit.cost.name == "latency_ms" else limit for limit in budget.limits)
    )


def candidate(scored: Scored, model: LatencyModel | None, measured: Measurement | None) -> Candidate:
    """`scored` with the prediction of `model`."""
    if model is None:
        return Candidate(scored, None, None, measured)
    return Candidate(scored, model.predicted.cost(scored.architecture), model.calibration, measured)


@dataclass(frozen=True)
class Verifier:
    """Finds the best candidate of one space that measures within a budget.

    Args:
        measure: compiles and times a whole network, whatever it measured before.
        search_on: scores more candidates of a feasible set, given those that were scored in it and how often the
            search went on before.
        enough: the best of fewer candidates would hardly have been searched for, so the search goes on; as it does
            where a correction has ruled out more than half of them.
    """

    space: SearchSpace
    measure: Measure
    search_on: SearchOn
    enough: int

    def winner(self, budget: Budget, scored: Sequence[Scored], model: LatencyModel | None) -> Verified:
        """The best candidate of `scored`, or of what is scored further on, that measures within `budget`.

        Raises:
            BudgetInfeasible: nothing that was measured is within the limit; the message has the least.
        """
        limit = latency_limit(budget)
        if limit is None or model is None:
            best = fitting(budget, scored)[0]
            return Verified(candidate(best, model, self.measure(best.architecture, 0)), (), tuple(scored))
        pool, missed, searches = list(scored), list[Candidate](), 0
        searched = 0  # how many fitted when the search ended or last went on
        while len(missed) < MOST_MISSES:
            budget = under(budget, model)
            within = fitting(budget, pool)
            out = {miss.scored.architecture for miss in missed}
            left = [found for found in within if found.architecture not in out]
            if len(left) < max(self.enough, searched / 2) and searches < MOST_SEARCHES:
                more = self._more(budget, within, searches)
                searches = searches + 1 if more else MOST_SEARCHES
                pool += more
                searched = len(left) + len(more)
            elif left:
                searched = max(searched, len(left))
                tried, measured = self._try(left[0], model, limit)
                if measured.upper_ms <= limit.most:
                    return Verified(tried, tuple(missed), tuple(pool))
                missed.append(tried)
                model = model.with_networks({left[0].architecture: measured.latency_ms})
            else:
                break
        # One measurement that was disturbed must not rule out all others, so the quickest is tried all the same.
        quickest = _quickest(budget, pool, model, missed)
        if quickest is not None:
            tried, measured = self._try(quickest, model, limit)
            if measured.upper_ms <= limit.most:
                return Verified(tried, tuple(missed), tuple(pool))
            missed.append(tried)
        raise BudgetInfeasible(_why(missed, limit, model))

    def _try(self, scored: Scored, model: LatencyModel, limit: Limit) -> tuple[Candidate, Measurement]:
        measured = self.measure(scored.architecture, 0)
        if measured.upper_ms > limit.most:
            again = self.measure(scored.architecture, 1)
            measured = min(measured, again, key=lambda found: found.upper_ms)
        return candidate(scored, model, measured), measured

    def _more(self, budget: Budget, within: Sequence[Scored], searches: int) -> list[Scored]:
        """New candidates under a corrected limit; none where nothing else fits."""
        try:
            feasible = FeasibleSet(self.space, budget)
        except BudgetInfeasible:
            return []
        known = {found.architecture for found in within}
        return [found for found in self.search_on(feasible, within, searches) if found.architecture not in known]


def fitting(budget: Budget, scored: Sequence[Scored]) -> list[Scored]:
    """Those that keep all limits, the best first."""
    return best_first([found for found in scored if budget.allows(found.architecture)])


def _quickest(
    budget: Budget, pool: Sequence[Scored], model: LatencyModel, missed: Sequence[Candidate]
) -> Scored | None:
    """The candidate with the least prediction that keeps all other limits, unless it was measured."""
    others = Budget(tuple(limit for limit in budget.limits if limit.cost.name != "latency_ms"))
    least = min(fitting(others, pool), key=lambda found: model.predicted.cost(found.architecture), default=None)
    return None if least in [miss.scored for miss in missed] else least


def _why(missed: Sequence[Candidate], limit: Limit, model: LatencyModel) -> str:
    reached = [miss.measured.latency_ms for miss in missed if miss.measured]
    least = f", the quickest at {limit.cost.format(min(reached))}" if reached else ""
    return (
        f"no candidate measured within {limit}: {len(reached)} were compiled and timed{least}. By what was measured, a "
        f"latency is the {model.calibration}, and the space begins at {model.upper.least_limit()}. Allow at least that"
    )


def journalled(
    known: Mapping[tuple[Architecture, int], Measurement],
    measure: Measure,
    keep: Callable[[Architecture, int, Measurement], None],
) -> Measure:
    """`measure`, but what is known is not measured again and what is new is kept."""
    results = dict(known)

    def measured(arch: Architecture, time: int) -> Measurement:
        if (arch, time) not in results:
            results[arch, time] = measure(arch, time)
            keep(arch, time, results[arch, time])
        return results[arch, time]

    return measured
