"""Memory and time of a training step (Tables 1 and 7), of the methods as they are implemented here.

A step is what a training repeats: an update of the weights and, of methods with architecture parameters, one of these.
Memory is that of the tensors which a forward pass keeps for its backward pass (torch's saved tensors, each storage
once, without weights); it grows with the paths and the batch, and is the larger of both updates. Steps of all methods
are interleaved, so that a busy machine disturbs all of them alike.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import fmean, median

import torch
from torch import nn

from toolchain.config import SupernetConfig
from toolchain.paper.saved_tensors import saved_tensors
from toolchain.paper.training_steps import TrainingSteps
from toolchain.training.architecture_training import ArchitectureSettings, ArchitectureTraining
from toolchain.training.batches import Batch
from toolchain.training.job import Job
from toolchain.training.passes import PlanStep
from toolchain.training.precision import compute_device
from toolchain.training.recipe import load_recipe
from toolchain.training.rivals import is_rival
from toolchain.training.sampled_range import samples_latency
from toolchain.training.stepper import Stepper
from toolchain.training.supernet_training import architecture_of, configured_strategy, initial_supernet, plan_of

MIB = 2**20
STEPS = 20
METHODS = ("spos", "two-path", "gumbel", "darts", "policy", "path-dropout")
PUBLISHED = {"spos": (24, 12), "two-path": (37, 15), "gumbel": (63, 20)}  # GB on 8 GPUs and GPU days, as printed


@dataclass(frozen=True)
class MethodStep:
    """A method: memory and time of its step.

    Args:
        weights_mib, architecture_mib: saved tensors of an update of the weights, and of the architecture parameters
            (None without these), in MiB; means over the steps.
        memory_ratio, time_ratio: the larger of both, and the median time, relative to those of `spos`.
        paper_memory_ratio, paper_time_ratio: the same of the printed table; None where it has none.
    """

    method: str
    weights_mib: float
    architecture_mib: float | None
    step_ms: float
    memory_ratio: float
    time_ratio: float
    paper_memory_ratio: float | None = None
    paper_time_ratio: float | None = None


@dataclass(frozen=True)
class MethodSteps:
    """The rows, of which the first is `spos`, and the batch and the device that they were measured with."""

    device: str
    batch: int
    rows: tuple[MethodStep, ...]


@dataclass
class _Method:
    """The training of one method, a step at a time."""

    name: str
    supernet: nn.Module
    stepper: Stepper
    architecture: ArchitectureTraining | None
    batches: Iterator[Batch]
    seconds: list[float] = field(default_factory=list)
    weights_bytes: list[int] = field(default_factory=list)
    architecture_bytes: list[int] = field(default_factory=list)

    @property
    def weights_mib(self) -> float:
        return fmean(self.weights_bytes) / MIB

    @property
    def architecture_mib(self) -> float | None:
        return fmean(self.architecture_bytes) / MIB if any(self.architecture_bytes) else None

    @property
    def memory_mib(self) -> float:
        """Of the larger update."""
        return max(self.weights_mib, self.architecture_mib or 0.0)

    @property
    def step_ms(self) -> float:
        """The median without the first step."""
        return 1e3 * median(self.seconds[1:])

    def step(self, number: int) -> None:
        pixels, labels = next(self.batches)
        torch.manual_seed(number)
        began = time.perf_counter()
        with saved_tensors(self.supernet) as of_architecture:
            if self.architecture:
                self.architecture.update(number)
        with saved_tensors(self.supernet) as of_weights:
            self.stepper(pixels, labels, number)
        if pixels.device.type == "cuda":
            torch.cuda.synchronize(pixels.device)
        self.seconds.append(time.perf_counter() - began)
        self.architecture_bytes.append(sum(of_architecture.values()))
        self.weights_bytes.append(sum(of_weights.values()))


def measure_steps(job: Job, steps: int) -> MethodSteps:
    """Run `steps` steps of each method, after one that allocates memory, and write nothing.

    Raises:
        BadConfig, NoDevice: recipe, batch or precision cannot work.
        BadData: an image cannot be read.
    """
    methods = [_prepared(job, name, steps + 1) for name in METHODS]
    task = job.progress.start("steps of all methods", len(methods) * (steps + 1))
    rng = Random(job.config.seed)
    for number in range(steps + 1):
        for method in rng.sample(methods, len(methods)):
            method.step(number)
            task.advance(note=method.name)
    device = compute_device(job.config.train.device)
    return MethodSteps(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        batch=load_recipe(job.config.train.recipe, "supernet", job.config.train.changes).batch,
        rows=_rows(methods),
    )


def _prepared(job: Job, name: str, steps: int) -> _Method:
    """A method before its first step; its architecture parameters learn from the start."""
    config = job.config
    training = _without_latency(config.train)
    from_start = training.architecture.model_copy(update={"start": 0.0})
    training = training.model_copy(update={"strategy": name, "architecture": from_start})
    job = replace(job, config=config.model_copy(update={"train": training}))
    recipe = load_recipe(training.recipe, "supernet", training.changes)
    supernet = initial_supernet(job).train()
    timed = TrainingSteps(job, training, recipe, supernet, steps)
    plan: PlanStep
    architecture = None
    if is_rival(name):
        settings = ArchitectureSettings(
            training.architecture,
            steps,
            recipe.batch,
            config.seed,
            config.workers,
            timed.precision,
            recipe.augmentation,
        )
        architecture = architecture_of(job, name, supernet, settings)
        architecture.begin(0)
        plan = architecture.passes
    else:
        plan = plan_of(configured_strategy(job, "spos"), supernet, config.seed)
    return _Method(name, supernet, timed.stepper(plan), architecture, timed.batches())


def _without_latency(training: SupernetConfig) -> SupernetConfig:
    """The same with MACs in place of the latency, which would need a profile: a step takes as long with any cost."""
    changes: dict[str, object] = {}
    if training.architecture.cost == "latency":
        changes["architecture"] = training.architecture.model_copy(update={"cost": "macs"})
    if samples_latency(training):
        changes |= {"sample_by": None, "sample_range": (), "budgets": ()}
    return training.model_copy(update=changes)


def _rows(methods: Sequence[_Method]) -> tuple[MethodStep, ...]:
    reference = methods[0]
    memory, days = PUBLISHED[reference.name]
    return tuple(
        MethodStep(
            method=method.name,
            weights_mib=method.weights_mib,
            architecture_mib=method.architecture_mib,
            step_ms=method.step_ms,
            memory_ratio=method.memory_mib / reference.memory_mib,
            time_ratio=method.step_ms / reference.step_ms,
            paper_memory_ratio=PUBLISHED[method.name][0] / memory if method.name in PUBLISHED else None,
            paper_time_ratio=PUBLISHED[method.name][1] / days if method.name in PUBLISHED else None,
        )
        for method in methods
    )
