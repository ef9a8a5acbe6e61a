"""Whole searches where networks are slower than their parts: nothing over budget wins, and kills change nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from latency_db.target import Target
from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.costs.latency import LatencyModel
from toolchain.counting.feasible import FeasibleSet
from toolchain.measuring.network import Measurement
from toolchain.progress import Quiet
from toolchain.search.budget import Costs, NamedBudget
from toolchain.search.candidate_timing import Measure, cached
from toolchain.search.generations import Scoring
from toolchain.search.journal import Journal, architecture_of
from toolchain.search.measured import MeasuredLine
from toolchain.search.per_budget import BudgetResult, Search, SearchSettings, search_budgets
from toolchain.search.plan import SearchPlan
from toolchain.search.scores import CandidateLine, RaceThreshold, Score
from toolchain.search.verify import Verified
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace

SETTINGS = SearchSettings(population=10, generations=4, top_k=3)


class Killed(BaseException):
    pass


class World:
    """A space, what its parts add up to, and what its networks truly take: `slower` times as much."""

    def __init__(self, space: SearchSpace, target: Target, slower: float = 1.3) -> None:
        rng = Random(5)
        rows = tuple({choice.key: rng.uniform(1, 3) for choice in block.choices} for block in space.blocks)
        self.space, self.target, self.slower = space, target, slower
        self.parts = TableCost("latency_ms", "ms", 2.0, rows)

    def truth(self, arch: Architecture) -> float:
        return self.slower * self.parts.cost(arch)

    def plan(self, *shares: float) -> SearchPlan:
        """Budgets so far up in the true range; the sum of parts would take far too much for fitting."""
        model = LatencyModel(self.parts, {}, self.target)
        budgets = []
        for share in shares:
            most = self.slower * (self.parts.least + share * (self.parts.greatest - self.parts.least))
            budget = Budget((Limit(model.upper, most),))
            budgets.append((NamedBudget(f"latency_{share}", budget), FeasibleSet(self.space, budget)))
        return SearchPlan(tuple(budgets), Costs((), model), self.target)

    def measure(self, arch: Architecture, _: int) -> Measurement:
        return Measurement(self.truth(arch), self.truth(arch))


class Files:
    """The two journals of a run, opened anew by each command; kills after so many generations and measurements."""

    def __init__(self, folder: Path, world: World, most: int = 10**9, settings: SearchSettings = SETTINGS) -> None:
        self.folder, self.world, self.most, self.settings = folder, world, most, settings
        self.steps = 0

    def _step(self) -> None:
        if self.steps == self.most:
            raise Killed
        self.steps += 1

    def many(
        self, archs: Sequence[Architecture], threshold: RaceThreshold | None, advance: Callable[[int], None]
    ) -> list[Score]:
        """Slower networks are better, as they are."""
        self._step()
        return [Score(self.world.parts.cost(arch) / self.world.parts.greatest) for arch in archs]

    def run(self, plan: SearchPlan) -> tuple[BudgetResult, ...]:
        world = self.world
        candidates = Journal(self.folder / "c.jsonl", {}, CandidateLine, world.space)
        measured = Journal(self.folder / "m.jsonl", {}, MeasuredLine, world.space)
        known = {
            (architecture_of(line, world.space), line.time): Measurement(line.latency_ms, line.latency_ms)
            for line in measured.lines
        }

        def measure(arch: Architecture, time: int) -> Measurement:
            self._step()
            return world.measure(arch, time)

        def keep(arch: Architecture, time: int, measurement: Measurement) -> None:
            measured.append(
                MeasuredLine(architecture=arch.choices, time=time, latency_ms=measurement.latency_ms, target="fake")
            )

        search = Search(world.space, self.settings, Scoring(0, candidates, self, Quiet()))
        return search_budgets(search, plan, cached(known, measure, keep))


@pytest.fixture(scope="session")
def world(target: Target) -> World:
    return World(load_space("shufflenet_v2_quick"), target)


def verified(outcome: BudgetResult) -> Verified:
    assert outcome.verified is not None, outcome.unmet
    return outcome.verified


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_no_winner_is_over_budget(world: World, tmp_path: Path, share: float) -> None:
    plan = world.plan(share)
    (outcome,) = Files(tmp_path, world).run(plan)
    winner = verified(outcome).winner
    most = plan.budgets[0][0].budget.limits[0].most
    assert world.truth(winner.scored.architecture) <= most
    assert winner.measured == world.measure(winner.scored.architecture, 0)


def test_the_search_went_on_under_the_corrected_limit(world: World, tmp_path: Path) -> None:
    """The first winner was far over; it taught where the limit is, and the next is close to it."""
    plan = world.plan(0.5)
    (outcome,) = Files(tmp_path, world).run(plan)
    winner_of_budget, most = verified(outcome), plan.budgets[0][0].budget.limits[0].most
    assert winner_of_budget.passed_over
    assert world.truth(winner_of_budget.passed_over[0].scored.architecture) > most
    later = [scored for scored in winner_of_budget.scored if scored.generation >= SETTINGS.generations]
    assert later
    # the margin that is assumed with one network is 5 %, so the winner can be within 5 % of the limit and some
    assert world.truth(winner_of_budget.winner.scored.architecture) > 0.9 * most


def test_what_is_learnt_under_one_budget_is_known_under_the_next(world: World, tmp_path: Path) -> None:
    one, other = Files(tmp_path, world).run(world.plan(0.5, 0.6))
    assert verified(one).passed_over
    assert verified(other).passed_over == ()
    calibration = verified(other).winner.calibration
    assert calibration is not None
    assert calibration.scale == pytest.approx(world.slower)


def test_an_impossible_budget_is_reported_and_the_others_are_searched(world: World, tmp_path: Path) -> None:
    """Within the sums of parts, and below what any network truly takes."""
    one, other = Files(tmp_path, world).run(world.plan(-0.1, 0.6))
    assert one.verified is None
    assert "no candidate measured within" in one.unmet
    assert verified(other).winner


@pytest.mark.parametrize("left", range(1, 13))
def test_killed_anywhere_it_ends_the_same(world: World, tmp_path: Path, left: int) -> None:
    """With so many steps to go: among measurements, in the generations of the search that went on, and before."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    plan = world.plan(0.5)
    whole = Files(tmp_path / "whole", world)
    expected = whole.run(plan)
    with pytest.raises(Killed):
        Files(tmp_path / "killed", world, most=whole.steps - left).run(plan)
    assert Files(tmp_path / "killed", world).run(plan) == expected
    for name in ("c.jsonl", "m.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_typed_again_it_measures_and_scores_nothing(world: World, tmp_path: Path) -> None:
    plan = world.plan(0.5, 0.6)
    expected = Files(tmp_path, world).run(plan)
    assert Files(tmp_path, world, most=0).run(plan) == expected


def test_where_nothing_can_be_measured_the_best_prediction_wins(world: World, tmp_path: Path) -> None:
    plan = world.plan(0.5)
    journal = Journal(tmp_path / "c.jsonl", {}, CandidateLine, world.space)
    search = Search(world.space, SETTINGS, Scoring(0, journal, Files(tmp_path, world), Quiet()))
    none: Measure | None = None
    (outcome,) = search_budgets(search, plan, none)
    winner = verified(outcome).winner
    assert winner.measured is None
    assert winner.bound_ms is not None
    assert winner.bound_ms <= plan.budgets[0][0].budget.limits[0].most


class Announced(Quiet):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def announced(world: World, folder: Path, settings: SearchSettings = SETTINGS) -> tuple[BudgetResult, list[str]]:
    progress, journal = Announced(), Journal(folder / "c.jsonl", {}, CandidateLine, world.space)
    search = Search(world.space, settings, Scoring(0, journal, Files(folder, world), progress))
    (result,) = search_budgets(search, world.plan(0.5), world.measure)
    return result, progress.lines


def best_in_journal(world: World, folder: Path, most: float, strategy: str) -> float:
    """The highest accuracy of a candidate that truly fits."""
    journal = Journal(folder / "c.jsonl", {}, CandidateLine, world.space)
    lines = [line for line in journal.lines if world.truth(architecture_of(line, world.space)) <= most]
    return max(line.accuracy for line in lines if line.strategy == strategy)


def test_a_later_search_is_never_worse_than_the_journal(target: Target, tmp_path: Path) -> None:
    """The first search scores many candidates, the second one few, for the same budget and for a larger one."""
    world = World(load_space("shufflenet_v2_quick"), target, slower=1.0)
    large = SearchSettings(population=20, generations=6, top_k=5, random_search=False)
    small = SearchSettings(population=4, generations=1, top_k=2, random_search=False)
    (before,) = Files(tmp_path, world, settings=large).run(world.plan(0.5))
    for share in (0.5, 0.6):
        (after,) = Files(tmp_path, world, settings=small).run(world.plan(share))
        assert verified(after).winner.scored.accuracy >= verified(before).winner.scored.accuracy
        assert Files(tmp_path, world, most=0, settings=small).run(world.plan(share)) == (after,)


def test_an_earlier_candidate_over_the_limit_does_not_win(world: World, tmp_path: Path) -> None:
    """Networks are slower than predicted, so better candidates of the journal are measured and passed over."""
    large = SearchSettings(population=20, generations=6, top_k=5, random_search=False)
    Files(tmp_path, world, settings=large).run(world.plan(0.9))
    plan = world.plan(0.5)
    (result,) = Files(tmp_path, world, settings=SearchSettings(4, 1, 2, random_search=False)).run(plan)
    most = plan.budgets[0][0].budget.limits[0].most
    assert world.truth(verified(result).winner.scored.architecture) <= most


def test_the_winner_never_comes_from_random_search(target: Target, tmp_path: Path) -> None:
    """Random search scores the better candidates here: evolution has one generation of two."""
    world = World(load_space("shufflenet_v2_quick"), target, slower=1.0)
    plan = world.plan(0.5)
    limit = plan.budgets[0][0].budget.limits[0].most
    random_only = SearchSettings(population=30, generations=5, top_k=2)
    journal = Journal(tmp_path / "c.jsonl", {}, CandidateLine, world.space)
    search = Search(world.space, random_only, Scoring(1, journal, Files(tmp_path, world), Quiet()))
    search.random_search(plan.budgets[0][1])
    (result,) = Files(tmp_path, world, settings=SearchSettings(2, 1, 2, random_search=False)).run(plan)
    winner = verified(result).winner.scored
    assert winner.strategy == "evolution"
    assert winner.accuracy == best_in_journal(world, tmp_path, limit, "evolution")
    assert winner.accuracy < best_in_journal(world, tmp_path, limit, "random")


def test_only_a_miss_is_announced_as_slower_than_predicted(world: World, target: Target, tmp_path: Path) -> None:
    """Few candidates fit where the population is large, and that alone says nothing of latencies."""
    exact = World(load_space("shufflenet_v2_quick"), target, slower=1.0)
    few = SearchSettings(population=10, generations=1, top_k=2, random_search=False)
    for name in ("slow", "exact"):
        (tmp_path / name).mkdir()
    _, slow_lines = announced(world, tmp_path / "slow")
    _, exact_lines = announced(exact, tmp_path / "exact", few)
    assert any(line.startswith("whole networks are slower than predicted") for line in slow_lines)
    assert not any("slower" in line for line in exact_lines)
