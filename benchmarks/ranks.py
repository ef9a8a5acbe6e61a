"""Images a second of two processes that train one supernet, against one process alone.

    python benchmarks/ranks.py [--space NAME] [--batch N] [--steps N] [--ranks N] [--rounds N] [--seed N]

Both take the same steps of the same batch (each of the processes its part), with one thread a process, in turns.
Images are drawn and stay in memory: nothing is loaded. It needs as many idle cores as ranks: processes that wait for
each other at every normalization suffer most where they are interrupted.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from random import Random
from statistics import median

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as cli/main.py, before torch loads

import torch
from torch import Tensor, nn

from exporters.devices.attached import attached
from toolchain.nets.blocks import SUPERNET, shared_by
from toolchain.nets.depthwise import quicken_depthwise
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Slices, Supernet
from toolchain.parallel.collectives import joined, wait_for_all
from toolchain.parallel.ranks import rank, world
from toolchain.spaces import load_space
from toolchain.training.batches import mix
from toolchain.training.data import Preprocessing
from toolchain.training.loop import Stepper
from toolchain.training.optimizer import sgd
from toolchain.training.precision import FP32
from toolchain.training.recipe import load_recipe

WARM_UP = 5
LEARNING_RATE = 1e-3  # drawn images have nothing to learn from


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2_quick")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print_steps(given)
        return
    rates: dict[int, list[float]] = {1: [], given.ranks: []}
    for _ in range(given.rounds):
        for ranks, found in rates.items():
            found.append(measure(ranks))
    print(f"{attached()[0].model}, {platform.system()} {platform.machine()}, torch {torch.__version__}")
    print(
        f"{given.space}, batch {given.batch}, {given.steps} steps a round, {given.rounds} rounds, one thread a process"
    )
    print()
    for ranks, found in rates.items():
        spread = f"({min(found):.0f} to {max(found):.0f})"
        print(f"{ranks} x {given.batch // ranks:<5} images/s: {median(found):8.0f}   {spread}")
    print(f"ratio of medians: {median(rates[given.ranks]) / median(rates[1]):.2f}")


def measure(ranks: int) -> float:
    """Images a second of a fresh set of processes, as torchrun starts them."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    told = subprocess.run(
        [sys.executable, *launcher, __file__, *sys.argv[1:], "--work"], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(told.stdout.split()[-1])


def print_steps(given: argparse.Namespace) -> None:
    """Be one of the processes; the first prints images a second, of all together."""
    torch.set_num_threads(1)
    device = torch.device("cpu")
    with joined(device):
        space = load_space(given.space)
        supernet = Supernet(space, shared_by(SUPERNET, world()))
        initialize(supernet, torch.Generator().manual_seed(given.seed))
        supernet.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        quicken_depthwise(supernet)

        def forward(images: Tensor, step: int) -> tuple[Tensor, Mapping[nn.Parameter, Slices]]:
            path = space.draw(Random(mix(given.seed, step)))
            return supernet(images, path), supernet.slices(path)

        optimizer = sgd(supernet, load_recipe("quick", "supernet", {"lr": LEARNING_RATE}))
        channels = (0.5,) * space.in_channels
        preprocessing = Preprocessing(space.size_px, channels, channels)
        stepper = Stepper(forward, preprocessing, optimizer, FP32.scaler(device), FP32, 0.0)
        generator = torch.Generator().manual_seed(given.seed + rank())
        share = given.batch // world()
        pixels = torch.randint(256, (share, *space.input_shape), dtype=torch.uint8, generator=generator)
        labels = torch.randint(space.classes, (share,), generator=generator)
        for step in range(WARM_UP + given.steps):
            if step == WARM_UP:
                wait_for_all()
                began = time.perf_counter()
            stepper(pixels, labels, step)
        if rank() == 0:
            print(given.steps * share * world() / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
