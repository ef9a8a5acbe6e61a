"""A search that ranks candidates by their loss: its journal, its order, and what it shares with one by accuracy."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from toolchain.config import SearchConfig
from toolchain.costs.core import Budget
from toolchain.counting.feasible import FeasibleSet
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.progress import Quiet
from toolchain.search.evaluate import MAX_LOSS, Evaluator, ScoringSettings
from toolchain.search.generations import Scoring, journal_candidates, run_strategy
from toolchain.search.journal import Journal
from toolchain.search.race import Race
from toolchain.search.scores import CandidateLine, RaceThreshold, Score, ScoreName
from toolchain.search.strategies import Evolution, Scored, best_first
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.accuracy import fixed_batches, recalibration_batches
from toolchain.training.data import Data
from toolchain.training.recalibrate import recalibrate


class Scores:
    """Accuracies that are all equal, and losses that differ."""

    def __init__(self) -> None:
        self.scored: list[Architecture] = []

    def many(
        self, archs: Sequence[Architecture], threshold: RaceThreshold | None, advance: Callable[[int], None]
    ) -> list[Score]:
        self.scored += archs
        advance(len(archs))
        return [Score(0.5, loss=loss_of(arch)) for arch in archs]


def loss_of(arch: Architecture) -> float:
    return sum(map(ord, str(arch))) % 997 / 997


def search(space: SearchSpace, path: Path, score: ScoreName, evaluate: Scores) -> list[Scored]:
    strategy = Evolution(FeasibleSet(space, Budget(())), population=6, top_k=2, mutation=0.1)
    journal = Journal(path, {"seed": 0}, CandidateLine, space)
    return list(run_strategy(strategy, range(4), Scoring(0, journal, evaluate, Quiet(), score=score)))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def test_evolution_selects_parents_by_loss(tiny_space: SearchSpace, tmp_path: Path) -> None:
    scored = search(tiny_space, tmp_path / "j.jsonl", "loss", Scores())
    assert best_first(scored)[0].loss == min(loss_of(candidate.architecture) for candidate in scored)
    parents = best_first([candidate for candidate in scored if candidate.generation == 0])[:2]
    keys = list(zip(*(parent.architecture.choices for parent in parents), strict=True))
    for child in scored:
        if child.generation == 1 and child.origin == "crossover":
            assert all(key in pair for key, pair in zip(child.architecture.choices, keys, strict=True))


def test_the_journal_of_a_search_by_accuracy_has_no_loss(tiny_space: SearchSpace, tmp_path: Path) -> None:
    scored = search(tiny_space, tmp_path / "j.jsonl", "accuracy", Scores())
    assert lines(tmp_path / "j.jsonl")[0] == {
        "architecture": list(scored[0].architecture.choices),
        "accuracy": 0.5,
        "strategy": "evolution",
        "generation": 0,
        "origin": "random",
    }


def test_a_resumed_search_by_loss_scores_nothing_again(tiny_space: SearchSpace, tmp_path: Path) -> None:
    whole = search(tiny_space, tmp_path / "whole.jsonl", "loss", Scores())
    content = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "killed.jsonl").write_bytes(b"".join(content[:10]) + content[10][:30])
    rest = Scores()
    assert search(tiny_space, tmp_path / "killed.jsonl", "loss", rest) == whole
    assert rest.scored == [candidate.architecture for candidate in whole[9:]]
    assert (tmp_path / "killed.jsonl").read_bytes() == b"".join(content)


def test_both_searches_share_a_journal(tiny_space: SearchSpace, tmp_path: Path) -> None:
    """Lines without a loss are scored again; lines with one also serve a search by accuracy, as if they had none."""
    path = tmp_path / "j.jsonl"
    by_accuracy = search(tiny_space, path, "accuracy", Scores())
    second = Scores()
    by_loss = search(tiny_space, path, "loss", second)
    assert {candidate.architecture for candidate in by_loss} == set(second.scored)
    assert search(tiny_space, path, "accuracy", Scores()) == by_accuracy
    assert search(tiny_space, path, "loss", Scores()) == by_loss
    journal = Journal(path, {"seed": 0}, CandidateLine, tiny_space)
    assert set(journal_candidates(journal, tiny_space, "loss")) == set(by_loss)
    assert {candidate.loss for candidate in journal_candidates(journal, tiny_space)} == {None}


@pytest.fixture(scope="module")
def supernet(tiny_space: SearchSpace) -> Supernet:
    net = Supernet(tiny_space)
    initialize(net, torch.Generator().manual_seed(0))
    return net


@torch.no_grad()
def test_the_loss_is_that_of_the_extracted_path(supernet: Supernet, tiny_space: SearchSpace, digits: Data) -> None:
    archs = sorted({tiny_space.draw(Random(seed)) for seed in range(3)}, key=str)
    scores = Evaluator(supernet, digits, ScoringSettings(128, 64, seed=0)).many(archs)
    for arch, score in zip(archs, scores, strict=True):
        net = supernet.extract(arch)
        recalibrate(net, recalibration_batches(digits, 128, 64, seed=0), digits.preprocessing)
        ((pixels, labels),) = fixed_batches(digits.train, digits.holdout, len(digits.holdout))
        expected = float(F.cross_entropy(net(digits.preprocessing(pixels)), labels))
        assert score.loss == pytest.approx(expected, rel=1e-5)  # float32 against sums in float64
    assert len({score.loss for score in scores}) == len(archs)


def test_a_loss_that_is_not_finite_comes_last(tiny_space: SearchSpace, digits: Data) -> None:
    broken = Supernet(tiny_space)
    initialize(broken, torch.Generator().manual_seed(0))
    with torch.no_grad():
        list(broken.head.parameters())[-1].fill_(torch.nan)
    (score,) = Evaluator(broken, digits, ScoringSettings(128, 64, seed=0)).many([tiny_space.draw(Random(0))])
    assert score.loss == MAX_LOSS == 1e6


def test_a_candidate_that_a_race_stopped_has_no_loss(
    supernet: Supernet, tiny_space: SearchSpace, digits: Data, evolved: Callable[..., list[Architecture]]
) -> None:
    archs = evolved(tiny_space, 8)
    evaluate = Evaluator(supernet, digits, ScoringSettings(128, 64, seed=0), Race(0.4))
    best = max(evaluate.many(archs), key=lambda score: score.accuracy)
    assert best.correct is not None
    scores = evaluate.many(archs, RaceThreshold(best.accuracy, best.correct))
    assert {score.complete for score in scores} == {True, False}
    assert all((score.loss is None) != score.complete for score in scores)


@pytest.mark.parametrize("loss", ["-0.1", "NaN", "Infinity"])
def test_a_wrong_loss_in_a_journal_is_damage(loss: str) -> None:
    line = '{"architecture": ["a"], "accuracy": 0.5, "strategy": "x", "generation": 0, "origin": "y", "loss": %s}'
    assert CandidateLine.model_validate_json(line % "0.25").loss == 0.25
    with pytest.raises(ValidationError):
        CandidateLine.model_validate_json(line % loss)


def test_a_race_by_loss_is_refused() -> None:
    with pytest.raises(ValidationError, match="Leave out the race or the score"):
        SearchConfig(race=True, score="loss")
    assert SearchConfig(race=True).score == "accuracy"
