"""A generation's candidates over several processes: each scores a part of the trie, and all learn all scores."""

from collections.abc import Sequence

from toolchain.parallel.collectives import gather_objects
from toolchain.parallel.ranks import rank, world
from toolchain.search.evaluate import Advance, Evaluator, unseen
from toolchain.search.parallel_trie import subtrees
from toolchain.search.scores import RaceThreshold, Score
from toolchain.spaces.core import Architecture


class DistributedEvaluator:
    """Scores like `Evaluator`, with which it shares the interface; every process makes the same calls."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def many(
        self, archs: Sequence[Architecture], reference: RaceThreshold | None = None, advance: Advance = unseen
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
