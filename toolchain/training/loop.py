"""One loop for a supernet and for one architecture. What differs is how a step goes forward."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolchain.progress import Progress
from toolchain.training.batches import StepSampler, mix, training_batches
from toolchain.training.checkpoint import Checkpoint, load
from toolchain.training.curves import Curves
from toolchain.training.data import Data
from toolchain.training.optimiser import Slices, set_learning_rate, sgd
from toolchain.training.optimiser import step as update
from toolchain.training.recipe import Recipe

# (images, step) -> logits, and of which weights the step took a part only
Forward = Callable[[Tensor, int], tuple[Tensor, Mapping[nn.Parameter, Slices]]]

LOG_EVERY_S = 2.0  # how often the bar and TensorBoard get new numbers


@dataclass(frozen=True)
class Schedule:
    """Where and how often a run is kept, and how many helpers it has."""

    checkpoint: Path
    tensorboard: Path
    checkpoint_every_s: float
    workers: int
    seed: int


def train(
    model: nn.Module,
    forward: Forward,
    data: Data,
    recipe: Recipe,
    schedule: Schedule,
    belongs: Mapping[str, Any],
    progress: Progress,
    title: str,
) -> int:
    """Train `model` to the end of `recipe`, going on from its checkpoint if there is one; returns the steps.

    All randomness of a step comes from (seed, step), so a run that was killed ends with the same weights, bit
    for bit, as one that was not.

    Raises:
        BadCheckpoint: the checkpoint is damaged or belongs to another run.
        BadData: an image can't be read.
        RunFolderError: a checkpoint can't be written; the one before it stays.
    """
    device = next(model.parameters()).device
    optimiser = sgd(model, recipe)
    steps = recipe.steps(len(data.fit))
    start = 0
    if schedule.checkpoint.exists():
        checkpoint = load(schedule.checkpoint, belongs)
        model.load_state_dict(checkpoint.model)
        optimiser.load_state_dict(dict(checkpoint.optimiser))
        start = checkpoint.step
    if start >= steps:
        return steps

    def keep(step: int) -> None:
        Checkpoint(step, belongs, model.state_dict(), optimiser.state_dict()).save(schedule.checkpoint)

    model.train()
    task = progress.start(title, steps, done=start)
    sampler = StepSampler(data.fit, recipe.batch, schedule.seed, start, steps)
    curves = Curves(schedule.tensorboard, start)
    meter = _Meter(start)
    kept_at = time.monotonic()
    for step, (pixels, labels) in enumerate(
        training_batches(data.train, sampler, recipe.augmentation, schedule.workers), start
    ):
        torch.manual_seed(mix(schedule.seed, step))  # dropout draws from the global state
        set_learning_rate(optimiser, learning_rate(recipe, step, steps))
        labels = labels.to(device)
        logits, slices = forward(data.preprocessing(pixels.to(device)), step)
        loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        optimiser.zero_grad(set_to_none=True)  # a path that was not taken gets neither decay nor momentum
        loss.backward()  # type: ignore[no-untyped-call]
        update(optimiser, slices)
        meter.add(loss, logits, labels)
        if meter.due() or step + 1 == steps:
            lr = learning_rate(recipe, step, steps)
            task.advance(step + 1 - meter.logged_step, meter.note(lr))
            meter.log(curves, step + 1, lr)
        if time.monotonic() - kept_at > schedule.checkpoint_every_s and step + 1 < steps:
            keep(step + 1)
            kept_at = time.monotonic()
    keep(steps)
    return steps


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of update `step` of `steps`: a linear warm-up if any, then a decay to zero."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    left = 1 - step / steps
    return recipe.lr * warm * (left if recipe.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2)


class _Meter:
    """Mean loss, top-1 and images/s since they were last logged."""

    def __init__(self, step: int) -> None:
        self.logged_step = step
        self._restart()

    def _restart(self) -> None:
        self._since = time.monotonic()
        self._loss = self._correct = torch.zeros(())
        self._batches = self._images = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        self._loss = self._loss + loss.detach().cpu()
        self._correct = self._correct + (logits.detach().argmax(1) == labels).sum().cpu()
        self._batches += 1
        self._images += len(labels)

    def due(self) -> bool:
        return time.monotonic() - self._since > LOG_EVERY_S

    def values(self, lr: float) -> dict[str, float]:
        return {
            "loss": float(self._loss) / self._batches,
            "accuracy": float(self._correct) / self._images,
            "images_per_s": self._images / max(1e-9, time.monotonic() - self._since),
            "learning_rate": lr,
        }

    def note(self, lr: float) -> str:
        v = self.values(lr)
        return f"loss {v['loss']:.3f}  top-1 {v['accuracy']:.1%}  {v['images_per_s']:.0f} images/s  lr {lr:.3g}"

    def log(self, curves: Curves, step: int, lr: float) -> None:
        curves.add(step, self.values(lr))
        self.logged_step = step
        self._restart()
