"""Which paths of a supernet are scored along its training."""

from collections.abc import Mapping
from random import Random

from torch import nn

from toolchain.costs.counters import default_cost
from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import Architecture
from toolchain.training.holdout_scores import HoldoutWatch
from toolchain.training.job import Job
from toolchain.training.paths import path_sampler
from toolchain.training.recipe import Recipe
from toolchain.training.sampled_range import sampled_range

DRAWN_PATHS = 200  # of which the cheapest, the middle and the most expensive one are scored


def supernet_watch(job: Job, recipe: Recipe) -> HoldoutWatch:
    """Scores three paths as the training samples them."""
    paths = scored_paths(job)

    def networks(model: nn.Module) -> Mapping[str, nn.Module]:
        assert isinstance(model, Supernet)
        return {name: model.extract(arch) for name, arch in paths.items()}

    named = {name: arch.choices for name, arch in paths.items()}
    return HoldoutWatch(job.run.supernet_scores, networks, named, job.data, job.config.seed, recipe.patience)


def scored_paths(job: Job) -> dict[str, Architecture]:
    """The fixed paths by name, in the order of their default cost."""
    training, space = job.config.train, job.space
    draw = path_sampler(training.sampler, space, sampled_range(training, space, job.latency))
    random, cost = Random(job.config.seed), default_cost(space)
    drawn = sorted((draw(random) for _ in range(DRAWN_PATHS)), key=cost.cost)
    return {"small path": drawn[0], "middle path": drawn[DRAWN_PATHS // 2], "large path": drawn[-1]}
