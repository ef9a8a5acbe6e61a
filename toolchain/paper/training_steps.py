"""The steps of a training alone, without its run, so that they can be measured (Tables 1 and 7)."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from toolchain.config import TrainConfig
from toolchain.training.batches import Batch, StepSampler, training_batches
from toolchain.training.job import Job
from toolchain.training.optimizer import build_optimizer
from toolchain.training.passes import PlanStep
from toolchain.training.precision import Precision, compute_device, precision_of
from toolchain.training.recipe import Recipe
from toolchain.training.stepper import Stepper


@dataclass(frozen=True)
class TrainingSteps:
    """`count` steps of a model, which is on the device of `training`."""

    job: Job
    training: TrainConfig
    recipe: Recipe
    model: nn.Module
    count: int

    @property
    def precision(self) -> Precision:
        device = compute_device(self.training.device)
        return precision_of(self.training.precision, device, self.job.space.quantized)

    def stepper(self, plan: PlanStep) -> Stepper:
        """An update of the weights by the passes that `plan` says."""
        return Stepper(
            plan,
            self.job.data.preprocessing,
            build_optimizer(self.model, self.recipe),
            self.precision.scaler(compute_device(self.training.device)),
            self.precision,
            self.recipe.label_smoothing,
        )

    def batches(self) -> Iterator[Batch]:
        """Pixels and labels of each step, on the device.

        Raises:
            BadData: an image cannot be read.
        """
        config, data = self.job.config, self.job.data
        sampler = StepSampler(data.fit, self.recipe.batch, config.seed, 0, self.count, groups=data.train.groups)
        device = compute_device(self.training.device)
        return iter(training_batches(data.train, sampler, self.recipe.augmentation, config.workers, device))
