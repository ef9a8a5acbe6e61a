"""The generations of a search: proposals in, scores and journal out."""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Protocol

from toolchain.progress import Progress, Task
from toolchain.search.journal import Journal
from toolchain.search.race import kth_best
from toolchain.search.scores import RaceThreshold, Score, ScoreCache
from toolchain.search.strategies import Scored, Strategy
from toolchain.spaces.core import Architecture


class Evaluate(Protocol):
    """Scores candidates; `evaluate.Evaluator` does."""

    def many(
        self, archs: Sequence[Architecture], reference: RaceThreshold | None, advance: Callable[[int], None]
    ) -> list[Score]:
        """The score of each; `advance` is told when work for some more of them is done."""


def run_strategy(
    strategy: Strategy,
    generations: int,
    seed: int,
    journal: Journal,
    evaluate: Evaluate,
    progress: Progress,
    race_with: int | None = None,
    earlier: Sequence[Scored] = (),
    first: int = 0,
) -> tuple[Scored, ...]:
    """All candidates of one search in the order of their proposal; known scores come from the journal.

    Args:
        race_with: the k of the k-th best so far, with whom later generations must keep up; None: no race.
        earlier: candidates that an earlier search left; the first generation already has parents among them.
        first: the number of the first generation, where others went before.
    """
    known = ScoreCache(journal)
    scored = list(earlier)
    task: Task | None = None
    for generation in range(first, first + generations):
        proposals = strategy.propose(scored, Random(f"{seed}:{generation}"))
        task = task or progress.start(f"search ({strategy.name})", generations * len(proposals))
        reference = _reference(scored, known, race_with) if race_with else None
        once = {proposal.architecture: proposal for proposal in reversed(proposals)}  # of equals the first
        new = [p for p in proposals if once[p.architecture] is p and known.find(p.architecture, reference) is None]
        best = max((s.accuracy for s in scored if s.complete), default=None)
        note = f"generation {generation + 1}" + (f"  best {best:.2%}" if best is not None else "")
        advance = partial(_advance, task, note)
        advance(len(proposals) - len(new))
        if new:
            scores = evaluate.many([proposal.architecture for proposal in new], reference, advance)
            known.add(new, scores, reference, strategy.name, generation)
        for proposal in proposals:
            score = known.find(proposal.architecture, reference)
            assert score is not None
            scored.append(Scored(proposal.architecture, score.accuracy, generation, proposal.origin, score.complete))
    return tuple(scored)


def _advance(task: Task, note: str, steps: int) -> None:
    if steps:  # a plain log has a line for each call
        task.advance(steps, note)


def _reference(scored: Sequence[Scored], known: ScoreCache, k: int) -> RaceThreshold | None:
    """The k-th best that was scored in full; None while there are fewer."""
    complete = [candidate for candidate in scored if candidate.complete]
    number = kth_best([candidate.accuracy for candidate in complete], k)
    if number is None:
        return None
    found = known.find(complete[number].architecture, None)
    assert found is not None
    assert found.right is not None, "a race keeps what each candidate had right"
    return RaceThreshold(found.accuracy, found.right)
