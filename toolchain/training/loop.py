"""The training loop of supernets and single architectures; they differ in their forward pass."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolchain.config import TrainConfig
from toolchain.errors import TrainingDiverged
from toolchain.parallel.collectives import from_first, sum_over_ranks, wait_for_all
from toolchain.parallel.ranks import rank, world
from toolchain.progress import Progress
from toolchain.training.batches import StepSampler, mix, training_batches
from toolchain.training.checkpoint import Checkpoint, load, reading
from toolchain.training.curves import Curves
from toolchain.training.data import Data, Preprocessing
from toolchain.training.job import Job
from toolchain.training.optimizer import Update, moved, set_learning_rate, sgd
from toolchain.training.passes import Pass, PlanStep, distillation_loss
from toolchain.training.precision import FP32, Precision, compute_device, precision_of
from toolchain.training.preflight import batch_per_process
from toolchain.training.recipe import Recipe
from toolchain.training.state_check import load_state, require_momentum
from toolchain.training.stored_fingerprint import StoredFingerprint

OVERFLOWS = 16  # steps in fp16 that overflow one after the other before training counts as diverged
LOG_EVERY_S = 2.0  # interval of updates of the bar and TensorBoard
LARGE_LR = 0.1  # learning rate advised after divergence at most; the quick recipe has it


@dataclass(frozen=True)
class Schedule:
    """Where and how often checkpoints are written, and how the training computes."""

    checkpoint: Path
    tensorboard: Path
    checkpoint_every_s: float
    workers: int
    seed: int
    precision: Precision = FP32
    changes: str = "train.changes"  # the table of nastool.toml with the learning rate

    @classmethod
    def of(cls, job: Job, training: TrainConfig, checkpoint: Path, tensorboard: Path) -> "Schedule":
        """The schedule of one of the trainings in the configuration.

        Raises:
            BadConfig, NoDevice: see `precision_of` and `compute_device`.
        """
        config = job.config
        return cls(
            checkpoint=checkpoint,
            tensorboard=tensorboard,
            checkpoint_every_s=training.checkpoint_every_s,
            workers=config.workers,
            seed=config.seed,
            precision=precision_of(training.precision, compute_device(training.device), job.space.quantized),
            changes="retrain.changes" if training is config.retrain else "train.changes",
        )


@dataclass(frozen=True)
class Stepper:
    """One update: forward, loss and backward of each pass, sums over the processes, step of the optimizer."""

    plan: PlanStep
    preprocessing: Preprocessing
    optimizer: torch.optim.SGD
    scaler: torch.amp.GradScaler
    precision: Precision
    label_smoothing: float

    def __call__(self, pixels: Tensor, labels: Tensor, step: int) -> Tensor:
        """Update on images uint8 (N, C, S, S); gives mean loss and correct images of all processes: (2,).

        Both are means over the passes. Gradients are sums over the passes, as in the papers of the strategies: a weight
        that one pass uses is updated as if it were the only one.
        """
        plan, inputs = self.plan(step), self.preprocessing(pixels)
        self.optimizer.zero_grad(set_to_none=True)  # weights that no path used get neither decay nor momentum
        seen = torch.zeros(2, device=pixels.device)
        outputs: list[Tensor] = []
        for each in plan.passes:
            loss, logits = self._forward(each, inputs, labels, outputs)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            outputs.append(logits)
            seen += torch.stack((loss.detach().float(), (logits.argmax(1) == labels).sum()))
        seen /= len(plan.passes)
        sum_over_ranks([*moved(self.optimizer, plan.slices), seen])
        update = Update(self.optimizer, plan.slices)
        self.scaler.unscale_(update)  # type: ignore[arg-type]
        self.scaler.step(update)  # type: ignore[arg-type]
        self.scaler.update()
        return seen

    def _forward(self, each: Pass, inputs: Tensor, labels: Tensor, outputs: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The loss of one pass for this process, and its logits without their graph."""
        with self.precision.autocast(inputs.device):
            logits = each.forward(inputs)
            if each.teacher is None:
                loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
            else:
                loss = distillation_loss(logits, outputs[each.teacher])
            return loss / world(), logits.detach()


def train(
    model: nn.Module,
    plan: PlanStep,
    data: Data,
    recipe: Recipe,
    schedule: Schedule,
    fingerprint: StoredFingerprint,
    progress: Progress,
    title: str,
) -> int:
    """Train `model` to the end of `recipe`, from its checkpoint if there is one; returns the number of steps.

    `plan` gives the passes of each step.
    All randomness of a step comes from (seed, step), so a run that was killed ends with the same weights, bit
    for bit, as one that was not. Each of several processes takes its part of every batch; they add their gradients, and
    make the same update (docs/decisions/0030-distributed-training.md); the first of them reads and writes the files.

    Raises:
        BadCheckpoint: the checkpoint is damaged or was made with other settings.
        BadConfig: the processes cannot share a batch equally.
        BadData: an image cannot be read.
        RankLost: another process has ended.
        RunFolderError: a checkpoint cannot be written; the earlier one stays.
        TrainingDiverged: the loss or the weights are not finite; the last good checkpoint stays.
    """
    device = next(model.parameters()).device
    optimizer = sgd(model, recipe)
    steps = recipe.steps(len(data.fit))
    sampler_of = _sampler(data, recipe, schedule.seed, steps)
    scaler = schedule.precision.scaler(device)
    stepper = Stepper(plan, data.preprocessing, optimizer, scaler, schedule.precision, recipe.label_smoothing)
    start = 0
    checkpoint = from_first(lambda: load(schedule.checkpoint, fingerprint) if schedule.checkpoint.exists() else None)
    if checkpoint is not None:
        _restore(schedule.checkpoint, checkpoint, model, optimizer, scaler)
        start = checkpoint.step
    if start >= steps:
        return steps
    meter = _Meter(start, device, skips_overflow=scaler.is_enabled())

    def require_finite(step: int, weights: bool = False) -> None:
        if not meter.finite() or (weights and not all(bool(torch.isfinite(p).all()) for p in model.parameters())):
            raise _diverged(title, step, recipe, schedule)

    def keep(step: int) -> None:
        if rank() == 0:
            require_finite(step, weights=True)
            state = Checkpoint(step, fingerprint, model.state_dict(), optimizer.state_dict(), scaler.state_dict())
            state.save(schedule.checkpoint)

    model.train()
    task = progress.start(title, steps, done=start)
    curves = Curves(schedule.tensorboard, start) if rank() == 0 else None
    kept_at = time.monotonic()
    batches = training_batches(data.train, sampler_of(start), recipe.augmentation, schedule.workers, device)
    for step, (pixels, labels) in enumerate(batches, start):
        torch.manual_seed(mix(schedule.seed, step) + rank())  # dropout draws from the global state
        lr = learning_rate(recipe, step, steps)
        set_learning_rate(optimizer, lr)
        meter.add(stepper(pixels, labels, step), recipe.batch)
        if curves and (meter.due() or step + 1 == steps):
            require_finite(step + 1)
            values = meter.values(lr)
            task.advance(step + 1 - meter.logged_step, _note(values))
            curves.add(step + 1, values)
            meter.restart(step + 1)
        if time.monotonic() - kept_at > schedule.checkpoint_every_s and step + 1 < steps:
            keep(step + 1)
            kept_at = time.monotonic()
    keep(steps)
    wait_for_all()
    return steps


def _restore(
    path: Path, checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.SGD, scaler: torch.amp.GradScaler
) -> None:
    """Continue from a checkpoint.

    Raises:
        BadCheckpoint: its tensors do not fit the model.
    """
    load_state(path, model, checkpoint.model)
    with reading(path):
        optimizer.load_state_dict(dict(checkpoint.optimizer))
        scaler.load_state_dict(dict(checkpoint.scaler))
    require_momentum(path, optimizer)


def _diverged(title: str, step: int, recipe: Recipe, schedule: Schedule) -> TrainingDiverged:
    kept = f", and remove {schedule.checkpoint} or use another --run NAME" if schedule.checkpoint.exists() else ""
    return TrainingDiverged(
        f"{title}: training diverged before step {step}: the loss or the weights are not finite. Lower the learning "
        f"rate, such as lr = {min(recipe.lr / 10, LARGE_LR):.1g} in [{schedule.changes}]{kept}"
    )


def _sampler(data: Data, recipe: Recipe, seed: int, steps: int) -> Callable[[int], StepSampler]:
    """This process's part of each batch, from a step on.

    Raises:
        BadConfig: see `batch_per_process`.
    """
    batch_per_process(recipe.batch)
    return lambda start: StepSampler(data.fit, recipe.batch, seed, start, steps, rank(), world(), data.train.groups)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of update `step` of `steps`: linear warm-up if any, then decay to zero."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    remaining = 1 - step / steps
    decay = remaining if recipe.schedule == "linear" else (1 - math.cos(math.pi * remaining)) / 2
    return recipe.lr * warm * decay


class _Meter:
    """Mean loss, top-1 and images/s of all processes since the last log."""

    def __init__(self, step: int, device: torch.device, skips_overflow: bool = False) -> None:
        """`skips_overflow`: a scaler in fp16 skips single steps whose values overflow."""
        self.logged_step = step
        self._device = device
        self._skips_overflow = skips_overflow
        self._restart()

    def _restart(self) -> None:
        self._since = time.monotonic()
        self._sums = torch.zeros(2, device=self._device)  # stays there: reading it would wait for the GPU each step
        self._not_finite = torch.zeros((), device=self._device)
        self._batches = self._images = 0

    def add(self, seen: Tensor, images: int) -> None:
        """Add the mean loss and number of correct images of a batch, (2,)."""
        self._sums += seen
        self._not_finite += ~torch.isfinite(seen[0])
        self._batches += 1
        self._images += images

    def finite(self) -> bool:
        """Whether the loss was a number in each batch, except for single overflows that a scaler skips."""
        not_finite = int(self._not_finite)
        if self._skips_overflow:
            return not_finite < max(self._batches, OVERFLOWS)
        return not_finite == 0

    def due(self) -> bool:
        return time.monotonic() - self._since > LOG_EVERY_S

    def values(self, lr: float) -> dict[str, float]:
        loss, correct = self._sums.tolist()
        return {
            "loss": loss / self._batches,
            "accuracy": correct / self._images,
            "images_per_s": self._images / max(1e-9, time.monotonic() - self._since),
            "learning_rate": lr,
        }

    def restart(self, step: int) -> None:
        """Begin a new average after `step` was logged."""
        self.logged_step = step
        self._restart()


def _note(values: Mapping[str, float]) -> str:
    loss, accuracy, speed = values["loss"], values["accuracy"], values["images_per_s"]
    return f"loss {loss:.3f}  top-1 {accuracy:.1%}  {speed:.0f} images/s  lr {values['learning_rate']:.3g}"
