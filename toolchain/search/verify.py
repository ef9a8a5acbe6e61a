"""A winner is measured before it is called one: compiled whole, timed, and passed over if it breaks the limit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from toolchain.costs.core import Limit
from toolchain.errors import BudgetInfeasible
from toolchain.search.strategies import Scored, best_first
from toolchain.spaces.core import Architecture

MOST_MEASURED = 12
NARROW_MISSES = 3


@dataclass(frozen=True)
class Measured:
    """A candidate with its predicted and measured latency in ms."""

    scored: Scored
    predicted_ms: float | None
    measured_ms: float


@dataclass(frozen=True)
class Verified:
    """The winner, and the better-scored candidates that measured over the limit."""

    winner: Measured
    passed_over: tuple[Measured, ...]


def verify(
    scored: Sequence[Scored],
    limit: Limit | None,
    predict: Callable[[Architecture], float] | None,
    measure: Callable[[Architecture], float],
) -> Verified:
    """The best candidate that measures within `limit`.

    Where the first measures over, the sum of its parts was too low for whole networks; then candidates whose
    prediction, corrected by the ratio seen so far, is over the limit are not worth a measurement. The ratio is an
    estimate, so before giving up the quickest of those is measured all the same.

    Raises:
        BudgetInfeasible: nothing that was measured is within the limit; the message has the least.
    """
    passed_over: list[Measured] = []
    for candidate in best_first(scored):
        predicted = predict(candidate.architecture) if predict else None
        if limit and predicted and predicted * _ratio(passed_over) > limit.most:
            continue
        found = Measured(candidate, predicted, measure(candidate.architecture))
        if limit is None or found.measured_ms <= limit.most:
            return Verified(found, tuple(passed_over))
        passed_over.append(found)
        if len(passed_over) == MOST_MEASURED:
            break
    assert limit is not None
    last = _quickest(scored, predict, passed_over)
    if last is not None:
        found = Measured(last, predict(last.architecture) if predict else None, measure(last.architecture))
        if found.measured_ms <= limit.most:
            return Verified(found, tuple(passed_over))
        passed_over.append(found)
    raise BudgetInfeasible(_why(passed_over, limit))


def _ratio(passed_over: Sequence[Measured]) -> float:
    """How much slower whole networks measured than their parts' sum; 1 before anything is known.

    The median at first, since one measurement may be disturbed; after a few misses the greatest, so that narrow
    misses don't go on and better candidates further down are reached.
    """
    ratios = [m.measured_ms / m.predicted_ms for m in passed_over if m.predicted_ms]
    if not ratios:
        return 1.0
    return median(ratios) if len(ratios) <= NARROW_MISSES else max(ratios)


def _quickest(
    scored: Sequence[Scored], predict: Callable[[Architecture], float] | None, passed_over: Sequence[Measured]
) -> Scored | None:
    """The candidate with the least prediction, unless it was measured or nothing predicts."""
    if predict is None:
        return None
    least = min(scored, key=lambda candidate: predict(candidate.architecture))
    return None if least in [m.scored for m in passed_over] else least


def _why(passed_over: Sequence[Measured], limit: Limit) -> str:
    least = min(m.measured_ms for m in passed_over)
    return (
        f"no candidate measured within {limit}: {len(passed_over)} were compiled and timed, the quickest at "
        f"{limit.cost.format(least)}. Search again with a lower --latency, so that whole networks fit as well, "
        f"or allow more than {limit.cost.format(least)}"
    )


def journalled(
    known: Mapping[Architecture, float],
    measure: Callable[[Architecture], float],
    keep: Callable[[Architecture, float], None],
) -> Callable[[Architecture], float]:
    """`measure`, but what is known is not measured again and what is new is kept."""
    results = dict(known)

    def measured(arch: Architecture) -> float:
        if arch not in results:
            results[arch] = measure(arch)
            keep(arch, results[arch])
        return results[arch]

    return measured
