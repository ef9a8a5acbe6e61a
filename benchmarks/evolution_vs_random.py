"""Compare evolution with random search on a channel space, with equal numbers of evaluations (paper Fig. 3).

    python benchmarks/evolution_vs_random.py --seeds 5

One supernet is trained on Fashion-MNIST; its space has eight widths per block, so that architectures differ clearly.
Each search selects its winner by the hold-out. Winners are then compared by inherited accuracy on training images
that neither training nor search has used, since the best of many scores on one set is too high.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import mean, stdev
from tempfile import TemporaryDirectory

from toolchain.config import Config, parse_config, preset_text
from toolchain.costs.core import Budget, Limit
from toolchain.costs.counters import macs_cost
from toolchain.counting.feasible import FeasibleSet
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.generations import Scoring, run_strategy
from toolchain.search.journal import Journal
from toolchain.search.scores import CandidateLine
from toolchain.search.strategies import Evolution, RandomSearch, Scored, Strategy, best_first
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.training.data import Data, configured_data
from toolchain.training.job import Job
from toolchain.training.supernet_training import train_supernet
from toolchain.training.torch_setup import prepare_torch
from toolchain.training.trained_supernet import load_supernet

SPACE = "shufflenet_v2_quick:ops=choice_3,widths=0.2-0.4-0.6-0.8-1.0-1.2-1.4-1.6,round_to=1"
JUDGE_PER_CLASS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default=SPACE)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--population", type=int, default=20)
    parser.add_argument("--generations", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.5, help="MACs limit: this share of the space's range")
    parser.add_argument("--holdout-per-class", type=int, default=100)
    args = parser.parse_args()
    config = parse_config(
        preset_text("quick"),
        {
            "space": args.space,
            "data": "fashion-mnist",
            "train.changes": {"epochs": args.epochs},
            "holdout_per_class": args.holdout_per_class,
        },
        "the benchmark",
    )
    prepare_torch(config)
    space = load_space(config.space)
    data, judged = set_apart(configured_data(config, space))
    with TemporaryDirectory() as folder:
        run = Run(Path(folder))
        job = Job(config, space, data, run, Quiet())
        train_supernet(job)
        supernet = load_supernet(job)
        macs = macs_cost(space)
        budget = Budget((Limit(macs, int(macs.least + args.share * (macs.greatest - macs.least))),))
        settings = ScoringSettings(config.search.bn_images, config.search.batch, config.seed)
        evaluate, judge = Evaluator(supernet, data, settings), Evaluator(supernet, judged, settings)
        journal = Journal(run.candidates, {}, CandidateLine)
        print(f"{space.name}, {budget}, {args.population} x {args.generations} evaluations each")
        gains = []
        for seed in range(args.seeds):
            results = {
                strategy.name: run_strategy(
                    strategy, range(args.generations), Scoring(seed, journal, evaluate, Quiet())
                )
                for strategy in strategies(config, space, budget, args.population)
            }
            winners = {name: best_first(scored)[0] for name, scored in results.items()}
            accuracies = {name: judge(winner.architecture) for name, winner in winners.items()}
            gains.append(accuracies["evolution"] - accuracies["random"])
            print(f"seed {seed}  " + "  ".join(line(name, winners[name], accuracies[name]) for name in results))
    spread = f", standard deviation {stdev(gains):.2%}" if len(gains) > 1 else ""
    print(
        f"evolution minus random, on images that no search saw: mean {mean(gains):+.2%} of {len(gains)} seeds{spread}"
    )


def strategies(config: Config, space: SearchSpace, budget: Budget, population: int) -> list[Strategy]:
    feasible = FeasibleSet(space, budget)
    top_k = max(2, population // 5)  # the paper's 10 of 50
    return [
        Evolution(feasible, population, top_k, config.search.mutation),
        RandomSearch(feasible, population),
    ]


def set_apart(data: Data) -> tuple[Data, Data]:
    """Remove some training images from `data`; return the rest, and the same data with these images as the hold-out."""
    order = list(data.fit)
    Random(0).shuffle(order)
    apart: list[int] = []
    for label in range(len(data.classes)):
        apart += [i for i in order if int(data.train.labels[i]) == label][:JUDGE_PER_CLASS]
    rest = tuple(sorted(set(data.fit) - set(apart)))
    return replace(data, fit=rest), replace(data, fit=rest, holdout=tuple(sorted(apart)))


def line(name: str, winner: Scored, judged: float) -> str:
    return f"{name}: hold-out {winner.accuracy:.2%}, unseen {judged:.2%}"


if __name__ == "__main__":
    main()
