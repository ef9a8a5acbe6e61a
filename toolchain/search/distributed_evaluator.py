"""Scoring by all processes of a command: each scores the subtrees of the prefix trie that are its part."""

from collections.abc import Sequence

from toolchain.parallel.collectives import gather_objects
from toolchain.parallel.ranks import rank, world
from toolchain.search.evaluate import Advance, Evaluator, ignore_progress
from toolchain.search.scores import RaceThreshold, Score
from toolchain.search.trie import subtrees
from toolchain.spaces.core import Architecture


class DistributedEvaluator:
    """The interface of `Evaluator`; every process makes the same calls."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def many(
        self, archs: Sequence[Architecture], threshold: RaceThreshold | None = None, advance: Advance = ignore_progress
    ) -> list[Score]:
        """The score of each of `archs`, in all processes.

        Raises:
            BadData: an image cannot be read.
        """
        parts = subtrees(archs, world())
        own = [archs[number] for number in parts[rank()]]
        reported = 0

        def report(steps: int) -> None:
            """Extrapolate from this process to all of them."""
            nonlocal reported
            now = min(len(archs), reported + steps * world())
            advance(now - reported)
            reported = now

        gathered = gather_objects(self._evaluator.many(own, threshold, report))
        advance(len(archs) - reported)
        scores = {
            number: score
            for part, part_scores in zip(parts, gathered, strict=True)
            for number, score in zip(part, part_scores, strict=True)
        }
        return [scores[number] for number in range(len(archs))]
