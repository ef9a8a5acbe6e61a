"""Train the supernet of a run."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import cast

import torch

from toolchain.errors import BadConfig
from toolchain.files import write_document
from toolchain.nets.blocks import SUPERNET, shared_by
from toolchain.nets.network import initialize
from toolchain.nets.start_weights import load_start
from toolchain.nets.supernet import Supernet
from toolchain.nets.weight_files import read_weights
from toolchain.parallel.collectives import from_first
from toolchain.parallel.ranks import rank, world
from toolchain.training.architecture_training import ArchitectureSettings, ArchitectureTraining, split_images
from toolchain.training.batches import mix
from toolchain.training.fingerprint import supernet_fingerprint
from toolchain.training.holdout_scores import HoldoutScores, read_scores
from toolchain.training.job import Job
from toolchain.training.learned import LearnedArchitecture, most_probable
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.more_epochs import added_epochs
from toolchain.training.passes import PlanStep, through
from toolchain.training.path_scores import supernet_watch
from toolchain.training.paths import path_sampler
from toolchain.training.precision import compute_device
from toolchain.training.recipe import Recipe, load_recipe
from toolchain.training.rivals import RivalName, is_rival
from toolchain.training.rivals.configured import cost_in_loss, rival_of
from toolchain.training.sampled_range import sampled_range
from toolchain.training.strategies import StrategyName, TrainingStrategy, training_strategy
from toolchain.training.taylor import sorted_by_taylor
from toolchain.training.torch_setup import place_for_training


@dataclass(frozen=True)
class Trained:
    """The result of supernet training; each step trained so many paths.

    Args:
        learned: the architecture that a rival with architecture parameters ended with.
        scores: hold-out accuracy of fixed paths along the training.
    """

    checkpoint: Path
    steps: int
    paths_per_step: int
    scores: HoldoutScores | None = None
    learned: LearnedArchitecture | None = None


def train_supernet(job: Job, more_epochs: float | None = None) -> Trained:
    """Train the supernet, by default one sampled path per step (paper Eq. 7), and write its checkpoint.

    Args:
        more_epochs: added to a supernet whose training has ended; ignored where it has not.

    Raises:
        BadCheckpoint, BadData, RunFolderError: see `loop.train`; or the weights to start from do not fit.
        MissingStage: epochs are added, and there is no supernet.
    """
    training, checkpoint = job.config.train, job.run.supernet
    recipe = load_recipe(training.recipe, "supernet", training.changes)
    job.tracker.settings("train.recipe", recipe.model_dump())
    supernet, fingerprint = initial_supernet(job), supernet_fingerprint(job)
    settings = TrainingSettings.of(
        job,
        training,
        "train supernet",
        checkpoint=checkpoint,
        fingerprint=fingerprint.stored(),
        curves=partial(job.tracker.training, "supernet", "supernet"),
    )
    if is_rival(training.strategy):
        if more_epochs is not None:
            raise BadConfig(
                f"--more-epochs does not continue the strategy {training.strategy}. Train with more --epochs"
            )
        return _train_rival(job, training.strategy, supernet, recipe, settings)
    strategy = configured_strategy(job, cast(StrategyName, training.strategy))  # not a rival
    watch = supernet_watch(job, recipe)
    earlier, added = from_first(lambda: added_epochs(job, fingerprint, watch, more_epochs))
    settings = replace(
        settings,
        watch=watch,
        added=added,
        fingerprint=fingerprint.with_added(added).stored(),
        continues=fingerprint.with_added(earlier).stored(),
    )
    steps = train(supernet, plan_of(strategy, supernet, job.config.seed), job.data, recipe, settings, job.progress)
    scores = from_first(lambda: read_scores(job.run.supernet_scores))
    return Trained(checkpoint, steps, strategy.paths_per_step, scores)


def _train_rival(job: Job, name: RivalName, supernet: Supernet, recipe: Recipe, settings: TrainingSettings) -> Trained:
    """Train the supernet as a rival does; one with architecture parameters also writes the architecture."""
    training, data = job.config.train, job.data
    steps = recipe.steps(len(job.data.fit))
    architecture = architecture_of(
        job,
        name,
        supernet,
        ArchitectureSettings(
            config=training.architecture,
            steps=steps,
            batch=recipe.batch,
            seed=job.config.seed,
            workers=settings.workers,
            precision=settings.precision,
            augmentation=recipe.augmentation,
        ),
    )
    rival = architecture.rival
    if rival.learns:  # as many steps as without the split
        data, _ = split_images(job.data, training.architecture.images, job.config.seed)
        recipe = recipe.model_copy(update={"epoch_images": recipe.images_per_epoch(len(job.data.fit))})
    train(supernet, architecture.passes, data, recipe, settings, job.progress, architecture)
    learned = _learned(job, name, architecture, steps) if rival.learns else None
    if learned is not None and rank() == 0:
        write_document(job.run.learned, learned)
    return Trained(settings.checkpoint, steps, rival.choices_per_step, learned=learned)


def architecture_of(
    job: Job, name: RivalName, supernet: Supernet, settings: ArchitectureSettings
) -> ArchitectureTraining:
    """The architecture parameters of a rival, before their first update, and the images that they learn from.

    Raises:
        BadConfig: the cost in the loss is the latency, and the space was not profiled.
    """
    training, device = job.config.train, compute_device(job.config.train.device)
    rival = rival_of(name, job.space, training.architecture, cost_in_loss(training, job.space, job.latency), device)
    data = split_images(job.data, training.architecture.images, job.config.seed)[1] if rival.learns else job.data
    return ArchitectureTraining(rival, supernet, data, settings)


def _learned(job: Job, name: RivalName, architecture: ArchitectureTraining, steps: int) -> LearnedArchitecture:
    distribution = architecture.probabilities()
    return LearnedArchitecture(
        strategy=name,
        space=job.space.name,
        space_digest=job.space.digest,
        architecture=most_probable(job.space, distribution).choices,
        probabilities=tuple(map(dict, distribution)),
        step=steps,
    )


def initial_supernet(job: Job) -> Supernet:
    """A supernet with random weights, or with those of the configured file, on the device of the training."""
    training = job.config.train
    supernet = Supernet(job.space, shared_by(SUPERNET, world() if training.sync_batch_norm else 1))
    initialize(supernet, torch.Generator().manual_seed(job.config.seed))
    if training.start_from is not None:
        reorder = partial(sorted_by_taylor, job) if training.importance == "taylor" else None
        for note in load_start(read_weights(training.start_from), supernet, reorder):
            job.progress.say(note)
    return place_for_training(supernet, compute_device(training.device), training)


def plan_of(strategy: TrainingStrategy, supernet: Supernet, seed: int) -> PlanStep:
    """The passes of each step, through the paths that the strategy selects by seed and step."""
    return lambda step: through(supernet, strategy.paths(Random(mix(seed, step))))


def configured_strategy(job: Job, name: StrategyName) -> TrainingStrategy:
    """The strategy with this name, with the path sampler of the configuration."""
    training, space = job.config.train, job.space
    draw = path_sampler(training.sampler, space, sampled_range(training, space, job.latency))
    return training_strategy(name, space, draw)
