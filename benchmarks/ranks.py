"""Measure the images per second of two processes training one supernet, compared with one process.

    python benchmarks/ranks.py [--space NAME] [--batch N] [--steps N] [--ranks N] [--rounds N] [--seed N]

Both take the same steps of the same batch (each process its part), with one thread per process, alternately. Images are
random and stay in memory. The benchmark needs as many idle cores as ranks: processes that synchronize at every
normalization layer suffer most from interruptions.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from random import Random
from statistics import median

from cli.openmp import SPINCOUNT

os.environ.setdefault("GOMP_SPINCOUNT", SPINCOUNT)  # before torch loads

import torch

from exporters.devices.attached import attached
from toolchain.nets.blocks import SUPERNET, shared_by
from toolchain.nets.depthwise import accelerate_depthwise
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.parallel.collectives import joined, wait_for_all
from toolchain.parallel.ranks import rank, world
from toolchain.spaces import load_space
from toolchain.training.batches import mix
from toolchain.training.data import Preprocessing
from toolchain.training.optimizer import build_optimizer
from toolchain.training.passes import Passes, through
from toolchain.training.precision import FP32
from toolchain.training.recipe import load_recipe
from toolchain.training.stepper import Stepper
from toolchain.training.strategies import Path

WARM_UP = 5
LEARNING_RATE = 1e-3  # random images carry no signal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2_quick")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print_steps(args)
        return
    rates: dict[int, list[float]] = {1: [], args.ranks: []}
    for _ in range(args.rounds):
        for ranks, results in rates.items():
            results.append(measure(ranks))
    print(f"{attached()[0].model}, {platform.system()} {platform.machine()}, torch {torch.__version__}")
    print(f"{args.space}, batch {args.batch}, {args.steps} steps a round, {args.rounds} rounds, one thread a process")
    print()
    for ranks, results in rates.items():
        spread = f"({min(results):.0f} to {max(results):.0f})"
        print(f"{ranks} x {args.batch // ranks:<5} images/s: {median(results):8.0f}   {spread}")
    print(f"ratio of medians: {median(rates[args.ranks]) / median(rates[1]):.2f}")


def measure(ranks: int) -> float:
    """Images per second of new processes, started like torchrun does."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    process = subprocess.run(
        [sys.executable, *launcher, __file__, *sys.argv[1:], "--work"], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(process.stdout.split()[-1])


def print_steps(args: argparse.Namespace) -> None:
    """Run as one of the processes; the first prints the images per second of all."""
    torch.set_num_threads(1)
    device = torch.device("cpu")
    with joined(device):
        space = load_space(args.space)
        supernet = Supernet(space, shared_by(SUPERNET, world()))
        initialize(supernet, torch.Generator().manual_seed(args.seed))
        supernet.to(memory_format=torch.channels_last).train()
        accelerate_depthwise(supernet)

        def plan(step: int) -> Passes:
            return through(supernet, [Path(space.draw(Random(mix(args.seed, step))))])

        optimizer = build_optimizer(supernet, load_recipe("quick", "supernet", {"lr": LEARNING_RATE}))
        channels = (0.5,) * space.in_channels
        preprocessing = Preprocessing(space.size_px, channels, channels)
        stepper = Stepper(plan, preprocessing, optimizer, FP32.scaler(device), FP32, 0.0)
        generator = torch.Generator().manual_seed(args.seed + rank())
        share = args.batch // world()
        pixels = torch.randint(256, (share, *space.input_shape), dtype=torch.uint8, generator=generator)
        labels = torch.randint(space.classes, (share,), generator=generator)
        for step in range(WARM_UP + args.steps):
            if step == WARM_UP:
                wait_for_all()
                began = time.perf_counter()
            stepper(pixels, labels, step)
        if rank() == 0:
            print(args.steps * share * world() / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
