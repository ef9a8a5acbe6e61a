"""Is the winner of a search better than what one would have chosen without a search?

    python benchmarks/value.py runs/quick --budget latency_1.3ms --seeds 3

Reads a finished search with one latency budget, and trains alone, with the same recipe and seeds that the search has
not used: its winner; five random networks whose predicted latency is within 5 % of the budget; the uniform networks
that fit (one choice in all blocks); and the network with the most MACs in the budget. Prints test accuracies and the
paired difference between the winner and each rival with its 95 % interval over seeds (Student's t). Results are kept
in the run (`value/`), so that an interrupted benchmark continues.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from random import Random
from statistics import mean, stdev

from lines import Lines
from scipy.stats import t as student

from toolchain.config import parse_config
from toolchain.costs.core import Budget
from toolchain.counting.feasible import FeasibleSet
from toolchain.nets.checked_space import configured_space
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.search.finalists.decide import with_epochs
from toolchain.search.finalists.proposals import largest_network, uniform_networks
from toolchain.search.plan import SearchPlan, plan_search
from toolchain.search.winner import Winner, read_winner
from toolchain.spaces.core import Architecture
from toolchain.training.data import configured_data
from toolchain.training.job import Job
from toolchain.training.retraining import retrain
from toolchain.training.torch_setup import prepare_torch

FIRST_SEED = 1000  # beyond those of the search and its finalists
NEAR = 0.95  # of the budget, for random networks
TRIES = 100_000
UNIFORM, LARGEST, RANDOM = "uniform", "most MACs", "random"


@dataclass(frozen=True)
class Rival:
    """A network that the winner is compared with."""

    kind: str
    architecture: Architecture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run folder of a finished search")
    parser.add_argument("--budget", required=True, help="a latency budget of that search: latency_1.3ms")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--random", type=int, default=5, help="number of random networks")
    parser.add_argument("--epochs", type=float, default=None, help="default: those of the run's retrain")
    args = parser.parse_args()
    job, plan, winner = opened(args.run, args.budget, args.epochs)
    rivals = rivals_of(plan, job, args.random)
    lines = Lines()
    task = lines.start("trainings", args.seeds * (1 + len(rivals)))
    own: list[float] = []
    theirs: list[list[float]] = [[] for _ in rivals]
    for seed in range(args.seeds):  # seed by seed, so that an early look is balanced
        for network, accuracies in ((winner, own), *zip((r.architecture for r in rivals), theirs, strict=True)):
            accuracies.append(accuracy(job, network, FIRST_SEED + seed))
            task.advance()
    report(job, plan, winner, own, rivals, theirs)


def opened(folder: Path, budget: str, epochs: float | None) -> tuple[Job, SearchPlan, Architecture]:
    """The run with the configuration of its search, the plan of that budget, and its winner."""
    path = folder / "config.toml"
    config = with_epochs(parse_config(path.read_text(), {"runs": str(folder.parent)}, str(path)), epochs)
    space = configured_space(config)
    best: Winner = read_winner(Run(folder).budget(budget) / "best.json", space)
    limits = {"search.latency": [f"{best.limits['latency_ms']}ms"]}
    config = parse_config(config.as_toml(), limits, str(path))
    prepare_torch(config)
    job = Job(config, space, configured_data(config, space), Run(folder), Quiet())
    return job, plan_search(config, space), space.architecture(best.architecture)


def rivals_of(plan: SearchPlan, job: Job, random: int) -> list[Rival]:
    """All rivals, the random ones drawn by the seed of the run."""
    ((named, feasible),) = plan.budgets
    macs = plan.costs.named("macs")
    uniform = [arch for arch in uniform_networks(job.space, macs) if named.budget.allows(arch)]
    return [
        *(Rival(UNIFORM, arch) for arch in uniform),
        *(Rival(LARGEST, arch) for arch in largest_network(job.space, named.budget, macs)),
        *(Rival(RANDOM, arch) for arch in near(named.budget, feasible, random, Random(job.config.seed))),
    ]


def near(budget: Budget, feasible: FeasibleSet, count: int, rng: Random) -> list[Architecture]:
    """Random architectures within the budget, and within 5 % of it."""
    (limit,) = budget.limits
    drawn: dict[Architecture, None] = {}
    for _ in range(TRIES):
        if len(drawn) == count:
            break
        arch = feasible.draw(rng)
        if limit.cost.cost(arch) >= NEAR * limit.most:
            drawn.setdefault(arch)
    return list(drawn)


def accuracy(job: Job, arch: Architecture, seed: int) -> float:
    """Test accuracy after training `arch` alone; a known result is not computed again."""
    recipe = f"{job.config.retrain.changes.get('epochs', 'recipe')}_epochs"
    run = Run(job.run.folder / "value" / recipe / f"seed_{seed}")
    return retrain(job.seeded(seed, run), arch).test_accuracy


def report(
    job: Job,
    plan: SearchPlan,
    winner: Architecture,
    own: Sequence[float],
    rivals: Sequence[Rival],
    theirs: Sequence[Sequence[float]],
) -> None:
    ((named, _),) = plan.budgets
    print(f"{job.space.name}, {job.data.name}, {named.budget}, {len(own)} seeds, {plan.target.device_model}")
    print(
        f"{'network':<10} {'predicted':>10} {'MACs':>8} {'test':>7}   winner minus this, 95 % interval   architecture"
    )
    print(f"{'winner':<10} {costs(plan, winner)} {mean(own):7.2%}   {'':<32}   {winner}")
    for rival, accuracies in zip(rivals, theirs, strict=True):
        figures = f"{costs(plan, rival.architecture)} {mean(accuracies):7.2%}   {interval(own, accuracies):<32}"
        print(f"{rival.kind:<10} {figures}   {rival.architecture}")
    for kind in (RANDOM, UNIFORM):
        group = [accuracies for rival, accuracies in zip(rivals, theirs, strict=True) if rival.kind == kind]
        if group:
            means = [mean(of_seed) for of_seed in zip(*group, strict=True)]
            print(f"mean of {len(group)} {kind} networks: {mean(means):.2%}; winner minus this: {interval(own, means)}")


def costs(plan: SearchPlan, arch: Architecture) -> str:
    predicted = plan.costs.named("latency_ms")
    return f"{predicted.format(predicted.cost(arch)):>10} {plan.costs.named('macs').cost(arch) / 1e6:7.2f}M"


def interval(own: Sequence[float], other: Sequence[float]) -> str:
    """The mean paired difference in points, with its 95 % interval."""
    differences = [a - b for a, b in zip(own, other, strict=True)]
    if len(differences) < 2:
        return f"{100 * differences[0]:+.2f}"
    width = student.ppf(0.975, len(differences) - 1) * stdev(differences) / sqrt(len(differences))
    middle = mean(differences)
    return f"{100 * middle:+.2f} ({100 * (middle - width):+.2f} to {100 * (middle + width):+.2f})"


if __name__ == "__main__":
    main()
