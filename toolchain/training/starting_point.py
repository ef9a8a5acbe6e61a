"""Where the training of a single network starts, and the network that it learns from."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from toolchain.costs.counters import default_cost
from toolchain.counting.feasible import most_expensive_of
from toolchain.errors import BadCheckpoint, BadConfig
from toolchain.nets.model_space.weights import has_names_of_model
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.nets.weight_files import read_weights
from toolchain.spaces.core import Architecture
from toolchain.training.accuracy import recalibration_batches
from toolchain.training.checkpoint import file_hash
from toolchain.training.fingerprint import Origin
from toolchain.training.job import Job
from toolchain.training.original_model import load_original, sliced_weights
from toolchain.training.passes import Teacher
from toolchain.training.precision import compute_device
from toolchain.training.printable import printable
from toolchain.training.recalibrate import recalibrate
from toolchain.training.recipe import Recipe
from toolchain.training.torch_setup import place
from toolchain.training.trained_supernet import load_supernet

SCRATCH, SUPERNET, ORIGINAL = "scratch", "supernet", "original"  # values of start_from and teacher
NAMED = 3  # differences in a message
DERIVED = ("running_mean", "running_var", "num_batches_tracked")  # recalibration replaces them


class StartingPoint:
    """The initial weights and the teacher that [retrain] names, loaded when they are first needed."""

    def __init__(self, job: Job) -> None:
        """Only digests are computed here.

        Raises:
            MissingStage: it names the supernet, and the run has none.
            BadCheckpoint: it names a file that cannot be read.
        """
        self._job = job
        training = job.config.retrain
        self.origin = Origin(
            start_from=None if training.start_from == SCRATCH else self._digest(training.start_from),
            teacher=None if training.teacher is None else self._digest(training.teacher),
        )

    def initialize(self, net: nn.Module, arch: Architecture, seed: int) -> None:
        """Set the weights of `net`, which has the architecture `arch`.

        Raises:
            BadCheckpoint: the file's weights do not fit the network; the first differences are named.
        """
        initialize(net, torch.Generator().manual_seed(seed))
        source = self._job.config.retrain.start_from
        if source == SUPERNET:
            _copy(self._supernet.extract(arch).state_dict(), net)
        elif source != SCRATCH:
            weights = read_weights(Path(source))
            if has_names_of_model(self._job.space, weights):
                _copy(sliced_weights(self._job.space, weights, arch), net)
            else:
                load_weights(Path(source), weights, net)

    def teacher(self, recipe: Recipe) -> Teacher | None:
        """The teacher with the recipe's share and temperature; None if there is none."""
        if self._job.config.retrain.teacher is None:
            return None
        return Teacher(self._frozen, recipe.distillation, recipe.temperature)

    @cached_property
    def _supernet(self) -> Supernet:
        return load_supernet(self._job)

    @cached_property
    def _frozen(self) -> nn.Module:
        """The original model, or the largest network of the supernet with statistics of training images."""
        job, space = self._job, self._job.space
        if job.config.retrain.teacher == ORIGINAL:
            original = load_original(space, self._original_weights)
            return place(original, compute_device(job.config.retrain.device)).requires_grad_(False)
        net = self._supernet.extract(most_expensive_of(space, default_cost(space)))
        search = job.config.search
        images = recalibration_batches(job.data, search.bn_images, search.batch, job.config.seed)
        place(net, compute_device(job.config.retrain.device))
        recalibrate(net, images, job.data.preprocessing)
        return net.requires_grad_(False)

    @property
    def _original_weights(self) -> Path:
        weights = self._job.config.train.start_from
        if weights is None:
            raise BadConfig(
                "the teacher is the original model, and its weights are not named. Give train --from WEIGHTS"
            )
        return weights

    def _digest(self, source: str) -> str:
        if source == SUPERNET:
            self._job.run.require(self._job.run.supernet, "train")
            return file_hash(self._job.run.supernet)
        if source == ORIGINAL:
            return file_hash(self._original_weights)
        return file_hash(Path(source))


def load_weights(path: Path, weights: Mapping[str, Tensor], net: nn.Module) -> None:
    """Copy `weights`, which were read from `path`, into `net`; statistics of batch normalization may be missing.

    Raises:
        BadCheckpoint: names or shapes differ, or a weight is not finite; nothing is copied.
    """
    expected = {name: value for name, value in net.state_dict().items() if not name.endswith(DERIVED)}
    given = {name: value for name, value in weights.items() if not name.endswith(DERIVED)}
    different = [
        *(f"{name} is missing" for name in expected if name not in given),
        *(f"{name} is unknown" for name in given if name not in expected),
        *(
            f"{name} has the shape {tuple(value.shape)} instead of {tuple(expected[name].shape)}"
            for name, value in given.items()
            if name in expected and value.shape != expected[name].shape
        ),
        *(f"{name} is not finite" for name, value in given.items() if not torch.isfinite(value).all()),
    ]
    if different:
        raise BadCheckpoint(
            f"{printable(path)} does not fit the network: {printable('; '.join(different[:NAMED]))}. Give weights of "
            f"the same architecture, such as its best.pt from nastool retrain, or leave out --from"
        )
    _copy(given, net)


@torch.no_grad()
def _copy(weights: Mapping[str, Tensor], net: nn.Module) -> None:
    """Replace the tensors of `net` that `weights` has."""
    own = net.state_dict()
    for name, value in weights.items():
        own[name].copy_(value)
