"""`nastool rank`: does the order of inherited scores hold when networks are trained from scratch?

Networks are drawn from levels of cost, scored as a search scores them, and each is trained by itself. Each result is
kept in the run, so that a killed command goes on, and more networks can be added.
"""

import time
from dataclasses import asdict, dataclass
from random import Random
from statistics import mean, pstdev
from typing import Any

from toolchain.config import Config
from toolchain.costs.core import TableCost
from toolchain.costs.counters import bitops_cost, macs_cost
from toolchain.counting.levels import CostLevels
from toolchain.errors import BadConfig
from toolchain.nets.supernet import Supernet
from toolchain.progress import Progress
from toolchain.ranking.agreement import agreement
from toolchain.ranking.batch_statistics import SharedStatistics, accuracies
from toolchain.runs import Run
from toolchain.search.evaluate import Evaluator
from toolchain.search.journal import Journal
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.data import Data
from toolchain.training.recipe import load_recipe
from toolchain.training.stages import load_supernet, retrain, scoring_threads

LEAST_NETWORKS = 4  # an order of fewer says nothing
TRIES = 1000  # draws a network


@dataclass(frozen=True)
class Inherited:
    """Scores of the supernet's weights, and how long all networks took together."""

    recalibrated: list[float]
    unrecalibrated: list[float]
    recalibrated_s: float
    unrecalibrated_s: float


def check_request(networks: int, repeats: int, space: SearchSpace) -> None:
    """Refuse what can't be done, before any work.

    Raises:
        BadConfig: too few networks, or more than the space has; no repeat.
    """
    if networks < LEAST_NETWORKS:
        raise BadConfig(f"--networks {networks} is too few for an order. Write --networks {LEAST_NETWORKS} or more")
    if networks > space.size:
        raise BadConfig(f"{space.name} has {space.size} architectures. Write --networks {space.size} or fewer")
    if repeats < 1:
        raise BadConfig(f"--repeats {repeats} trains nothing. Write --repeats 1 or more")


def rank(
    config: Config, space: SearchSpace, networks: int, repeats: int, data: Data, run: Run, progress: Progress
) -> dict[str, Any]:
    """Score and retrain `networks` networks, each `repeats` times with another seed.

    Returns:
        what the command answers: tau with intervals, each network's figures, seconds.

    Raises:
        MissingStage, BadCheckpoint: no supernet, or an earlier ranking with other settings.
        BadData, RunFolderError, CheckFailed: see `stages.retrain`.
    """
    supernet = load_supernet(config, space, data, run, progress)
    cost = bitops_cost(space) if space.quantized else macs_cost(space)
    archs = sample(space, cost, networks, config.seed)
    inherited = _inherited(config, supernet, archs, data)
    alone, seconds = _alone(config, space, archs, repeats, data, run, progress)
    together = [mean(accuracies) for accuracies in alone]
    costs = [float(cost.cost(arch)) for arch in archs]
    compared = {
        "inherited_and_alone": (inherited.recalibrated, together),
        "unrecalibrated_and_alone": (inherited.unrecalibrated, together),
        "inherited_and_unrecalibrated": (inherited.recalibrated, inherited.unrecalibrated),
        f"{cost.name}_and_alone": (costs, together),
    }
    if repeats > 1:
        compared["first_and_second_repeat"] = ([a[0] for a in alone], [a[1] for a in alone])
    return {
        "space": space.name,
        "data": data.name,
        "cost": cost.name,
        "tau": {name: asdict(agreement(*pair, config.seed)) for name, pair in compared.items()},
        "spread": {"inherited": _spread(inherited.recalibrated), "alone": _spread(together)},
        "seconds": {
            "inherited": inherited.recalibrated_s,
            "unrecalibrated": inherited.unrecalibrated_s,
            "alone": seconds,
        },
        "networks": [
            {
                "architecture": list(arch.choices),
                cost.name: int(cost.cost(arch)),
                "inherited": inherited.recalibrated[number],
                "unrecalibrated": inherited.unrecalibrated[number],
                "alone": alone[number],
            }
            for number, arch in enumerate(archs)
        ],
    }


def sample(space: SearchSpace, cost: TableCost, networks: int, seed: int) -> list[Architecture]:
    """One network from each of `networks` levels of cost, from the least to the greatest; cheapest first.

    Uniform draws lie close together in the middle of a space. Where a level is empty, another one gives two.
    """
    width = (cost.greatest - cost.least) / networks
    edges = [*(cost.least + width * level for level in range(networks)), cost.greatest]
    levels = CostLevels.build(space, cost, edges=edges)
    rng = Random(f"{seed}:{networks}")
    found: set[Architecture] = set()
    filled: set[int] = set()
    for _ in range(networks * TRIES):
        if len(found) == networks:
            break
        arch = levels.draw(rng)
        level = next(number for number, bin_ in enumerate(levels.bins) if bin_.contains(cost.cost(arch)))
        if level not in filled or len(filled) == len(levels.bins):
            filled.add(level)
            found.add(arch)
    return sorted(found, key=lambda arch: (cost.cost(arch), str(arch)))


def _inherited(config: Config, supernet: Supernet, archs: list[Architecture], data: Data) -> Inherited:
    wanted, threads = config.search, scoring_threads(config)
    evaluator = Evaluator(supernet, data, wanted.bn_images, wanted.batch, config.seed, config.workers, threads)
    began = time.monotonic()
    recalibrated = [score.accuracy for score in evaluator.many(archs)]
    between = time.monotonic()
    shared = SharedStatistics(supernet, (x for x, _ in evaluator.recalibration_inputs()), config.seed)
    unrecalibrated = accuracies(supernet, archs, shared, evaluator.holdout_inputs())
    return Inherited(recalibrated, unrecalibrated, between - began, time.monotonic() - between)


def _alone(
    config: Config,
    space: SearchSpace,
    archs: list[Architecture],
    repeats: int,
    data: Data,
    run: Run,
    progress: Progress,
) -> tuple[list[list[float]], float]:
    """Test accuracies of each network after each of its trainings, and the seconds of all of them.

    They don't depend on the supernet: another one, trained in the same run, is compared with the same networks.
    Of a training that was killed, the seconds are those since it went on.
    """
    belongs = {
        "space_digest": space.digest,
        "data_digest": data.digest,
        "test_images": data.digests.test,
        "holdout_per_class": config.holdout_per_class,
        "seed": config.seed,
        "recipe": load_recipe(config.retrain.recipe, "retrain", config.retrain.changes).model_dump(),
    }
    journal = Journal(run.ranked, belongs)
    known = {(tuple(line["architecture"]), line["repeat"]): line for line in journal.lines}
    task = progress.start("rank: networks trained", len(archs) * repeats)
    found: list[list[float]] = []
    seconds = 0.0
    for arch in archs:
        accuracies_of = []
        for repeat in range(repeats):
            if (arch.choices, repeat) not in known:
                began = time.monotonic()
                seeded = config.model_copy(update={"seed": config.seed + repeat})
                result = retrain(seeded, space, arch, data, run.repeat(repeat), progress)
                line = {
                    "architecture": list(arch.choices),
                    "repeat": repeat,
                    "accuracy": result["test_accuracy"],
                    "seconds": round(time.monotonic() - began, 3),
                }
                journal.append(line)
                known[arch.choices, repeat] = line
            accuracies_of.append(float(known[arch.choices, repeat]["accuracy"]))
            seconds += known[arch.choices, repeat]["seconds"]
            task.advance(note=f"test accuracy {accuracies_of[-1]:.2%}")
        found.append(accuracies_of)
    return found, seconds


def _spread(accuracies_of: list[float]) -> dict[str, float]:
    return {
        "least": min(accuracies_of),
        "greatest": max(accuracies_of),
        "standard_deviation": pstdev(accuracies_of),
    }
