"""Measure the value of a second CPU thread on an idle machine and beside another program.

    python benchmarks/threads.py [--space NAME] [--batch N] [--steps N] [--candidates N] [--rounds N]

A training step of the supernet with one thread and with two per layer (`threads`), and scoring of candidates by one
thread and by two, each with different candidates (`search.threads`); then the same beside one busy process.
Alternating, medians of the rounds. The supernet is untrained and images are random.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from random import Random
from statistics import median

from cli.openmp import SPINCOUNT

os.environ.setdefault("GOMP_SPINCOUNT", SPINCOUNT)  # before torch loads

import torch
from supernet_step import SUPERNET, compare
from trie import drawn_images

from exporters.devices.attached import attached
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace

COUNTING = "while True: pass"
IMAGES, SCORING_BATCH = 1000, 250  # recalibration and hold-out, as in the quick preset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2_quick")
    parser.add_argument("--batch", type=int, default=64, help="batch size of a training step")
    parser.add_argument("--steps", type=int, default=40, help="steps per round")
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    space = load_space(args.space)
    print(f"{attached()[0].model}, {platform.system()} {platform.machine()}, torch {torch.__version__}")
    print(f"{args.space}: steps of {args.batch} images; {args.candidates} candidates, {IMAGES} + {IMAGES} images")
    print()
    ways: dict[str, Callable[[], float]] = {
        f"step, {n} thread(s) a layer, ms": partial(step_ms, space, args, n) for n in (1, 2)
    }
    ways |= {f"scoring, {n} thread(s), s": scoring(space, args.candidates, n) for n in (1, 2)}
    idle = measure(ways, args.rounds)
    with subprocess.Popen([sys.executable, "-c", COUNTING]) as busy_process:
        busy = measure(ways, args.rounds)
        busy_process.kill()
    print(f"{'':<34}{'idle':>10}{'busy':>18}{'ratio':>8}")
    for name in ways:
        print(f"{name:<34}{idle[name]:>10.2f}{busy[name]:>18.2f}{busy[name] / idle[name]:>8.2f}")


def measure(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    results: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in Random(number).sample(list(ways), k=len(ways)):
            results[name].append(ways[name]())
    return {name: median(values) for name, values in results.items()}


def step_ms(space: SearchSpace, args: argparse.Namespace, threads: int) -> float:
    torch.set_num_threads(threads)
    return median(cost.wall_ms for cost in compare(space, args.batch, args.steps, seed=0)[SUPERNET])


def scoring(space: SearchSpace, candidates: int, threads: int) -> Callable[[], float]:
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))
    supernet.to(memory_format=torch.channels_last)
    evaluator = Evaluator(
        supernet, drawn_images(space, IMAGES, IMAGES), ScoringSettings(IMAGES, SCORING_BATCH, 0, threads=threads)
    )
    archs = sorted({space.draw(Random(number)) for number in range(candidates)}, key=str)
    evaluator.many(archs[:2])  # decodes images and allocates memory

    def seconds() -> float:
        began = time.perf_counter()
        evaluator.many(archs)
        return time.perf_counter() - began

    return seconds


if __name__ == "__main__":
    main()
