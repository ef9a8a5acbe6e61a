"""The training loop of supernets and single architectures; they differ in their forward pass."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from toolchain.config import TrainConfig
from toolchain.errors import TrainingDiverged
from toolchain.parallel.collectives import from_first, wait_for_all
from toolchain.parallel.ranks import rank, world
from toolchain.progress import Progress, Task
from toolchain.tracking.tracker import Curves, OpenCurves
from toolchain.training.architecture_training import ArchitectureTraining
from toolchain.training.batch_mixing import batch_mixing
from toolchain.training.batches import StepSampler, mix, training_batches
from toolchain.training.checkpoint import Checkpoint, load, reading
from toolchain.training.data import Data
from toolchain.training.holdout_scores import HoldoutWatch
from toolchain.training.job import Job
from toolchain.training.meter import Meter, note
from toolchain.training.optimizer import build_optimizer, set_learning_rate
from toolchain.training.passes import PlanStep
from toolchain.training.phases import AddedEpochs, last_phase
from toolchain.training.precision import FP32, Precision, compute_device, precision_of
from toolchain.training.preflight import batch_per_process
from toolchain.training.recipe import Recipe
from toolchain.training.state_check import load_state, require_moments
from toolchain.training.stepper import Stepper
from toolchain.training.stored_fingerprint import StoredFingerprint
from toolchain.training.watching import Watching
from toolchain.training.weight_average import WeightAverage

LARGE_LR = 0.1  # learning rate advised after divergence at most; the quick recipe has it


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of one training besides its recipe.

    Args:
        title: shown with its progress and in its errors.
        fingerprint: what the weights depend on. A checkpoint with another fingerprint is refused.
        curves: opens its curves.
        changes: the table of nastool.toml that holds the learning rate.
        watch: what scores networks on the hold-out, and may end the training.
        added: epochs that were added to the recipe's.
        continues: the fingerprint of the checkpoint, where it has fewer epochs added.
    """

    title: str
    checkpoint: Path
    fingerprint: StoredFingerprint
    curves: OpenCurves
    checkpoint_every_s: float
    workers: int
    seed: int
    precision: Precision = FP32
    changes: str = "train.changes"
    watch: HoldoutWatch | None = None
    added: Sequence[AddedEpochs] = ()
    continues: StoredFingerprint | None = None

    @classmethod
    def of(
        cls,
        job: Job,
        training: TrainConfig,
        title: str,
        *,
        checkpoint: Path,
        fingerprint: StoredFingerprint,
        curves: OpenCurves,
    ) -> "TrainingSettings":
        """The settings of `training`, one of the trainings in the configuration.

        Raises:
            BadConfig, NoDevice: see `precision_of` and `compute_device`.
        """
        config = job.config
        return cls(
            title=title,
            checkpoint=checkpoint,
            fingerprint=fingerprint,
            curves=curves,
            checkpoint_every_s=training.checkpoint_every_s,
            workers=config.workers,
            seed=config.seed,
            precision=precision_of(training.precision, compute_device(training.device), job.space.quantized),
            changes="retrain.changes" if training is config.retrain else "train.changes",
        )


@dataclass(frozen=True)
class _State:
    """What a checkpoint holds, and where it is."""

    settings: TrainingSettings
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage | None
    architecture: ArchitectureTraining | None

    def restore(self) -> int:
        """Continue from the checkpoint, if there is one; gives the number of updates until it.

        Raises:
            BadCheckpoint: it is damaged, has another fingerprint, or its tensors do not fit the model.
        """
        path, fingerprint = self.settings.checkpoint, self.settings.continues or self.settings.fingerprint
        checkpoint = from_first(lambda: load(path, fingerprint) if path.exists() else None)
        if checkpoint is None:
            return 0
        load_state(path, self.model, checkpoint.model)
        with reading(path):
            self.optimizer.load_state_dict(dict(checkpoint.optimizer))
            self.scaler.load_state_dict(dict(checkpoint.scaler))
        require_moments(path, self.optimizer)
        if self.average:
            self.average.load(path, checkpoint.average)
        if self.architecture:
            self.architecture.load(path, checkpoint.architecture)
        return checkpoint.step

    def finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters())

    def save(self, step: int) -> None:
        """Write the checkpoint after `step` updates.

        Raises:
            RunFolderError: it cannot be written; the earlier one stays.
        """
        states = self.model.state_dict(), self.optimizer.state_dict(), self.scaler.state_dict()
        average = self.average.state_dict() if self.average else {}
        architecture = self.architecture.state_dict() if self.architecture else {}
        Checkpoint(step, self.settings.fingerprint, *states, average, architecture).save(self.settings.checkpoint)


@dataclass(frozen=True)
class _Log:
    """The progress bar and the curves of a training."""

    meter: Meter
    task: Task
    curves: Curves

    def add(self, step: int, lr: float) -> None:
        """The means since the last call, after `step` updates.

        Raises:
            RunFolderError: the curves cannot be written.
        """
        values = self.meter.values(lr)
        self.task.advance(step - self.meter.logged_step, note(values))
        self.curves.add(step, values)
        self.meter.restart(step)


def train(
    model: nn.Module,
    plan: PlanStep,
    data: Data,
    recipe: Recipe,
    settings: TrainingSettings,
    progress: Progress,
    architecture: ArchitectureTraining | None = None,
) -> int:
    """Train `model` to the end of `recipe`, from its checkpoint if there is one; returns the number of steps.

    `plan` gives the passes of each step. A recipe with an average ends with the averaged weights. `architecture` are
    architecture parameters, which are updated before the weights in each step.
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
    batch_per_process(recipe.batch)  # refused before the checkpoint is read
    device, phase = next(model.parameters()).device, last_phase(recipe, len(data.fit), settings.added)
    steps = phase.end
    average = WeightAverage(model, recipe.ema_decay) if recipe.ema_decay else None
    scaler = settings.precision.scaler(device)
    state = _State(settings, model, build_optimizer(model, recipe), scaler, average, architecture)
    start = state.restore()
    watching = Watching(settings.watch, phase, start, recipe.images_per_epoch(len(data.fit)) / recipe.batch)
    if start >= steps or watching.ended:
        return start
    model.train()
    meter = Meter(start, device, skips_overflow=state.scaler.is_enabled())
    task = progress.start(settings.title, steps, done=start)
    log = _Log(meter, task, settings.curves(start)) if rank() == 0 else None
    stepper = Stepper(
        plan,
        data.preprocessing,
        state.optimizer,
        state.scaler,
        settings.precision,
        recipe.label_smoothing,
        batch_mixing(recipe, len(data.classes)),
    )
    sampler = StepSampler(data.fit, recipe.batch, settings.seed, start, steps, rank(), world(), data.train.groups)
    batches = training_batches(data.train, sampler, recipe.augmentation, settings.workers, device)
    if architecture:
        architecture.begin(start)
    saved_at = time.monotonic()
    for step, (pixels, labels) in enumerate(batches, start):
        torch.manual_seed(mix(settings.seed, step) + rank())  # dropout and mixing draw from the global state
        lr = learning_rate(recipe, step, steps)
        set_learning_rate(state.optimizer, lr)
        if architecture:
            architecture.update(step)
        meter.add(stepper(pixels, labels, step), recipe.batch)
        if average:
            average.update(step)
        scores = watching.score(model, step + 1, average)
        if log and scores:
            log.curves.add(step + 1, scores)
        is_last = step + 1 == steps or watching.ended
        if average and is_last:
            average.apply()
        if log and (is_last or meter.due()):
            _require_finite(meter.finite(), step + 1, recipe, settings)
            log.add(step + 1, lr)
        if is_last or time.monotonic() - saved_at > settings.checkpoint_every_s:
            if rank() == 0:
                _require_finite(meter.finite() and state.finite(), step + 1, recipe, settings)
                state.save(step + 1)
            saved_at = time.monotonic()
        if is_last:
            break
    batches.close()
    watching.explain(settings.title, step + 1, progress)
    wait_for_all()
    return step + 1


def _require_finite(finite: bool, step: int, recipe: Recipe, settings: TrainingSettings) -> None:
    if finite:
        return
    checkpoint = settings.checkpoint
    remove = f", and remove {checkpoint} or use another --run NAME" if checkpoint.exists() else ""
    raise TrainingDiverged(
        f"{settings.title}: training diverged before step {step}: the loss or the weights are not finite. Lower the "
        f"learning rate, such as lr = {min(recipe.lr / 10, LARGE_LR):.1g} in [{settings.changes}]{remove}"
    )


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of update `step` of `steps`: linear warm-up if any, then decay to zero."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    remaining = 1 - step / steps
    decay = remaining if recipe.schedule == "linear" else (1 - math.cos(math.pi * remaining)) / 2
    return recipe.lr * warm * decay
