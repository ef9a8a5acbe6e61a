"""Images a second of reading data and of training on it, side by side: which of the two waits for the other."""

import os
import resource
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from multiprocessing import get_context
from random import Random
from statistics import mean, median
from typing import Any

import torch
from torch import Tensor, nn

from toolchain.config import Config
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.progress import Progress
from toolchain.spaces.core import SearchSpace
from toolchain.training.batches import CPU, Batch, StepSampler, mix, training_batches
from toolchain.training.data import Data, load_data
from toolchain.training.images import MemoryImages
from toolchain.training.loop import Stepper
from toolchain.training.optimizer import Slices, sgd
from toolchain.training.precision import compute_device, precision_of
from toolchain.training.recipe import Recipe, load_recipe

ROUNDS = 5
ROUND_S = 2.0  # of each round, for each of the three
ENDLESS = 10**9  # steps
SMALL_RATE = 1e-4  # one batch for ever must not diverge


@dataclass(frozen=True)
class Rate:
    """What one round took, an image."""

    wall_s: float
    cpu_s: float  # of all processes

    @property
    def images_per_s(self) -> float:
        return 1 / self.wall_s


def bench_data(config: Config, space: SearchSpace, progress: Progress) -> dict[str, Any]:
    """Measure, in turns, decode and transform alone, the loader, and the supernet's training step, in images a second.

    `bare` is what one process decodes and transforms by itself, times the workers (but not more than cores);
    `side_by_side` what so many processes do at the same time that hand nothing over (less than `bare` where cores share
    caches or are two threads of one); `loader` is what arrives at the training loop. Medians of `ROUNDS` rounds. CPU
    times are those of all processes together, in ms an image: other programs on the machine hardly add to them.

    Raises:
        BadConfig, BadData, NoDevice: see `load_recipe`, `load_data`, `compute_device`.
    """
    data = load_data(config.data_name(), space, config.holdout_per_class, config.seed)
    recipe = load_recipe(config.train.recipe, "supernet", config.train.changes)
    device = compute_device(config.train.device)
    in_memory = isinstance(data.train, MemoryImages)
    workers = 0 if in_memory else config.workers

    def batches(workers: int, device: torch.device, steps: int = ENDLESS) -> Iterator[Batch]:
        sampler = StepSampler(data.fit, recipe.batch, config.seed, 0, steps, groups=data.train.groups)
        return training_batches(data.train, sampler, recipe.augmentation, workers, device)

    bare = batches(0, device if in_memory else CPU)
    processes = max(1, min(workers, len(os.sched_getaffinity(0))))
    steps = _steps(config, space, data, recipe, device, next(batches(0, device)))
    ways: dict[str, Callable[[], Rate]] = {
        "bare": lambda: _rate(bare, recipe.batch, device),
        "side_by_side": lambda: _side_by_side(partial(_rate, bare, recipe.batch, device), processes),
        "loader": lambda: _loader_rate(partial(batches, workers, device), workers, found["bare"][-1], recipe.batch),
        "step": lambda: _rate(steps, recipe.batch, device),
    }
    next(steps)  # claims memory
    found: dict[str, list[Rate]] = {name: [] for name in ways}
    task = progress.start("images a second", ROUNDS * len(ways))
    for _ in range(ROUNDS):
        for name, measure in ways.items():
            found[name].append(measure())
            task.advance(note=name)
    rates = {name: median(rate.images_per_s for rate in rounds) for name, rounds in found.items()}
    cpu_ms = {name: 1e3 * median(rate.cpu_s for rate in rounds) for name, rounds in found.items()}
    at_once = rates["bare"] * processes
    return {
        "data": data.name,
        "size_px": space.size_px,
        "batch": recipe.batch,
        "workers": workers,
        "device": str(device),
        "bare_one_process_images_per_s": rates["bare"],
        "bare_images_per_s": at_once,
        "side_by_side_images_per_s": rates["side_by_side"],
        "loader_images_per_s": rates["loader"],
        "loader_share_of_bare": rates["loader"] / at_once,
        "loader_share_of_side_by_side": rates["loader"] / rates["side_by_side"],
        "step_images_per_s": rates["step"],
        "waits": "loader" if rates["loader"] > rates["step"] else "step",
        "bare_cpu_ms": cpu_ms["bare"],
        "side_by_side_cpu_ms": cpu_ms["side_by_side"],
        "loader_cpu_ms": cpu_ms["loader"],
        "step_cpu_ms": cpu_ms["step"],
    }


def _steps(
    config: Config, space: SearchSpace, data: Data, recipe: Recipe, device: torch.device, batch: Batch
) -> Iterator[Batch]:
    """Trains a supernet on one batch for ever; gives it back after each step."""
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(config.seed))
    supernet.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    precision = precision_of(config.train.precision, device, space.quantized)
    optimizer = sgd(supernet, recipe.model_copy(update={"lr": SMALL_RATE}))

    def forward(images: Tensor, step: int) -> tuple[Tensor, Mapping[nn.Parameter, Slices]]:
        arch = space.draw(Random(mix(config.seed, step)))
        return supernet(images, arch), supernet.slices(arch)

    stepper = Stepper(forward, data.preprocessing, optimizer, precision.scaler(device), precision, 0.0)
    for step, (pixels, labels) in enumerate(repeat(batch)):
        stepper(pixels, labels, step)
        yield batch


def _side_by_side(measure: Callable[[], Rate], processes: int) -> Rate:
    """`measure` in so many processes at once (forks, which share nothing that they write)."""
    if processes == 1:
        return measure()
    context = get_context("fork")
    answers = context.SimpleQueue()
    children = [context.Process(target=lambda: answers.put(measure())) for _ in range(processes)]
    for child in children:
        child.start()
    found = [answers.get() for _ in children]
    for child in children:
        child.join()
    return Rate(1 / sum(rate.images_per_s for rate in found), mean(rate.cpu_s for rate in found))


def _loader_rate(batches: Callable[[int], Iterator[Batch]], workers: int, bare: Rate, size: int) -> Rate:
    """Of a loader that starts anew (one that waited would have batches ready), by the clock without its first ones."""
    turns = max(4, round(ROUND_S / (bare.wall_s * size)))  # as many of each worker: none is idle at the end
    first, steps = 2 * workers, turns * max(1, workers)
    cpu = _cpu_s()
    loader = batches(first + steps)
    deque(islice(loader, first), maxlen=0)
    began = time.perf_counter()
    deque(loader, maxlen=0)  # to the end: then all that the workers did has arrived
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall_s = time.perf_counter() - began
    return Rate(wall_s / (steps * size), (_cpu_s() - cpu) / ((first + steps) * size))


def _cpu_s() -> float:
    """CPU time of this process and of those it has started that have ended."""
    own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def _rate(batches: Iterator[Batch], size: int, device: torch.device) -> Rate:
    """Over `ROUND_S` or more."""
    began, cpu, images = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < ROUND_S:
        next(batches)
        images += size
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return Rate((time.perf_counter() - began) / images, (time.process_time() - cpu) / images)
