"""What a training step computes: one or several forward passes, whose gradients add up to one update."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from toolchain.nets.supernet import Slices, Supernet
from toolchain.training.strategies.core import Path


@dataclass(frozen=True)
class Pass:
    """One forward and one backward pass.

    Args:
        forward: network inputs (N, C, S, S) -> logits (N, classes).
        teacher: the number of an earlier pass of the step whose softened logits are the targets; None: the labels.
    """

    forward: Callable[[Tensor], Tensor]
    teacher: int | None = None


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


def distillation_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """The mean cross-entropy of `logits` with the class probabilities of `teacher`, both (N, classes), in nats."""
    return F.cross_entropy(logits, teacher.softmax(1))
