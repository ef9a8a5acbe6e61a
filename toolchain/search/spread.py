"""A generation's candidates over several processes: each scores a part of the trie, and all learn all scores."""

from collections.abc import Sequence
from itertools import accumulate, pairwise, takewhile
from operator import eq

from toolchain.distributed import gather_objects
from toolchain.ranks import rank, world
from toolchain.search.evaluate import Advance, Evaluator, unseen
from toolchain.search.scores import Reference, Score
from toolchain.spaces.core import Architecture


class Spread:
    """Scores like `Evaluator`, with which it shares the interface; every process makes the same calls."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def many(
        self, archs: Sequence[Architecture], reference: Reference | None = None, advance: Advance = unseen
    ) -> list[Score]:
        """The score of each of `archs`, in all processes.

        Raises:
            BadData: an image can't be read.
        """
        parts = subtrees(archs, world())
        mine = parts[rank()]

        told = 0

        def tell(steps: int) -> None:
            """All processes are about as far as this one."""
            nonlocal told
            now = min(len(archs), told + steps * world())
            advance(now - told)
            told = now

        found = gather_objects(self._evaluator.many([archs[number] for number in mine], reference, tell))
        advance(len(archs) - told)
        scores = {
            number: score
            for part, scored in zip(parts, found, strict=True)
            for number, score in zip(part, scored, strict=True)
        }
        return [scores[number] for number in range(len(archs))]


def subtrees(archs: Sequence[Architecture], parts: int) -> list[list[int]]:
    """Numbers of architectures in `parts` parts of about as many blocks to compute, neighbours in the trie together."""
    if not archs:
        return [[] for _ in range(parts)]
    order = sorted(range(len(archs)), key=lambda number: archs[number].choices)
    choices = [archs[number].choices for number in order]
    shared = [0, *(_common(*pair) for pair in pairwise(choices))]  # with the one before
    costs = [len(own) - same + 1 for own, same in zip(choices, shared, strict=True)]  # 1 is the head
    ends = list(accumulate(costs))
    found: list[list[int]] = [[] for _ in range(parts)]
    for number, end, cost in zip(order, ends, costs, strict=True):
        found[min(parts - 1, int((end - cost / 2) * parts / ends[-1]))].append(number)
    return found


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many blocks two architectures have in common from the first on."""
    return sum(1 for _ in takewhile(bool, map(eq, one, other)))
