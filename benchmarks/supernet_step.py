"""What a training step of the supernet costs, against the same step of the path that it takes as a plain network.

    python benchmarks/supernet_step.py [--space NAME] [--batch N] [--steps N] [--threads N] [--seed N]

A step is forward, loss, backward and update, with the optimizer and the memory format of `nastool train`. Both
sides make the same steps with the same drawn paths in one process, in turns, who is first by chance. So whatever
disturbs the machine for a while disturbs both. Images are drawn and stay in memory: nothing is loaded or decoded.
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

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as cli/main.py, before torch loads

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exporters.devices.attached import attached
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Slices, Supernet
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.optimizer import sgd, step
from toolchain.training.precision import compute_device
from toolchain.training.recipe import Recipe, load_recipe

LEARNING_RATE = 1e-3  # drawn images have nothing to learn from: small, so that weights stay as they are
SUPERNET, PATH = "supernet", "its path alone"

Forward = Callable[[Tensor], tuple[Tensor, Mapping[nn.Parameter, Slices]]]


@dataclass(frozen=True)
class PartialSums:
    """One of the two that are compared: how it goes forward, and its optimizer."""

    forward: Forward
    optimizer: torch.optim.SGD


@dataclass(frozen=True)
class Cost:
    """One step in ms: by the clock, and the CPU time of all threads (their spinning included)."""

    wall_ms: float
    cpu_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2_quick")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100, help="paths drawn; each is stepped once on either side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.steps < 2:
        parser.error("--steps must be 2 or more")
    torch.set_num_threads(given.threads)
    space = load_space(given.space)
    print_report(given, compare(space, given.batch, given.steps, given.seed))


def compare(space: SearchSpace, batch: int, steps: int, seed: int) -> dict[str, list[Cost]]:
    """The cost of each step on both sides; step n of the one had the path of step n of the other."""
    recipe = load_recipe("quick", "supernet", {"lr": LEARNING_RATE})
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(seed))
    supernet.to(compute_device(), memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = sgd(supernet, recipe)
    images, labels = draw_batch(space, batch, seed)
    rng = Random(seed)
    found: dict[str, list[Cost]] = {SUPERNET: [], PATH: []}
    for _ in range(steps):
        arch = space.draw(rng)
        sides = {SUPERNET: supernet_side(supernet, optimizer, arch), PATH: path_side(supernet, arch, recipe)}
        for side in sides.values():  # the first step of a path claims memory, also for momentum
            train_step(side, images, labels, recipe)
        for name in rng.sample(list(sides), k=len(sides)):
            found[name].append(timed(partial(train_step, sides[name], images, labels, recipe)))
    return found


def supernet_side(supernet: Supernet, optimizer: torch.optim.SGD, arch: Architecture) -> PartialSums:
    return PartialSums(lambda x: (supernet(x, arch), supernet.slices(arch)), optimizer)


def path_side(supernet: Supernet, arch: Architecture, recipe: Recipe) -> PartialSums:
    net = supernet.extract(arch)
    net.to(compute_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PartialSums(lambda x: (net(x), {}), sgd(net, recipe))


def train_step(side: PartialSums, images: Tensor, labels: Tensor, recipe: Recipe) -> None:
    """What `toolchain.training.loop.train` does with a batch."""
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
    """A GPU works on after a call returned."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def print_report(given: argparse.Namespace, found: Mapping[str, list[Cost]]) -> None:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else attached()[0].model
    print(f"{device}, {given.threads} threads, {platform.system()} {platform.machine()}")
    print(f"torch {torch.__version__}, Python {platform.python_version()}")
    print(f"{given.space}, batch {given.batch}, {given.steps} paths, seed {given.seed}")
    print()
    print(f"{'':<16}{'clock ms: median':>18}{'quartiles':>18}{'images/s':>10}{'CPU ms: median':>16}")
    for name, costs in found.items():
        wall = [cost.wall_ms for cost in costs]
        low, _, high = quantiles(wall, n=4)
        cpu = median(cost.cpu_ms for cost in costs)
        rate = given.batch / median(wall) * 1e3
        print(f"{name:<16}{median(wall):>18.2f}{f'{low:.2f} - {high:.2f}':>18}{rate:>10.0f}{cpu:>16.2f}")
    print()
    pairs = list(zip(found[SUPERNET], found[PATH], strict=True))
    for label, ratios in (
        ("clock", [one.wall_ms / other.wall_ms for one, other in pairs]),
        ("CPU", [one.cpu_ms / other.cpu_ms for one, other in pairs]),
    ):
        low, middle, high = quantiles(ratios, n=4)
        print(f"ratio of a pair, {label + ':':<7} median {middle:.3f}, quartiles {low:.3f} - {high:.3f}")


if __name__ == "__main__":
    main()
