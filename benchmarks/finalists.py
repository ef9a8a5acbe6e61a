"""What finalists cost and gain, on a ground truth: regret at equal CPU seconds, and how often their statements hold.

    python benchmarks/ground_truth.py --folder truth
    python benchmarks/finalists.py --folder truth

For several supernets (seeds), budgets and random parts of the hold-out, a network is selected by each method among
those within a MACs limit: by inherited accuracy (the paper), by MACs alone, by training random networks, and by
finalists of which half are proposed by the supernet. Trainings are those of the ground truth. Regret is the true
accuracy of the best network within the limit minus that of the selected one, in points; the truth is the mean test
accuracy over all seeds. A statement "the winner is better than the runner-up" is true if the truth agrees.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import Random
from statistics import mean, stdev

import ground_truth
import numpy as np
from ground_truth import architectures, flags_file, read_rows, truth_config
from inherited import Inherited, inherited_scores
from numpy.typing import NDArray

from toolchain.costs.counters import macs_cost
from toolchain.search.finalists.halving import CONFIDENCE, Result, Training, halve
from toolchain.search.scores import Flags
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.data import load_data
from toolchain.training.strategies import NAMES
from toolchain.training.torch_setup import prepare_torch

HOLDOUTS = (500, 2000, 10_000)  # images
QUANTILES = (0.25, 0.5, 0.75)  # of the MACs of all networks: the limits
REPEATS = 10  # random parts of the hold-out for each supernet and limit


@dataclass(frozen=True)
class Truth:
    """The ground truth of all networks.

    Args:
        holdout: (networks, seeds, images), whether each image was classified correctly.
        accuracy: (networks,), test accuracy, mean of all seeds.
        seconds: CPU seconds of one training, on average.
    """

    networks: list[Architecture]
    macs: list[float]
    holdout: Flags
    accuracy: NDArray[np.float64]
    seconds: float

    @property
    def seeds(self) -> int:
        return len(self.holdout[0])


@dataclass(frozen=True)
class Case:
    """One selection: the networks within a limit, and the images to select by."""

    truth: Truth
    supernet: Inherited
    within: list[int]
    images: NDArray[np.int64]
    rng: Random

    def regret(self, chosen: int) -> float:
        """In points."""
        best = self.truth.accuracy[self.within].max()
        return 100 * float(best - self.truth.accuracy[chosen])

    def train(self, number: int, repeat: int) -> Training:
        """A training of the ground truth; it takes the seconds of an average one."""
        return Training(self.truth.holdout[number, repeat, self.images], self.truth.seconds)

    def by_supernet(self) -> list[int]:
        """Networks within the limit by inherited accuracy, best first."""
        return sorted(self.within, key=lambda number: -float(self.supernet.correct[number, self.images].mean()))

    def by_macs(self) -> list[int]:
        macs: list[float] = self.truth.macs
        return sorted(self.within, key=lambda number: -macs[number])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of ground_truth.py")
    parser.add_argument("--supernets", type=int, default=2)
    parser.add_argument("--strategy", choices=NAMES, default="spos")
    args = parser.parse_args()
    config = truth_config(0)
    prepare_torch(config)
    space = load_space(config.space)
    data = load_data("fashion-mnist", space, ground_truth.HOLDOUT_PER_CLASS, config.seed)
    truth = load_truth(args.folder, space)
    supernets = [inherited_scores(args.folder, space, data, seed, args.strategy) for seed in range(args.supernets)]
    print(f"{space.name}: {len(truth.networks)} networks, {truth.seeds} seeds, {truth.seconds:.0f} CPU s a training")
    print(
        f"{args.supernets} {args.strategy} supernets, {mean(s.seconds for s in supernets):.0f} CPU s each with scores"
    )
    for images in HOLDOUTS:
        report(truth, supernets, images)


def load_truth(folder: Path, space: SearchSpace) -> Truth:
    """The ground truth, with the seeds for which all networks are trained."""
    rows = read_rows(folder / "networks.csv")
    done = {(row["architecture"], int(row["seed"])) for row in rows}
    networks = architectures(space)
    seeds = [seed for seed in range(100) if all((" ".join(n.choices), seed) in done for n in networks)]
    flags = [[np.load(flags_file(folder / "flags", n, seed)) for seed in seeds] for n in networks]
    holdout = np.array([[np.unpackbits(each["holdout"]) for each in row] for row in flags]).astype(np.bool_)
    accuracy = np.array([[np.unpackbits(each["test"]).mean() for each in row] for row in flags]).mean(1)
    macs = macs_cost(space)
    seconds = float(np.median([float(row["cpu_seconds"]) for row in rows]))
    return Truth(networks, [macs.cost(n) for n in networks], holdout, accuracy, seconds)


def report(truth: Truth, supernets: Sequence[Inherited], images: int) -> None:
    """Regret and CPU seconds of each method, and how often the statements of finalists hold."""
    print(f"\nselection by {images:,} hold-out images: mean regret in points, standard deviation, CPU seconds")
    statements: list[bool] = []
    methods: dict[str, Callable[[Case], tuple[int, float]]] = {
        "inherited accuracy (the paper)": lambda case: (case.by_supernet()[0], case.supernet.seconds),
        "most MACs": lambda case: (case.by_macs()[0], 0.0),
        "4 finalists": lambda case: finalists(case, 4, statements),
        "8 finalists": lambda case: finalists(case, 8, statements),
        "8 random networks, trained once": lambda case: random_networks(case, 8),
        "16 random networks, trained once": lambda case: random_networks(case, 16),
    }
    all_cases = list(cases(truth, supernets, images))
    for name, select in methods.items():
        selected = [(case.regret(chosen), seconds) for case in all_cases for chosen, seconds in [select(case)]]
        regrets, seconds = zip(*selected, strict=True)
        print(f"{name:<34} {mean(regrets):6.2f} {stdev(regrets):6.2f} {mean(seconds):8.0f}")
    print(
        f"statements at {CONFIDENCE:.0%}: {len(statements)} of {2 * len(all_cases)} selections, {sum(statements)} true"
    )


def cases(truth: Truth, supernets: Sequence[Inherited], images: int) -> list[Case]:
    result = []
    for number, supernet in enumerate(supernets):
        for quantile in QUANTILES:
            limit = float(np.quantile(truth.macs, quantile))
            within = [i for i, macs in enumerate(truth.macs) if macs <= limit]
            for repeat in range(REPEATS):
                rng = Random(f"{number}:{quantile}:{repeat}")
                chosen = np.array(rng.sample(range(truth.holdout.shape[2]), images))
                result.append(Case(truth, supernet, within, chosen, rng))
    return result


def finalists(case: Case, count: int, statements: list[bool]) -> tuple[int, float]:
    """Half by inherited accuracy and half by MACs, as `nastool search --finalists` does; at most one round per seed."""
    pairs = zip(case.by_supernet(), case.by_macs(), strict=True)
    proposals = list(dict.fromkeys(number for pair in pairs for number in pair))[:count]
    seeds = case.rng.sample(range(case.truth.seeds), case.truth.seeds)

    def train(number: int, repeat: int) -> Training:
        return case.train(number, seeds[repeat])

    result: Result[int] = halve(proposals, train, inf, most_rounds=case.truth.seeds)
    leader = result.remaining[0].network
    if result.separated:
        runner_up = result.remaining[1].network
        statements.append(bool(case.truth.accuracy[leader] > case.truth.accuracy[runner_up]))
    return leader, case.supernet.seconds + result.seconds


def random_networks(case: Case, count: int) -> tuple[int, float]:
    """The best of `count` random networks by one training each."""
    drawn = case.rng.sample(case.within, min(count, len(case.within)))
    best = max(drawn, key=lambda number: float(case.train(number, 0).correct.mean()))
    return best, len(drawn) * case.truth.seconds


if __name__ == "__main__":
    main()
