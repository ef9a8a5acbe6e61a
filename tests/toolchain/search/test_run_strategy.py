"""A search on its journal: killed anywhere, it ends as if it had not been, and scores nothing twice."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

from toolchain.costs.core import Budget, Limit
from toolchain.costs.counters import macs_cost
from toolchain.counting.feasible import FeasibleSet
from toolchain.progress import Quiet
from toolchain.search.generations import Evaluate, Scoring, journal_candidates, run_strategy
from toolchain.search.journal import Journal
from toolchain.search.scores import CandidateLine, RaceThreshold, Score
from toolchain.search.strategies import Evolution, RandomSearch, Scored
from toolchain.spaces.core import Architecture, SearchSpace

GENERATIONS, POPULATION = 4, 8
FINGERPRINT = {"supernet_sha256": "abc"}


class Killed(BaseException):
    pass


class Scores:
    """Remembers what it was asked for; is killed in its call number `most`."""

    def __init__(self, most: int = 10**9) -> None:
        self.asked: list[Architecture] = []
        self._left = most

    def many(
        self, archs: Sequence[Architecture], threshold: RaceThreshold | None, advance: Callable[[int], None]
    ) -> list[Score]:
        if not self._left:
            raise Killed
        self._left -= 1
        self.asked += archs
        advance(len(archs))
        return [Score(sum(map(ord, str(arch))) % 997 / 997) for arch in archs]


@cache
def strategy(space: SearchSpace, limit: float = 1.2) -> Evolution:
    cost = macs_cost(space)
    budget = Budget((Limit(cost, cost.least * limit),))
    return Evolution(FeasibleSet(space, budget), POPULATION, top_k=3, mutation=0.1)


def run(space: SearchSpace, path: Path, evaluate: Evaluate, limit: float = 1.2) -> list[Scored]:
    scoring = Scoring(0, Journal(path, FINGERPRINT, CandidateLine, space), evaluate, Quiet())
    return list(run_strategy(strategy(space, limit), range(GENERATIONS), scoring))


def test_scores_population_times_generations_each_within_the_budget(paper_space: SearchSpace, tmp_path: Path) -> None:
    evaluate = Scores()
    scored = run(paper_space, tmp_path / "j.jsonl", evaluate)
    assert [s.architecture for s in scored] == evaluate.asked
    assert len(set(evaluate.asked)) == len(evaluate.asked) == GENERATIONS * POPULATION
    assert all(strategy(paper_space).feasible.budget.allows(arch) for arch in evaluate.asked)
    assert [s.generation for s in scored] == [g for g in range(GENERATIONS) for _ in range(POPULATION)]
    lines = [json.loads(line) for line in (tmp_path / "j.jsonl").read_text().splitlines()[1:]]
    assert [(tuple(line["architecture"]), line["accuracy"], line["generation"], line["origin"]) for line in lines] == [
        (s.architecture.choices, s.accuracy, s.generation, s.origin) for s in scored
    ]


@pytest.mark.parametrize("generations", range(GENERATIONS))
def test_killed_while_scoring_and_typed_again_ends_the_same(
    paper_space: SearchSpace, tmp_path: Path, generations: int
) -> None:
    expected = run(paper_space, tmp_path / "whole.jsonl", Scores())
    path = tmp_path / "killed.jsonl"
    with pytest.raises(Killed):
        run(paper_space, path, Scores(most=generations))
    rest = Scores()
    assert run(paper_space, path, rest) == expected
    assert rest.asked == [s.architecture for s in expected[generations * POPULATION :]]
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("written", [0, 1, 7, 8, 20, 31])
def test_killed_while_writing_and_typed_again_ends_the_same(
    paper_space: SearchSpace, tmp_path: Path, written: int
) -> None:
    expected = run(paper_space, tmp_path / "whole.jsonl", Scores())
    whole = (tmp_path / "whole.jsonl").read_bytes()
    path = tmp_path / "killed.jsonl"
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: written + 1]) + lines[written + 1][:20])
    rest = Scores()
    assert run(paper_space, path, rest) == expected
    assert rest.asked == [s.architecture for s in expected[written:]]
    assert path.read_bytes() == whole


def test_a_finished_search_scores_nothing_again(paper_space: SearchSpace, tmp_path: Path) -> None:
    expected = run(paper_space, tmp_path / "j.jsonl", Scores())
    assert run(paper_space, tmp_path / "j.jsonl", Scores(most=0)) == expected


def test_another_budget_shares_the_scores(paper_space: SearchSpace, tmp_path: Path) -> None:
    first = Scores()
    run(paper_space, tmp_path / "j.jsonl", first, limit=1.05)
    second = Scores()
    scored = run(paper_space, tmp_path / "j.jsonl", second, limit=1.1)
    assert set(first.asked).isdisjoint(second.asked)
    assert {s.architecture for s in scored} >= set(second.asked)


def test_random_search_on_the_same_journal_makes_as_many_evaluations(paper_space: SearchSpace, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl", FINGERPRINT, CandidateLine, paper_space)
    evolved = strategy(paper_space)
    random_search = RandomSearch(evolved.feasible, POPULATION)
    histories = [
        run_strategy(s, range(GENERATIONS), Scoring(0, journal, Scores(), Quiet())) for s in (evolved, random_search)
    ]
    assert len(histories[0]) == len(histories[1]) == GENERATIONS * POPULATION
    # both begin with the same draws, which are scored once
    assert [s.architecture for s in histories[0][:POPULATION]] == [s.architecture for s in histories[1][:POPULATION]]
    architectures = [line.architecture for line in journal.lines]
    assert len(architectures) == len(set(architectures)) < 2 * GENERATIONS * POPULATION


def test_what_evolution_proposes_after_random_search_stays_a_candidate_of_evolution(
    paper_space: SearchSpace, tmp_path: Path
) -> None:
    evaluate = Scores()
    journal = Journal(tmp_path / "j.jsonl", FINGERPRINT, CandidateLine, paper_space)
    scoring = Scoring(0, journal, evaluate, Quiet())
    feasible = strategy(paper_space).feasible
    by_random = run_strategy(RandomSearch(feasible, POPULATION), range(1), scoring)
    # the first generation of evolution is random as well, and of the same random numbers
    again = run_strategy(strategy(paper_space), range(1), scoring)
    assert [each.architecture for each in again] == [each.architecture for each in by_random] == evaluate.asked
    reread = Journal(tmp_path / "j.jsonl", FINGERPRINT, CandidateLine, paper_space)
    assert journal_candidates(reread, paper_space) == again
    length = len(reread.lines)
    run_strategy(strategy(paper_space), range(1), Scoring(0, reread, evaluate, Quiet()))
    assert len(reread.lines) == length
