"""Search at budgets across the range of a space, and measure the winners again: are they within their budgets?

    python benchmarks/budgets_hold.py

The space is profiled and searched for each budget like `nastool search` does, with winners compiled and timed. Only
the accuracy is synthetic (slower networks are mostly more accurate, so that every search uses its whole budget),
since this is a test of the latency. At the end all winners are exported and timed again, in other rounds and another
order. A search by the plain sum of variants, without margin or measurement, is evaluated in the same way.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from lines import Lines, load

from toolchain.config import Config, parse_config, preset_text
from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.costs.latency import LatencyModel, latency_model
from toolchain.counting.feasible import FeasibleSet
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.network import Measurement, measure_network, measurement
from toolchain.measuring.rounds import on_target, time_until_stable
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.profiler import profile
from toolchain.progress import Quiet
from toolchain.search.budget import Costs, NamedBudget
from toolchain.search.candidate_timing import cached
from toolchain.search.generations import Scoring
from toolchain.search.journal import Journal
from toolchain.search.per_budget import BudgetResult, Search, SearchSettings, search_budgets
from toolchain.search.plan import SearchPlan
from toolchain.search.scores import CandidateLine, RaceThreshold, Score
from toolchain.search.strategies import best_first
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.torch_setup import prepare_torch


class SyntheticScores:
    """0.6 to 0.9 by the sum of variants, and up to 0.02 of noise."""

    def __init__(self, total: TableCost) -> None:
        self._total = total

    def many(
        self, archs: Sequence[Architecture], reference: RaceThreshold | None, advance: Callable[[int], None]
    ) -> list[Score]:
        return [Score(self._accuracy(arch)) for arch in archs]

    def _accuracy(self, arch: Architecture) -> float:
        share = (self._total.cost(arch) - self._total.least) / (self._total.greatest - self._total.least)
        return 0.6 + 0.3 * share + 0.02 * Random(str(arch)).random()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2_quick")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=6)
    args = parser.parse_args()
    lines = Lines()
    with TemporaryDirectory() as folder:
        measuring = {
            "backend": args.backend,
            "batch": args.batch,
            "networks": args.networks,
            "rounds": args.rounds,
            "min_ms": 20.0,
            "quiet_timeout_s": 20.0,
            "db": str(Path(folder) / "latency.sqlite"),
        }
        config = parse_config(preset_text("quick"), {"space": args.space, "profile": measuring}, "the benchmark")
        prepare_torch(config)
        space = load_space(config.space)
        before = load()
        lines.say(f"profile {space.name}; load {before}")
        model = latency_model(space, profile(config, space, lines).table)
        lines.say(f"calibration: {model.calibration}")
        budgets = limits(model, args.searches)
        outcomes = [one_search(config, space, model, most, Path(folder), lines) for most in budgets]
        by_sum = [best_by_sum(config, space, model, most, Path(folder)) for most in budgets]
        winners = [o.verified.winner.scored.architecture if o.verified else None for o in outcomes]
        again = measured_again(config, space, {*by_sum, *(w for w in winners if w)}, Path(folder), lines)
    print(f"{space.name}, batch {args.batch}, {model.target.device_model}, {model.target.backend}, 1 thread")
    print(f"load: {before} before, {load()} after")
    print(f"calibration: {model.calibration}")
    print(f"{'budget':>9} {'predicted':>9} {'measured':>9} {'upper':>9} {'again':>9} {'misses':>6}   by the plain sum")
    for most, outcome, arch in zip(budgets, outcomes, by_sum, strict=True):
        other = f"{again[arch].latency_ms:9.4f}{' over' if again[arch].latency_ms > most else ''}"
        if not outcome.verified:
            print(f"{most:9.4f} no winner: {outcome.unmet[:60]}...   {other}")
            continue
        winner = outcome.verified.winner
        assert winner.measured
        fresh = again[winner.scored.architecture].latency_ms
        figures = (most, winner.predicted_ms, winner.measured.latency_ms, winner.measured.upper_ms, fresh)
        shown = " ".join(f"{ms:9.4f}" for ms in figures)
        print(f"{shown} {len(outcome.verified.passed_over):6}   {other}{'   OVER' if fresh > most else ''}")
    pairs = [(most, again[arch]) for most, arch in zip(budgets, winners, strict=True) if arch]
    over = sum(results.latency_ms > most for most, results in pairs)
    maybe = sum(results.upper_ms > most for most, results in pairs)
    sums = sum(again[arch].latency_ms > most for most, arch in zip(budgets, by_sum, strict=True))
    print(f"{len(pairs)} winners of {len(budgets)} searches")
    print(f"measured again: {over} over budget, {maybe} if their interval counts")
    print(f"by the plain sum: {sums} of {len(budgets)} over budget")


def limits(model: LatencyModel, count: int) -> list[float]:
    """Budgets across the range of predicted latencies, from its lowest tenth."""
    least, greatest = model.upper.least, model.upper.greatest
    return [least + (greatest - least) * (0.1 + 0.85 * n / max(1, count - 1)) for n in range(count)]


def one_search(
    config: Config, space: SearchSpace, model: LatencyModel, most: float, folder: Path, lines: Lines
) -> BudgetResult:
    budget = Budget((Limit(model.upper, most),))
    plan = SearchPlan(((NamedBudget(f"{most}", budget), FeasibleSet(space, budget)),), Costs((), model), model.target)
    search = searching(config, space, model, folder / f"{most}.jsonl")

    target, plan_of_first = require_target(config.profile), measurement_plan(config)

    def measure(arch: Architecture, time: int) -> Measurement:
        again = replace(plan_of_first, seed=config.seed + time)
        return measure_network(space, arch, target, again, config.profile.db, Quiet())

    (outcome,) = search_budgets(search, plan, cached({}, measure, lambda *_: None))
    misses = len(outcome.verified.passed_over) if outcome.verified else 0
    lines.say(
        f"budget {most:.4f} ms: {'a winner' if outcome.verified else 'none'} after {misses} misses; load {load()}"
    )
    return outcome


def best_by_sum(config: Config, space: SearchSpace, model: LatencyModel, most: float, folder: Path) -> Architecture:
    feasible = FeasibleSet(space, Budget((Limit(model.uncorrected, max(most, model.uncorrected.least)),)))
    search = searching(config, space, model, folder / f"{most}.jsonl")
    return best_first(search.evolve(feasible))[0].architecture


def searching(config: Config, space: SearchSpace, model: LatencyModel, journal: Path) -> Search:
    given = config.search
    settings = SearchSettings(given.population, given.generations, given.top_k, given.mutation, random_search=False)
    scoring = Scoring(config.seed, Journal(journal, {}, CandidateLine), SyntheticScores(model.uncorrected), Quiet())
    return Search(space, settings, scoring)


def measured_again(
    config: Config, space: SearchSpace, archs: set[Architecture], folder: Path, lines: Lines
) -> dict[Architecture, Measurement]:
    """Export, compile and time the networks again, all in the same rounds."""
    lines.say(f"measure {len(archs)} winners again; load {load()}")
    files = {}
    for number, arch in enumerate(sorted(archs)):
        files[str(arch)] = folder / f"again {number}.onnx"
        export_for_timing(Network(space, arch, STANDALONE), space.input_shape, files[str(arch)])
    target, plan = require_target(config.profile), replace(measurement_plan(config), seed=config.seed + 777)
    timed = time_until_stable(on_target(files, target), plan, config.profile.db, lines, "measure again")
    rounds = [round_ for _, round_ in timed]
    return {
        arch: measurement([r[str(arch)] for r in rounds if str(arch) in r], config.profile.threads) for arch in archs
    }


if __name__ == "__main__":
    main()
