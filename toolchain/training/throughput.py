"""Images per second of loading data and of training, to find which of the two waits for the other."""

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

import torch

from toolchain.config import Config
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.progress import Progress
from toolchain.spaces.core import SearchSpace
from toolchain.training.batches import CPU, Batch, StepSampler, mix, training_batches
from toolchain.training.cores import available_cores
from toolchain.training.data import Data, configured_data
from toolchain.training.images import MemoryImages
from toolchain.training.optimizer import build_optimizer
from toolchain.training.passes import Passes, through
from toolchain.training.precision import compute_device, precision_of
from toolchain.training.recipe import Recipe, load_recipe
from toolchain.training.stepper import Stepper
from toolchain.training.strategies import Path
from toolchain.training.torch_setup import place

ROUNDS = 5
ROUND_S = 2.0  # per measurement
ENDLESS = 10**9  # steps
SMALL_RATE = 1e-4  # training on one batch must not diverge


@dataclass(frozen=True)
class Rate:
    """Time per image of one round."""

    wall_s: float
    cpu_s: float  # of all processes

    @property
    def images_per_s(self) -> float:
        return 1 / self.wall_s

    @property
    def cpu_ms(self) -> float:
        return 1e3 * self.cpu_s


@dataclass(frozen=True)
class Throughput:
    """Images per second of each part of training, and its CPU time per image.

    Rates are medians of `ROUNDS` rounds. CPU times are those of all processes; other programs hardly change them.

    Args:
        workers: processes that decode image files; 0 for data in memory.
        processes: how many decode at the same time: the workers, at most one per core.
        bare: one process that decodes and augments.
        side_by_side: `processes` of them at the same time, which transfer nothing. Less than as many times `bare` where
            cores share caches or are two threads of one.
        loader: batches that reach the training loop.
        step: training steps of the supernet on one batch.
    """

    data: str
    size_px: int
    batch: int
    workers: int
    processes: int
    device: str
    bare: Rate
    side_by_side: Rate
    loader: Rate
    step: Rate

    def as_dict(self) -> dict[str, str | int | float]:
        """The content of --json; `waits` is the slower of loader and step."""
        bare, loader, step = self.bare.images_per_s, self.loader.images_per_s, self.step.images_per_s
        return {
            "data": self.data,
            "size_px": self.size_px,
            "batch": self.batch,
            "workers": self.workers,
            "device": self.device,
            "bare_one_process_images_per_s": bare,
            "bare_images_per_s": bare * self.processes,
            "side_by_side_images_per_s": self.side_by_side.images_per_s,
            "loader_images_per_s": loader,
            "loader_share_of_bare": loader / (bare * self.processes),
            "loader_share_of_side_by_side": loader / self.side_by_side.images_per_s,
            "step_images_per_s": step,
            "waits": "loader" if loader > step else "step",
            "bare_cpu_ms": self.bare.cpu_ms,
            "side_by_side_cpu_ms": self.side_by_side.cpu_ms,
            "loader_cpu_ms": self.loader.cpu_ms,
            "step_cpu_ms": self.step.cpu_ms,
        }


def bench_data(config: Config, space: SearchSpace, progress: Progress) -> Throughput:
    """Measure decoding and augmentation, the loader, and the training step of the supernet in turn.

    Raises:
        BadConfig, BadData, NoDevice: see `load_recipe`, `load_data`, `compute_device`.
    """
    data = configured_data(config, space, progress, "supernet")
    recipe = load_recipe(config.train.recipe, "supernet", config.train.changes)
    device = compute_device(config.train.device)
    in_memory = isinstance(data.train, MemoryImages)
    workers = 0 if in_memory else config.workers
    processes = max(1, min(workers, available_cores()))

    def batches(workers: int, device: torch.device, steps: int = ENDLESS) -> Iterator[Batch]:
        sampler = StepSampler(data.fit, recipe.batch, config.seed, 0, steps, groups=data.train.groups)
        return training_batches(data.train, sampler, recipe.augmentation, workers, device)

    bare_batches = batches(0, device if in_memory else CPU)
    steps = _steps(config, space, data, recipe, device, next(batches(0, device)))
    next(steps)  # allocates memory
    measure_bare = partial(_rate, bare_batches, recipe.batch, device)
    rates = _median_rates(
        {
            "bare": lambda _: measure_bare(),
            "side_by_side": lambda _: _side_by_side(measure_bare, processes),
            "loader": lambda bare: _loader_rate(partial(batches, workers, device), workers, bare, recipe.batch),
            "step": lambda _: _rate(steps, recipe.batch, device),
        },
        progress,
    )
    return Throughput(
        data=data.name,
        size_px=space.size_px,
        batch=recipe.batch,
        workers=workers,
        processes=processes,
        device=str(device),
        **rates,
    )


def _median_rates(measurements: Mapping[str, Callable[[Rate], Rate]], progress: Progress) -> dict[str, Rate]:
    """The medians of `ROUNDS` rounds, in each of which every measurement runs once after `bare`, whose rate it gets."""
    rounds: dict[str, list[Rate]] = {name: [] for name in measurements}
    task = progress.start("images per second", ROUNDS * len(measurements))
    bare = Rate(0.0, 0.0)
    for _ in range(ROUNDS):
        for name, measure in measurements.items():
            rate = measure(bare)
            bare = rate if name == "bare" else bare
            rounds[name].append(rate)
            task.advance(note=name)
    return {
        name: Rate(1 / median(rate.images_per_s for rate in rates), median(rate.cpu_s for rate in rates))
        for name, rates in rounds.items()
    }


def _steps(
    config: Config, space: SearchSpace, data: Data, recipe: Recipe, device: torch.device, batch: Batch
) -> Iterator[Batch]:
    """Train a supernet on one batch without end; yields after each step."""
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(config.seed))
    place(supernet, device).train()
    precision = precision_of(config.train.precision, device, space.quantized)
    optimizer = build_optimizer(supernet, recipe.model_copy(update={"lr": SMALL_RATE}))

    def plan(step: int) -> Passes:
        return through(supernet, [Path(space.draw(Random(mix(config.seed, step))))])

    stepper = Stepper(plan, data.preprocessing, optimizer, precision.scaler(device), precision, 0.0)
    for step, (pixels, labels) in enumerate(repeat(batch)):
        stepper(pixels, labels, step)
        yield batch


def _side_by_side(measure: Callable[[], Rate], processes: int) -> Rate:
    """`measure` in several forked processes at the same time."""
    if processes == 1:
        return measure()
    context = get_context("fork")
    results = context.SimpleQueue()
    children = [context.Process(target=lambda: results.put(measure())) for _ in range(processes)]
    for child in children:
        child.start()
    rates = [results.get() for _ in children]
    for child in children:
        child.join()
    return Rate(1 / sum(rate.images_per_s for rate in rates), mean(rate.cpu_s for rate in rates))


def _loader_rate(batches: Callable[[int], Iterator[Batch]], workers: int, bare: Rate, size: int) -> Rate:
    """The rate of a fresh loader (a waiting one has batches ready), without its first batches."""
    turns = max(4, round(ROUND_S / (bare.wall_s * size)))  # the same number per worker: none is idle at the end
    first, steps = 2 * workers, turns * max(1, workers)
    cpu = _cpu_s()
    loader = batches(first + steps)
    deque(islice(loader, first), maxlen=0)
    began = time.perf_counter()
    deque(loader, maxlen=0)  # to the end, so that everything the workers did has arrived
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall_s = time.perf_counter() - began
    return Rate(wall_s / (steps * size), (_cpu_s() - cpu) / ((first + steps) * size))


def _cpu_s() -> float:
    """CPU time of this process and of its children that have ended."""
    own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def _rate(batches: Iterator[Batch], size: int, device: torch.device) -> Rate:
    """The rate over at least `ROUND_S` seconds."""
    began, cpu, images = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < ROUND_S:
        next(batches)
        images += size
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return Rate((time.perf_counter() - began) / images, (time.process_time() - cpu) / images)
