"""What a training step computes: one or several forward passes, whose gradients add up to one update."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolchain.nets.supernet import Slices, Supernet
from toolchain.training.strategies.core import Path

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Teacher:
    """A frozen network that a pass learns from (Hinton et al., 2015).

    Args:
        forward: network inputs (N, C, S, S) -> logits (N, classes), without gradients.
        share: of its predictions in the loss; the labels have the rest.
        temperature: that softens the predictions of both networks.
    """

    forward: Forward
    share: float
    temperature: float

    def loss(self, inputs: Tensor, logits: Tensor, of_labels: Tensor) -> Tensor:
        """The loss of `logits` (N, classes) on `inputs`, where `of_labels` is that on the labels."""
        with torch.no_grad():
            targets = self.forward(inputs)
        return (1 - self.share) * of_labels + self.share * distillation_loss(logits, targets, self.temperature)


@dataclass(frozen=True)
class Pass:
    """One forward and one backward pass.

    Args:
        forward: network inputs (N, C, S, S) -> logits (N, classes).
        teacher: what it learns from: the number of an earlier pass of the step, whose class probabilities are the
            targets; a frozen network beside the labels; None: the labels.
    """

    forward: Forward
    teacher: "int | Teacher | None" = None


@dataclass(frozen=True)
class Passes:
    """The passes of one step, and the weights of which they use only a part together, with that part."""

    passes: Sequence[Pass]
    slices: Mapping[nn.Parameter, Slices] = field(default_factory=dict)


PlanStep = Callable[[int], Passes]  # by the number of the step


def through(supernet: Supernet, paths: Sequence[Path]) -> Passes:
    """The passes through `paths`, one after the other."""
    architectures = [path.architecture for path in paths]
    passes = [Pass(partial(supernet.forward, arch=path.architecture), path.teacher) for path in paths]
    return Passes(passes, supernet.slices(*architectures))


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """The mean cross-entropy of `logits` with the class probabilities of `teacher`, both (N, classes), in nats.

    Both are divided by the temperature, and the loss is multiplied by its square, so that gradients keep their size.
    """
    if temperature == 1:
        return F.cross_entropy(logits, teacher.softmax(1))
    return temperature**2 * F.cross_entropy(logits / temperature, (teacher / temperature).softmax(1))
