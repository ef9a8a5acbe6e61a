"""The order in which candidates are tried as winners: by score, or the largest of those that it cannot tell apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt

from toolchain.costs.core import TableCost
from toolchain.search.strategies import Scored, best_first

Preference = Callable[[Sequence[Scored]], list[Scored]]  # the same candidates, the preferred one first


def preferred_to(prefer: Preference, winner: Scored, others: Sequence[Scored]) -> list[Scored]:
    """Those of `others` that are tried before `winner`."""
    ordered = prefer([winner, *others])
    return ordered[: ordered.index(winner)]


@dataclass(frozen=True)
class LargestOfTied:
    """Candidates within one standard error of the most accurate one come first, those with the most MACs before others.

    The accuracy on n images has a standard error of sqrt(p (1 - p) / n). What lies within it is noise, and among
    networks of one space MACs say more about the accuracy after training than such noise does
    (docs/decisions/0060-ties-by-macs.md).
    """

    macs: TableCost
    holdout_images: int

    def __call__(self, scored: Sequence[Scored]) -> list[Scored]:
        by_score = best_first(scored)
        tied = self.tied(by_score)

        def rank(candidate: Scored) -> float:
            return -self.macs.cost(candidate.architecture) if candidate in tied else inf

        return sorted(by_score, key=rank)

    def tied(self, by_score: Sequence[Scored]) -> list[Scored]:
        """The candidates that cannot be told apart from the first one; it is among them."""
        if not by_score:
            return []
        best = by_score[0]
        least = best.accuracy - self.standard_error(best)
        return [candidate for candidate in by_score if candidate.complete and candidate.accuracy >= least]

    def standard_error(self, candidate: Scored) -> float:
        """Of its accuracy, 0 to 0.5."""
        return sqrt(candidate.accuracy * (1 - candidate.accuracy) / self.holdout_images)

    def statement(self, scored: Sequence[Scored]) -> str:
        """How many candidates are tied, for the user."""
        by_score = best_first(scored)
        error = self.standard_error(by_score[0])
        return (
            f"{len(self.tied(by_score))} of {len(by_score)} candidates are within one standard error ({error:.1%}) of "
            f"the most accurate; of these the one with the most MACs wins"
        )
