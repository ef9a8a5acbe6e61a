"""Is the winner of a search better than what one would have chosen without a search?

    python benchmarks/value.py runs/quick --budget latency_1.3ms --seeds 3

Reads a finished search with one latency budget, and trains alone, with the same recipe and seeds that the search has
not used: its winner; five random networks whose predicted latency is within 5 % of the budget; the uniform networks
that fit (one choice in all blocks); the network with the most MACs in the budget; and, with `--off-the-shelf`, the
widest networks of torchvision that measure within it. Prints test accuracies and the paired difference between the
winner and each rival with its 95 % interval over seeds (Student's t). Results are kept in the run (`value/`), so that
an interrupted benchmark continues.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from random import Random
from statistics import mean, stdev

from lines import Lines
from off_the_shelf import Shelved, off_the_shelf, test_accuracy
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
WINNER, UNIFORM, LARGEST, RANDOM, SHELF = "winner", "uniform", "most MACs", "random", "off shelf"


@dataclass(frozen=True)
class Contender:
    """The winner, or a network that it is compared with.

    Args:
        costs: latency and MACs as text.
        accuracy: test accuracy after training it alone with a seed; a known result is not computed again.
    """

    kind: str
    name: str
    costs: str
    accuracy: Callable[[int], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run folder of a finished search")
    parser.add_argument("--budget", required=True, help="a latency budget of that search: latency_1.3ms")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--random", type=int, default=5, help="number of random networks")
    parser.add_argument("--off-the-shelf", action="store_true", help="also networks of torchvision")
    parser.add_argument("--epochs", type=float, default=None, help="default: those of the run's retrain")
    args = parser.parse_args()
    job, plan, winner = opened(args.run, args.budget, args.epochs)
    contenders = [in_space(WINNER, winner, job, plan), *rivals_of(plan, job, args.random)]
    if args.off_the_shelf:
        contenders += shelved(job, plan)
    task = Lines().start("trainings", args.seeds * len(contenders))
    accuracies: list[list[float]] = [[] for _ in contenders]
    for seed in range(args.seeds):  # seed by seed, so that an early look is balanced
        for contender, results in zip(contenders, accuracies, strict=True):
            results.append(contender.accuracy(FIRST_SEED + seed))
            task.advance()
    report(job, plan, contenders, accuracies)


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


def rivals_of(plan: SearchPlan, job: Job, random: int) -> list[Contender]:
    """All rivals of the space, the random ones drawn by the seed of the run."""
    ((named, feasible),) = plan.budgets
    macs, expected = plan.costs.named("macs"), plan.costs.expected(named.budget)  # as a user would pick, no margin
    networks = [
        *((UNIFORM, arch) for arch in uniform_networks(job.space, macs) if expected.allows(arch)),
        *((LARGEST, arch) for arch in largest_network(job.space, expected, macs)),
        *((RANDOM, arch) for arch in near(named.budget, feasible, random, Random(job.config.seed))),
    ]
    return [in_space(kind, arch, job, plan) for kind, arch in networks]


def in_space(kind: str, arch: Architecture, job: Job, plan: SearchPlan) -> Contender:
    """A network of the space, with its predicted latency."""
    predicted, macs = plan.costs.named("latency_ms"), plan.costs.named("macs").cost(arch)
    costs = f"{predicted.format(predicted.cost(arch)):>10} {macs / 1e6:7.2f}M"
    return Contender(kind, str(arch), costs, lambda seed: retrain(seeded(job, seed), arch).test_accuracy)


def shelved(job: Job, plan: SearchPlan) -> list[Contender]:
    """Networks of torchvision, with their measured latencies."""
    ((named, _),) = plan.budgets
    (limit,) = named.budget.limits

    def contender(one: Shelved) -> Contender:
        costs = f"{limit.cost.format(one.measured.latency_ms):>10} {'':>8}"
        return Contender(SHELF, one.name, costs, lambda seed: test_accuracy(one, seeded(job, seed)))

    return [contender(one) for one in off_the_shelf(job.config, job.space, limit.most, Lines())]


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


def seeded(job: Job, seed: int) -> Job:
    """The job of one seed, in the folder of its recipe."""
    recipe = f"{job.config.retrain.changes.get('epochs', 'recipe')}_epochs"
    return job.seeded(seed, Run(job.run.folder / "value" / recipe / f"seed_{seed}"))


def report(job: Job, plan: SearchPlan, contenders: Sequence[Contender], accuracies: Sequence[Sequence[float]]) -> None:
    ((named, _),) = plan.budgets
    own = accuracies[0]
    print(f"{job.space.name}, {job.data.name}, {named.budget}, {len(own)} seeds, {plan.target.device_model}")
    print(f"{'network':<10} {'latency':>10} {'MACs':>8} {'test':>7}   winner minus this, 95 % interval   network")
    for contender, results in zip(contenders, accuracies, strict=True):
        difference = "" if contender.kind == WINNER else interval(own, results)
        print(f"{contender.kind:<10} {contender.costs} {mean(results):7.2%}   {difference:<32}   {contender.name}")
    for kind in (RANDOM, UNIFORM):
        group = [results for contender, results in zip(contenders, accuracies, strict=True) if contender.kind == kind]
        if group:
            means = [mean(of_seed) for of_seed in zip(*group, strict=True)]
            print(f"mean of {len(group)} {kind} networks: {mean(means):.2%}; winner minus this: {interval(own, means)}")


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
