"""Measure a training step of the supernet, compared with the same step of its path as a plain network.

    python benchmarks/supernet_step.py [--space NAME] [--batch N] [--steps N] [--threads N] [--seed N]

A step is forward, loss, backward and update, with the optimizer and the memory format of `nastool train`. Both take
the same steps with the same sampled paths in one process, alternately and in random order, so that machine load
affects both. Images are random and stay in memory: nothing is loaded or decoded.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import median, quantiles

from cli.openmp import SPINCOUNT

os.environ.setdefault("GOMP_SPINCOUNT", SPINCOUNT)  # before torch loads

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exporters.devices.attached import attached
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Slices, Supernet
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.optimizer import build_optimizer, step
from toolchain.training.precision import compute_device
from toolchain.training.recipe import Recipe, load_recipe

LEARNING_RATE = 1e-3  # small, since random images carry no signal
SUPERNET, PATH = "supernet", "its path alone"

Forward = Callable[[Tensor], tuple[Tensor, Mapping[nn.Parameter, Slices]]]


@dataclass(frozen=True)
class PartialSums:
    """One of the two compared networks: its forward pass and its optimizer."""

    forward: Forward
    optimizer: torch.optim.Optimizer


@dataclass(frozen=True)
class Cost:
    """Time of one step in ms: clock time, and CPU time of all threads (including spinning)."""

    wall_ms: float
    cpu_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2_quick")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument(
        "--steps", type=int, default=100, help="number of sampled paths; both networks take one step with each"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.steps < 2:
        parser.error("--steps must be 2 or more")
    torch.set_num_threads(args.threads)
    space = load_space(args.space)
    print_report(args, compare(space, args.batch, args.steps, args.seed))


def compare(space: SearchSpace, batch: int, steps: int, seed: int) -> dict[str, list[Cost]]:
    """The cost of each step of both networks; step n of both has the same path."""
    recipe = load_recipe("quick", "supernet", {"lr": LEARNING_RATE})
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(seed))
    supernet.to(compute_device(), memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = build_optimizer(supernet, recipe)
    images, labels = draw_batch(space, batch, seed)
    rng = Random(seed)
    results: dict[str, list[Cost]] = {SUPERNET: [], PATH: []}
    for _ in range(steps):
        arch = space.draw(rng)
        sides = {SUPERNET: supernet_side(supernet, optimizer, arch), PATH: path_side(supernet, arch, recipe)}
        for side in sides.values():  # the first step of a path allocates memory
            train_step(side, images, labels, recipe)
        for name in rng.sample(list(sides), k=len(sides)):
            results[name].append(timed(partial(train_step, sides[name], images, labels, recipe)))
    return results


def supernet_side(supernet: Supernet, optimizer: torch.optim.Optimizer, arch: Architecture) -> PartialSums:
    return PartialSums(lambda x: (supernet(x, arch), supernet.slices(arch)), optimizer)


def path_side(supernet: Supernet, arch: Architecture, recipe: Recipe) -> PartialSums:
    net = supernet.extract(arch)
    net.to(compute_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PartialSums(lambda x: (net(x), {}), build_optimizer(net, recipe))


def train_step(side: PartialSums, images: Tensor, labels: Tensor, recipe: Recipe) -> None:
    """One training step, as in `toolchain.training.loop.train`."""
    logits, slices = side.forward(images)
    loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    side.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    step(side.optimizer, slices)


def draw_batch(space: SearchSpace, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (N, C, S, S) in channels_last memory and labels (N,), on the device."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, *space.input_shape, generator=generator)
    labels = torch.randint(space.classes, (batch,), generator=generator)
    device = compute_device()
    return images.to(device, memory_format=torch.channels_last), labels.to(device)


def timed(call: Callable[[], None]) -> Cost:
    synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    synchronize()
    return Cost((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3)


def synchronize() -> None:
    """Wait for the GPU, which works asynchronously."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def print_report(args: argparse.Namespace, results: Mapping[str, list[Cost]]) -> None:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else attached()[0].model
    print(f"{device}, {args.threads} threads, {platform.system()} {platform.machine()}")
    print(f"torch {torch.__version__}, Python {platform.python_version()}")
    print(f"{args.space}, batch {args.batch}, {args.steps} paths, seed {args.seed}")
    print()
    print(f"{'':<16}{'clock ms: median':>18}{'quartiles':>18}{'images/s':>10}{'CPU ms: median':>16}")
    for name, costs in results.items():
        wall = [cost.wall_ms for cost in costs]
        low, _, high = quantiles(wall, n=4)
        cpu = median(cost.cpu_ms for cost in costs)
        rate = args.batch / median(wall) * 1e3
        print(f"{name:<16}{median(wall):>18.2f}{f'{low:.2f} - {high:.2f}':>18}{rate:>10.0f}{cpu:>16.2f}")
    print()
    pairs = list(zip(results[SUPERNET], results[PATH], strict=True))
    for label, ratios in (
        ("clock", [one.wall_ms / other.wall_ms for one, other in pairs]),
        ("CPU", [one.cpu_ms / other.cpu_ms for one, other in pairs]),
    ):
        low, middle, high = quantiles(ratios, n=4)
        print(f"ratio of pairs, {label + ':':<7} median {middle:.3f}, quartiles {low:.3f} - {high:.3f}")


if __name__ == "__main__":
    main()
