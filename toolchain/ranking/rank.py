"""`nastool rank`: does the order of inherited accuracies hold for networks that are trained from scratch?

Networks are drawn from levels of cost, scored as in a search, and trained alone. Each result is kept in the run, so a
killed command resumes, and more networks can be added later.
"""

import shutil
import time
from dataclasses import dataclass
from random import Random
from statistics import mean

from pydantic import JsonValue

from toolchain.costs.core import TableCost
from toolchain.costs.counters import bitops_cost, default_cost, macs_cost, params_cost
from toolchain.counting.levels import CostLevels
from toolchain.errors import BadConfig
from toolchain.nets.supernet import Supernet
from toolchain.ranking.batch_statistics import SharedStatistics, accuracies
from toolchain.ranking.correlations import ScoreTable, band_correlations, correlations
from toolchain.ranking.results import Durations, RankedNetwork, RankResult, TrainedLine, spread_of
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.journal import Journal
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.fingerprint import bn_processes
from toolchain.training.job import Job
from toolchain.training.recipe import Recipe, load_recipe
from toolchain.training.retraining import retrain
from toolchain.training.stored_fingerprint import Fingerprint
from toolchain.training.torch_setup import scoring_threads
from toolchain.training.trained_supernet import load_supernet

MIN_NETWORKS = 4  # an order of fewer networks is meaningless
TRIES = 1000  # draws for each network


class RankFingerprint(Fingerprint):
    """What the trainings of a ranking depend on."""

    space_digest: str
    data_digest: str
    test_images: str
    holdout_per_class: int | str
    seed: int
    recipe: Recipe
    bn_processes: int | None = None

    def stored(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True)
class Inherited:
    """Scores with the weights of the supernet, and the seconds for all networks together."""

    recalibrated: list[float]
    losses: list[float]
    batch_statistics: list[float]
    recalibrated_s: float
    batch_statistics_s: float


def check_request(networks: int, repeats: int, space: SearchSpace) -> None:
    """Check the arguments before any work.

    Raises:
        BadConfig: too few networks, or more than the space has; no repeat.
    """
    if networks < MIN_NETWORKS:
        raise BadConfig(f"--networks {networks} is too few for an order. Write --networks {MIN_NETWORKS} or more")
    if networks > space.size:
        raise BadConfig(f"{space.name} has {space.size:,} architectures. Write --networks {space.size} or fewer")
    if repeats < 1:
        raise BadConfig(f"--repeats {repeats} trains nothing. Write --repeats 1 or more")


def rank(job: Job, networks: int, repeats: int) -> RankResult:
    """Score `networks` networks, and train each `repeats` times with different seeds.

    Raises:
        MissingStage, BadCheckpoint: there is no supernet, or an earlier ranking has other settings.
        BadData, RunFolderError, CheckFailed: see `retraining.retrain`.
    """
    supernet = load_supernet(job)
    cost = default_cost(job.space)
    archs = sample(job.space, cost, networks, job.config.seed)
    inherited = _inherited(job, supernet, archs)
    trained = _train(job, archs, repeats)
    return _result(job, cost, inherited, trained)


def sample(space: SearchSpace, cost: TableCost, networks: int, seed: int) -> list[Architecture]:
    """One network from each of `networks` levels of cost, cheapest first.

    Uniform draws would concentrate in the middle of the space. If a level is empty, another one yields two networks.
    """
    width = (cost.greatest - cost.least) / networks
    edges = [*(cost.least + width * level for level in range(networks)), cost.greatest]
    levels = CostLevels.build(space, cost, edges=edges)
    rng = Random(f"{seed}:{networks}")
    drawn: set[Architecture] = set()
    filled: set[int] = set()
    for _ in range(networks * TRIES):
        if len(drawn) == networks:
            break
        arch = levels.draw(rng)
        level = next(number for number, bin_ in enumerate(levels.bins) if bin_.contains(cost.cost(arch)))
        if level not in filled or len(filled) == len(levels.bins):
            filled.add(level)
            drawn.add(arch)
    return sorted(drawn, key=lambda arch: (cost.cost(arch), str(arch)))


def _inherited(job: Job, supernet: Supernet, archs: list[Architecture]) -> Inherited:
    config, search = job.config, job.config.search
    settings = ScoringSettings(search.bn_images, search.batch, config.seed, config.workers, scoring_threads(config))
    evaluator = Evaluator(supernet, job.data, settings)
    began = time.monotonic()
    scores = evaluator.many(archs)
    between = time.monotonic()
    shared = SharedStatistics(supernet, (x for x, _ in evaluator.recalibration_inputs()), config.seed)
    batch_statistics = accuracies(supernet, archs, shared, evaluator.holdout_inputs())
    recalibrated = [score.accuracy for score in scores]
    losses = [score.loss for score in scores if score.loss is not None]
    return Inherited(recalibrated, losses, batch_statistics, between - began, time.monotonic() - between)


def _train(job: Job, archs: list[Architecture], repeats: int) -> dict[Architecture, list[TrainedLine]]:
    """The trainings of each network.

    They do not depend on the supernet, so another supernet in the same run is compared with the same networks. If a
    training was killed, its seconds count from where it resumed.
    """
    journal = _open_journal(job)
    known = {(line.architecture, line.repeat): line for line in journal.lines}
    task = job.progress.start("rank: networks trained", len(archs) * repeats)
    trained: dict[Architecture, list[TrainedLine]] = {arch: [] for arch in archs}
    for arch in archs:
        for repeat in range(repeats):
            line = known.get((arch.choices, repeat))
            if line is None:
                line = _train_once(job, arch, repeat)
                journal.append(line)
            trained[arch].append(line)
            task.advance(note=f"test accuracy {line.accuracy:.2%}")
    return trained


def _open_journal(job: Job) -> Journal[TrainedLine]:
    config, run = job.config, job.run
    fingerprint = RankFingerprint(
        space_digest=job.space.digest,
        data_digest=job.data.digest,
        test_images=job.data.digests.test,
        holdout_per_class=config.holdout_per_class,
        seed=config.seed,
        recipe=load_recipe(config.retrain.recipe, "retrain", config.retrain.changes),
        bn_processes=bn_processes(config.retrain),
    )
    journal = Journal(run.ranked, fingerprint.stored(), TrainedLine, job.space)
    if journal.restarted:  # a training that ended without a result may have other settings
        for folder in run.ranked.parent.glob("repeat_*"):
            shutil.rmtree(folder, ignore_errors=True)
    return journal


def _train_once(job: Job, arch: Architecture, repeat: int) -> TrainedLine:
    began = time.monotonic()
    accuracy = retrain(job.of_repeat(repeat).from_scratch(), arch).test_accuracy
    seconds = round(time.monotonic() - began, 3)
    return TrainedLine(architecture=arch.choices, repeat=repeat, accuracy=accuracy, seconds=seconds)


def _result(
    job: Job, cost: TableCost, inherited: Inherited, trained: dict[Architecture, list[TrainedLine]]
) -> RankResult:
    costs = {cost.name: [int(cost.cost(arch)) for arch in trained] for cost in _costs(job.space)}
    table = ScoreTable(
        inherited.recalibrated,
        inherited.losses,
        inherited.batch_statistics,
        costs,
        [[line.accuracy for line in lines] for lines in trained.values()],
    )
    standalone = [mean(accuracies) for accuracies in table.standalone]
    return RankResult(
        space=job.space.name,
        data=job.data.name,
        cost=cost.name,
        tau=correlations(table, job.config.seed),
        within=band_correlations(table, cost.name, job.config.seed),
        spread={"inherited": spread_of(inherited.recalibrated), "standalone": spread_of(standalone)},
        seconds=Durations(
            inherited=inherited.recalibrated_s,
            batch_statistics=inherited.batch_statistics_s,
            standalone=sum(line.seconds for lines in trained.values() for line in lines),
        ),
        networks=tuple(
            RankedNetwork(
                architecture=arch.choices,
                **{name: values[number] for name, values in costs.items()},
                inherited=inherited.recalibrated[number],
                loss=inherited.losses[number],
                batch_statistics=inherited.batch_statistics[number],
                standalone=tuple(table.standalone[number]),
            )
            for number, arch in enumerate(trained)
        ),
    )


def _costs(space: SearchSpace) -> tuple[TableCost, ...]:
    """The costs that are compared with stand-alone accuracy."""
    counted = (macs_cost(space), params_cost(space))
    return (*counted, bitops_cost(space)) if space.quantized else counted
