"""Does a score that combines the inherited loss with costs select better networks? On the ground truth, in minutes.

    python benchmarks/cost_features.py --folder supernets [--supernets N]

A search knows more of a candidate than its inherited score: its MACs and parameters. For each supernet (seed), MACs
limit and draw, some networks within the limit are trained alone once (the trainings of `results/ground_truth.csv`,
seed 0), and a ridge regression of their hold-out accuracy on features of a network ranks all others. Regret is the test
accuracy of the best network within the limit minus that of the selected one, both with seed 1, which no selection has
seen.
Compared at the same number of trainings: the best of the trained networks, and finalists of which half have the best
inherited accuracy and half the most MACs, trained once.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random
from statistics import mean, stdev

import numpy as np
from finalists import QUANTILES
from ground_truth import HOLDOUT_PER_CLASS, architectures, read_rows, truth_config
from inherited import inherited_scores
from numpy.typing import NDArray

from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.training.data import load_data
from toolchain.training.torch_setup import prepare_torch

TRUTH = Path(__file__).parent / "results" / "ground_truth.csv"
TRAINED = (4, 8)  # networks that are trained alone for a selection
DRAWS = 20  # random sets of trained networks for each supernet and limit
RIDGE = 0.1  # of standardized features
SELECTING, TRUE = 0, 1  # seeds of the ground truth

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Networks:
    """All networks of the space, in order; `inherited` and `loss` are those of one supernet."""

    macs: Floats
    params: Floats
    trained: Floats
    truth: Floats
    inherited: Floats
    loss: Floats

    def features(self, names: Sequence[str]) -> Floats:
        """(networks, features), standardized; costs as logarithms."""
        columns = [np.log(getattr(self, name)) if name in ("macs", "params") else getattr(self, name) for name in names]
        values = np.stack(columns, axis=1)
        standardized: Floats = (values - values.mean(0)) / values.std(0)
        return standardized


@dataclass(frozen=True)
class Case:
    """A selection among the networks `within` a limit, with `count` trainings."""

    networks: Networks
    within: NDArray[np.int64]
    count: int
    rng: Random

    def best(self, score: Floats, among: Sequence[int] | None = None) -> int:
        return max(self.within if among is None else among, key=lambda number: float(score[number]))

    def draw(self) -> list[int]:
        return self.rng.sample(self.within.tolist(), min(self.count, len(self.within)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="keeps the scores of the supernets")
    parser.add_argument("--supernets", type=int, default=3)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    config = truth_config(0)
    prepare_torch(config)
    space = load_space(config.space)
    data = load_data("fashion-mnist", space, HOLDOUT_PER_CLASS, config.seed)
    known = truth(space)
    supernets = []
    for seed in range(args.supernets):
        scores = inherited_scores(args.folder, space, data, seed, "spos")
        supernets.append(Networks(**known, inherited=scores.correct.mean(1), loss=scores.loss))
    print(f"{space.name}: mean regret in points, standard deviation; {args.supernets} supernets, {DRAWS} draws")
    for count in TRAINED:
        report(supernets, count)


def truth(space: SearchSpace) -> dict[str, Floats]:
    """Costs and accuracies of all networks, from the ground truth."""
    rows = {(row["architecture"], int(row["seed"])): row for row in read_rows(TRUTH)}
    names = [" ".join(arch.choices) for arch in architectures(space)]

    def column(field: str, seed: int) -> Floats:
        return np.array([float(rows[name, seed][field]) for name in names])

    return {
        "macs": column("macs", SELECTING),
        "params": column("params", SELECTING),
        "trained": column("holdout_accuracy", SELECTING),
        "truth": column("test_accuracy", TRUE),
    }


def report(supernets: Sequence[Networks], count: int) -> None:
    methods: dict[str, Callable[[Case], int]] = {
        "inherited accuracy (no training)": lambda case: case.best(case.networks.inherited),
        "inherited loss (no training)": lambda case: case.best(-case.networks.loss),
        "most MACs (no training)": lambda case: case.best(case.networks.macs),
        "best of the trained": lambda case: case.best(case.networks.trained, case.draw()),
        "finalists": finalists,
        "fit: MACs, parameters": lambda case: fitted(case, ("macs", "params")),
        "fit: loss": lambda case: fitted(case, ("loss",)),
        "fit: loss, MACs": lambda case: fitted(case, ("loss", "macs")),
        "fit: loss, MACs, parameters": lambda case: fitted(case, ("loss", "macs", "params")),
    }
    print(f"\n{count} networks trained once")
    for name, select in methods.items():
        regrets = [regret(case, select(case)) for case in cases(supernets, count)]
        print(f"{name:<34} {mean(regrets):6.2f} {stdev(regrets):6.2f}")


def cases(supernets: Sequence[Networks], count: int) -> list[Case]:
    result = []
    for (number, networks), quantile, draw in product(enumerate(supernets), QUANTILES, range(DRAWS)):
        within = np.flatnonzero(networks.macs <= np.quantile(networks.macs, quantile))
        result.append(Case(networks, within, count, Random(f"{number}:{quantile}:{draw}")))
    return result


def regret(case: Case, chosen: int) -> float:
    """In points."""
    truth = case.networks.truth
    return 100 * float(truth[case.within].max() - truth[chosen])


def finalists(case: Case) -> int:
    """The best by one training of those with the best inherited accuracy and those with the most MACs."""
    by_score, by_macs = (
        sorted(case.within.tolist(), key=lambda number: -float(score[number]))
        for score in (case.networks.inherited, case.networks.macs)
    )
    proposals = dict.fromkeys(number for pair in zip(by_score, by_macs, strict=True) for number in pair)
    return case.best(case.networks.trained, list(proposals)[: case.count])


def fitted(case: Case, names: Sequence[str]) -> int:
    """The network with the highest fitted accuracy."""
    drawn = case.draw()
    features, trained = case.networks.features(names), case.networks.trained
    centre, level = features[drawn].mean(0), trained[drawn].mean()
    x, y = features[drawn] - centre, trained[drawn] - level
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(len(names)), x.T @ y)
    return case.best(level + (features - centre) @ weights)


if __name__ == "__main__":
    main()
