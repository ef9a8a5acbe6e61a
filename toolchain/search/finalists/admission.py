"""Which of the proposed networks become finalists, once they are measured."""

from collections.abc import Callable, Collection, Sequence

from toolchain.search.candidate import Candidate
from toolchain.search.strategies import Scored
from toolchain.spaces.core import Architecture

MAX_MISSES = 12  # proposals that may miss the budget when they are measured

Admit = Callable[[Scored], Candidate | None]  # the candidate if it measures within the budget


def admitted(
    leader: Candidate, proposals: Sequence[Scored], simple: Collection[Architecture], count: int, admit: Admit
) -> list[Candidate]:
    """The leader and other proposals that measure within the budget, `count` in all; half of them are simple.

    A network that measures over the budget is replaced by the next of its kind, and by one of the other kind only if
    there is none: the largest network nearly always measures over, and the next largest must then come, not one more
    candidate that the supernet prefers.

    Args:
        proposals: in order of preference.
        simple: those of the proposals that a user would choose by hand.
    """
    finalists, tried = [leader], {leader.scored.architecture}
    misses = 0
    for places in (_places(count), {True: count, False: count}):
        for candidate in proposals:
            is_simple = candidate.architecture in simple
            same = sum((one.scored.architecture in simple) == is_simple for one in finalists)
            if candidate.architecture in tried or same >= places[is_simple]:
                continue
            if len(finalists) == count or misses == MAX_MISSES:
                return finalists
            tried.add(candidate.architecture)
            measured = admit(candidate)
            if measured is None:
                misses += 1
            else:
                finalists.append(measured)
    return finalists


def _places(count: int) -> dict[bool, int]:
    """The number of simple finalists and of others."""
    return {True: count // 2, False: count - count // 2}
