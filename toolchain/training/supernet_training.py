"""Train the supernet of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

from toolchain.nets.blocks import SUPERNET, shared_by
from toolchain.nets.network import initialize
from toolchain.nets.pretrained import load_float
from toolchain.nets.supernet import Slices, Supernet
from toolchain.nets.weight_files import read_weights
from toolchain.parallel.ranks import world
from toolchain.training.batches import mix
from toolchain.training.fingerprint import supernet_fingerprint
from toolchain.training.job import Job
from toolchain.training.loop import Forward, Schedule, train
from toolchain.training.paths import path_sampler
from toolchain.training.precision import compute_device
from toolchain.training.recipe import load_recipe
from toolchain.training.sampled_range import sampled_range
from toolchain.training.torch_setup import place_for_training


@dataclass(frozen=True)
class Trained:
    """The result of supernet training."""

    checkpoint: Path
    steps: int


def train_supernet(job: Job) -> Trained:
    """Train the supernet, one sampled path per step (paper Eq. 7), and write its checkpoint.

    Raises:
        BadCheckpoint, BadData, RunFolderError: see `loop.train`; or the weights to start from do not fit.
    """
    training, checkpoint = job.config.train, job.run.supernet
    supernet = _initial_supernet(job)
    recipe = load_recipe(training.recipe, "supernet", training.changes)
    schedule = Schedule.of(job, training, checkpoint, job.run.tensorboard("supernet"))
    forward = _one_path(job, supernet)
    fingerprint = supernet_fingerprint(job).stored()
    steps = train(supernet, forward, job.data, recipe, schedule, fingerprint, job.progress, "train supernet")
    return Trained(checkpoint, steps)


def _initial_supernet(job: Job) -> Supernet:
    """A supernet with random weights, or with those of the configured file, on the device of the training."""
    training = job.config.train
    supernet = Supernet(job.space, shared_by(SUPERNET, world()))
    initialize(supernet, torch.Generator().manual_seed(job.config.seed))
    if training.start_from is not None:
        load_float(read_weights(training.start_from), supernet)
    return place_for_training(supernet, compute_device(training.device), training)


def _one_path(job: Job, supernet: Supernet) -> Forward:
    """The forward pass of one step, through the path that seed and step draw."""
    training = job.config.train
    draw = path_sampler(training.sampler, job.space, sampled_range(training, job.space, job.latency))

    def forward(images: Tensor, step: int) -> tuple[Tensor, Mapping[nn.Parameter, Slices]]:
        arch = draw(Random(mix(job.config.seed, step)))
        return supernet(images, arch), supernet.slices(arch)

    return forward
