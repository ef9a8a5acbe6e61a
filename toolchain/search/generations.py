"""The generations of a search: a strategy proposes, the evaluator scores, and the journal keeps the scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import median
from typing import Protocol

from toolchain.progress import Progress, Task
from toolchain.search.journal import Journal, architecture_of
from toolchain.search.race import kth_best
from toolchain.search.scores import CandidateLine, RaceThreshold, Score, ScoreCache, ScoreName
from toolchain.search.strategies import EVOLUTION, Proposal, Scored, Strategy, best_first, complete
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.tracking.tracker import NO_CURVES, NO_TRACKER, Curves, Tracker


class Evaluate(Protocol):
    """The interface of `evaluate.Evaluator`."""

    def many(
        self, archs: Sequence[Architecture], threshold: RaceThreshold | None, advance: Callable[[int], None]
    ) -> list[Score]:
        """The score of each; `advance` is called with the number of candidates whose work is done."""


@dataclass(frozen=True)
class Scoring:
    """How the candidates of all strategies of one command are scored.

    Args:
        race_top: race each generation against the candidate of this rank; None: no race.
        score: what candidates are ranked by.
        tracker: shows accuracies by generation.
    """

    seed: int
    journal: Journal[CandidateLine]
    evaluate: Evaluate
    progress: Progress
    race_top: int | None = None
    score: ScoreName = "accuracy"
    tracker: Tracker = NO_TRACKER


def run_strategy(
    strategy: Strategy,
    generations: range,
    scoring: Scoring,
    earlier: Sequence[Scored] = (),
    curves: Curves = NO_CURVES,
) -> tuple[Scored, ...]:
    """All candidates of one search in the order of proposal; known scores come from the journal.

    Args:
        generations: their numbers, from which their random numbers are drawn.
        earlier: candidates of an earlier search; the first generation can select parents from them.
        curves: show the accuracies of each generation.
    """
    cache = ScoreCache(scoring.journal, scoring.score)
    scored = list(earlier)
    task: Task | None = None
    for generation in generations:
        proposals = strategy.propose(scored, Random(f"{scoring.seed}:{generation}"))
        task = task or scoring.progress.start(f"search ({strategy.name})", len(generations) * len(proposals))
        threshold = _threshold(scored, cache, scoring.race_top) if scoring.race_top else None
        advance = partial(_advance, task, _note(generation, scored))
        unscored = _unscored(proposals, cache, threshold)
        advance(len(proposals) - len(unscored))
        if unscored:
            scores = scoring.evaluate.many([p.architecture for p in unscored], threshold, advance)
            cache.add(unscored, scores, threshold, strategy.name, generation)
        if strategy.name == EVOLUTION:
            cache.adopt(proposals, strategy.name, generation)
        scored += [_scored(p, cache, threshold, generation, strategy.name) for p in proposals]
        curves.add(generation, _accuracies(strategy.name, generation, scored))
    return tuple(scored)


def journal_candidates(
    journal: Journal[CandidateLine], space: SearchSpace, score: ScoreName = "accuracy"
) -> tuple[Scored, ...]:
    """All candidates of a journal with a complete score, each once; `score` is what they are ranked by.

    One that evolution proposed as well is a candidate of evolution, whichever strategy scored it.
    """
    first: dict[tuple[str, ...], CandidateLine] = {}
    for line in journal.lines:
        if line.images is None and line.ranks_by(score):  # scored on the whole hold-out
            earlier = first.setdefault(line.architecture, line)
            if line.strategy == EVOLUTION != earlier.strategy:
                first[line.architecture] = line
    return tuple(
        Scored(
            architecture=architecture_of(line, space),
            accuracy=line.accuracy,
            generation=line.generation,
            origin=line.origin,
            strategy=line.strategy,
            loss=line.loss if score == "loss" else None,
        )
        for line in first.values()
    )


def _unscored(proposals: Sequence[Proposal], cache: ScoreCache, threshold: RaceThreshold | None) -> list[Proposal]:
    """The proposals without a known score, each architecture once."""
    first: dict[Architecture, Proposal] = {}
    for proposal in proposals:
        first.setdefault(proposal.architecture, proposal)
    return [proposal for proposal in first.values() if cache.find(proposal.architecture, threshold) is None]


def _scored(
    proposal: Proposal, cache: ScoreCache, threshold: RaceThreshold | None, generation: int, strategy: str
) -> Scored:
    score = cache.find(proposal.architecture, threshold)
    assert score is not None
    return Scored(
        architecture=proposal.architecture,
        accuracy=score.accuracy,
        generation=generation,
        origin=proposal.origin,
        complete=score.complete,
        strategy=strategy,
        loss=score.loss,
    )


def _accuracies(strategy: str, generation: int, scored: Sequence[Scored]) -> dict[str, float]:
    """The best accuracy so far, and the median of this generation, of candidates with a complete score."""
    whole = complete(scored)
    own = [candidate.accuracy for candidate in whole if candidate.generation == generation]
    values = {f"{strategy}/best_accuracy": max((candidate.accuracy for candidate in whole), default=0.0)}
    return values | ({f"{strategy}/median_accuracy": median(own)} if own else {})


def _note(generation: int, scored: Sequence[Scored]) -> str:
    best = next(iter(best_first(complete(scored))), None)
    return f"generation {generation + 1}" + (f"  best {best.score_text}" if best is not None else "")


def _advance(task: Task, note: str, steps: int) -> None:
    if steps:  # a plain log prints a line for each call
        task.advance(steps, note)


def _threshold(scored: Sequence[Scored], cache: ScoreCache, rank: int) -> RaceThreshold | None:
    """The candidate of rank `rank` among those with a complete score; None if there are fewer."""
    whole = complete(scored)
    number = kth_best([candidate.accuracy for candidate in whole], rank)
    if number is None:
        return None
    score = cache.find(whole[number].architecture, None)
    assert score is not None
    assert score.correct is not None, "a race keeps the flags of each candidate"
    return RaceThreshold(score.accuracy, score.correct)
