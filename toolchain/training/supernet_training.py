"""Train the supernet of a run."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch

from toolchain.nets.blocks import SUPERNET, shared_by
from toolchain.nets.network import initialize
from toolchain.nets.pretrained import load_float
from toolchain.nets.supernet import Supernet
from toolchain.nets.weight_files import read_weights
from toolchain.parallel.ranks import world
from toolchain.training.batches import mix
from toolchain.training.fingerprint import supernet_fingerprint
from toolchain.training.job import Job
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.passes import PlanStep, through
from toolchain.training.paths import path_sampler
from toolchain.training.precision import compute_device
from toolchain.training.recipe import load_recipe
from toolchain.training.sampled_range import sampled_range
from toolchain.training.strategies import TrainingStrategy, training_strategy
from toolchain.training.torch_setup import place_for_training


@dataclass(frozen=True)
class Trained:
    """The result of supernet training; each step trained so many paths."""

    checkpoint: Path
    steps: int
    paths_per_step: int


def train_supernet(job: Job) -> Trained:
    """Train the supernet, by default one sampled path per step (paper Eq. 7), and write its checkpoint.

    Raises:
        BadCheckpoint, BadData, RunFolderError: see `loop.train`; or the weights to start from do not fit.
    """
    training, checkpoint = job.config.train, job.run.supernet
    supernet = _initial_supernet(job)
    recipe = load_recipe(training.recipe, "supernet", training.changes)
    settings = TrainingSettings.of(
        job,
        training,
        "train supernet",
        checkpoint=checkpoint,
        fingerprint=supernet_fingerprint(job).stored(),
        curves=job.run.tensorboard("supernet"),
    )
    strategy = configured_strategy(job)
    steps = train(supernet, _plan(strategy, supernet, job.config.seed), job.data, recipe, settings, job.progress)
    return Trained(checkpoint, steps, strategy.paths_per_step)


def _initial_supernet(job: Job) -> Supernet:
    """A supernet with random weights, or with those of the configured file, on the device of the training."""
    training = job.config.train
    supernet = Supernet(job.space, shared_by(SUPERNET, world()))
    initialize(supernet, torch.Generator().manual_seed(job.config.seed))
    if training.start_from is not None:
        load_float(read_weights(training.start_from), supernet)
    return place_for_training(supernet, compute_device(training.device), training)


def _plan(strategy: TrainingStrategy, supernet: Supernet, seed: int) -> PlanStep:
    """The passes of each step, through the paths that the strategy selects by seed and step."""
    return lambda step: through(supernet, strategy.paths(Random(mix(seed, step))))


def configured_strategy(job: Job) -> TrainingStrategy:
    """The training strategy of the configuration, with its path sampler."""
    training, space = job.config.train, job.space
    draw = path_sampler(training.sampler, space, sampled_range(training, space, job.latency))
    return training_strategy(training.strategy, space, draw)
