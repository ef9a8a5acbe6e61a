"""What a whole use of a method costs in device-days (Table 7), from measured times of its steps.

A training is the time of a step times the steps of the recipe. A search is the time of scoring candidates together, as
a generation does, times the evaluations of Algorithm 1; methods that learn an architecture have none.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from statistics import median

import torch

from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network, initialize
from toolchain.paper.method_steps import STEPS, MethodSteps
from toolchain.paper.training_steps import TrainingSteps
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.spaces.core import Architecture
from toolchain.training.job import Job
from toolchain.training.passes import Pass, Passes
from toolchain.training.precision import compute_device
from toolchain.training.recipe import Recipe, load_recipe
from toolchain.training.supernet_training import initial_supernet
from toolchain.training.torch_setup import place

DAY_S = 86_400
SEARCHED = ("spos", "path-dropout")  # after their training
CANDIDATES = 10  # that are scored together
NETWORKS = 3  # whose training is timed


@dataclass(frozen=True)
class DeviceDays:
    """Of one method, on one device."""

    training: float
    search: float
    retraining: float

    @property
    def total(self) -> float:
        return self.training + self.search + self.retraining


def device_days(job: Job, table: MethodSteps) -> Mapping[str, DeviceDays]:
    """The cost of each method of `table`, which was measured with the same job.

    Raises:
        BadConfig: a recipe is invalid.
        BadData: an image cannot be read.
    """
    config, images = job.config, len(job.data.fit)
    training = load_recipe(config.train.recipe, "supernet", config.train.changes)
    retraining = load_recipe(config.retrain.recipe, "retrain", config.retrain.changes)
    rng = Random(config.seed)
    archs = list(dict.fromkeys(job.space.draw(rng) for _ in range(CANDIDATES)))
    evaluations = config.search.population * config.search.generations
    search_s = evaluations * _seconds_per_candidate(job, archs)
    retrain_s = retraining.steps(images) * median(_step_seconds(job, arch, retraining) for arch in archs[:NETWORKS])
    return {
        row.method: DeviceDays(
            training.steps(images) * row.step_ms / 1e3 / DAY_S,
            search_s / DAY_S if row.method in SEARCHED else 0.0,
            retrain_s / DAY_S,
        )
        for row in table.rows
    }


def _seconds_per_candidate(job: Job, archs: list[Architecture]) -> float:
    """Of a search on one device; the weights are random, which takes as long."""
    settings = job.config.search
    scoring = ScoringSettings(settings.bn_images, settings.batch, job.config.seed, job.config.workers)
    evaluator = Evaluator(initial_supernet(job), job.data, scoring)
    began = time.perf_counter()
    evaluator.many(archs)
    return (time.perf_counter() - began) / len(archs)


def _step_seconds(job: Job, arch: Architecture, recipe: Recipe) -> float:
    """The median of a step of training one network; the first step allocates memory and does not count."""
    device = compute_device(job.config.retrain.device)
    net = Network(job.space, arch, STANDALONE)
    initialize(net, torch.Generator().manual_seed(job.config.seed))
    steps = TrainingSteps(job, job.config.retrain, recipe, place(net, device).train(), STEPS + 1)
    passes = Passes([Pass(steps.model)])
    step = steps.stepper(lambda _: passes)
    seconds = []
    for number, (pixels, labels) in enumerate(steps.batches()):
        began = time.perf_counter()
        step(pixels, labels, number)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return median(seconds[1:])
