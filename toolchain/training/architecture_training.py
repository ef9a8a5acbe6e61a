"""Training of architecture parameters beside the supernet: alternating updates on two parts of the training images.

Before each update of the weights, an update of the architecture parameters sees a batch of the other part. All of its
random numbers come from (seed, step), and its state is part of the checkpoint, so a killed training ends with the same
weights and the same architecture. Of several processes, each takes its part of the batch; gradients are summed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toolchain.config import ArchitectureConfig
from toolchain.nets.supernet import Mixture, Supernet
from toolchain.parallel.collectives import sum_over_ranks
from toolchain.parallel.ranks import rank, world
from toolchain.training.batches import Batch, StepSampler, mix, training_batches
from toolchain.training.checkpoint import reading
from toolchain.training.data import Data
from toolchain.training.passes import Pass, Passes
from toolchain.training.precision import Precision
from toolchain.training.recipe import Augmentation
from toolchain.training.rivals.core import Moment, Rival, keys_of, probabilities
from toolchain.training.state_check import require_state

SPLIT, BATCHES, WEIGHTS, ARCHITECTURE = range(4)  # salts of the seeds


@dataclass(frozen=True)
class ArchitectureSettings:
    """How architecture parameters are trained.

    Args:
        steps: of the training.
        batch: images of an update, of all processes together.
        workers: processes that decode image files.
    """

    config: ArchitectureConfig
    steps: int
    batch: int
    seed: int
    workers: int
    precision: Precision
    augmentation: Augmentation


class ArchitectureTraining:
    """The architecture parameters of a rival, their optimizer (Adam) and their images."""

    def __init__(self, rival: Rival, supernet: Supernet, data: Data, settings: ArchitectureSettings) -> None:
        """Start with the uniform distribution.

        Args:
            data: its `fit` are the images that the architecture parameters learn from.
        """
        self.rival, self._supernet, self._data, self._settings = rival, supernet, data, settings
        self._keys = keys_of(supernet.space)
        device = next(supernet.parameters()).device
        self.logits = [nn.Parameter(torch.zeros(len(names), device=device)) for names in self._keys]
        config = settings.config
        self._optimizer = torch.optim.Adam(
            self.logits, lr=config.lr, betas=(0.5, 0.999), weight_decay=config.weight_decay
        )
        self._first = round(config.start * settings.steps)
        self._batches: Iterator[Batch] = iter(())

    def passes(self, step: int) -> Passes:
        """What the update of the weights trains."""
        mixture = self.rival.mixture(self.logits, self._moment(step, WEIGHTS))
        slices = self._supernet.slices_of([weights.keys() for weights in mixture])
        return Passes([Pass(partial(self._supernet.mix, mixture=mixture))], slices)

    def begin(self, step: int) -> None:
        """Prepare the updates from `step` on."""
        if not self.rival.learns:
            return
        settings, images = self._settings, self._data.train
        sampler = StepSampler(
            self._data.fit,
            settings.batch,
            mix(settings.seed, BATCHES),
            max(step, self._first),
            settings.steps,
            rank(),
            world(),
            images.groups,
        )
        device = self.logits[0].device
        self._batches = training_batches(images, sampler, settings.augmentation, settings.workers, device)

    def update(self, step: int) -> None:
        """One update of the architecture parameters; none before their first step, or where there are none."""
        if not self.rival.learns or step < self._first:
            return
        pixels, labels = next(self._batches)
        inputs = self._data.preprocessing(pixels)

        def forward(mixture: Mixture) -> Tensor:
            with self._settings.precision.autocast(inputs.device):
                return self._supernet.mix(inputs, mixture)

        loss = self.rival.loss(self.logits, forward, labels, self._moment(step, ARCHITECTURE)) / world()
        gradients = torch.autograd.grad(loss, self.logits, allow_unused=True)  # those of the weights are not computed
        for row, gradient in zip(self.logits, gradients, strict=True):
            row.grad = torch.zeros_like(row) if gradient is None else gradient
        sum_over_ranks([row.grad for row in self.logits if row.grad is not None])
        self._optimizer.step()

    def probabilities(self) -> tuple[Mapping[str, float], ...]:
        """The distribution over the choices of each block."""
        return probabilities(self._keys, self.logits)

    def state_dict(self) -> dict[str, Any]:
        """Logits by number and the state of the optimizer; empty where nothing learns."""
        if not self.rival.learns:
            return {}
        return {"logits": self._named(), "optimizer": self._optimizer.state_dict()}

    @torch.no_grad()
    def load(self, path: Path, state: Mapping[str, Any]) -> None:
        """Continue with `state`, which was read from `path`.

        Raises:
            BadCheckpoint: a tensor is missing, unknown, of another shape or type, or not finite.
        """
        if not self.rival.learns:
            return
        with reading(path):
            logits = state["logits"]
            require_state(path, self._named(), logits)
            for name, row in self._named().items():
                row.copy_(logits[name])
            self._optimizer.load_state_dict(state["optimizer"])

    def _named(self) -> dict[str, Tensor]:
        return {str(number): row.detach() for number, row in enumerate(self.logits)}

    def _moment(self, step: int, salt: int) -> Moment:
        generator = torch.Generator().manual_seed(mix(mix(self._settings.seed, step), salt))
        return Moment(step / self._settings.steps, generator)


def split_images(data: Data, share: float, seed: int) -> tuple[Data, Data]:
    """`data` for the weights, and for the architecture parameters, which have this share of the training images."""
    order = torch.randperm(len(data.fit), generator=torch.Generator().manual_seed(mix(seed, SPLIT))).tolist()
    count = max(1, round(share * len(order)))
    chosen = set(order[:count])
    weights = tuple(index for number, index in enumerate(data.fit) if number not in chosen)
    architecture = tuple(index for number, index in enumerate(data.fit) if number in chosen)
    return replace(data, fit=weights), replace(data, fit=architecture)
