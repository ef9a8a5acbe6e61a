"""What a second CPU thread is worth, on an idle machine and beside another program.

    python benchmarks/threads.py [--space NAME] [--batch N] [--steps N] [--candidates N] [--rounds N]

A training step of the supernet with one thread and with two for each layer (`threads`), and the scoring of candidates
by one thread and by two, each with candidates of its own (`search.threads`); then all of it again beside one process
that does nothing but count. In turns, medians of the rounds. The supernet is untrained and images are drawn.
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

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as cli/main.py, before torch loads

import torch
from supernet_step import SUPERNET, compare
from trie import drawn_images

from exporters.devices.attached import attached
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.search.evaluate import Evaluator
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace

COUNTING = "while True: pass"
IMAGES, SCORING_BATCH = 1000, 250  # of recalibration, and of the hold-out: those of the quick preset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2_quick")
    parser.add_argument("--batch", type=int, default=64, help="of a training step")
    parser.add_argument("--steps", type=int, default=40, help="a round")
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    space = load_space(given.space)
    print(f"{attached()[0].model}, {platform.system()} {platform.machine()}, torch {torch.__version__}")
    print(f"{given.space}: steps of {given.batch} images; {given.candidates} candidates, {IMAGES} + {IMAGES} images")
    print()
    ways = {f"step, {n} thread(s) a layer, ms": partial(step_ms, space, given, n) for n in (1, 2)}
    ways |= {f"scoring, {n} thread(s), s": scoring(space, given.candidates, n) for n in (1, 2)}
    idle = measure(ways, given.rounds)
    with subprocess.Popen([sys.executable, "-c", COUNTING]) as other:
        busy = measure(ways, given.rounds)
        other.kill()
    print(f"{'':<34}{'idle':>10}{'beside another':>18}{'ratio':>8}")
    for name in ways:
        print(f"{name:<34}{idle[name]:>10.2f}{busy[name]:>18.2f}{busy[name] / idle[name]:>8.2f}")


def measure(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in Random(number).sample(list(ways), k=len(ways)):
            found[name].append(ways[name]())
    return {name: median(values) for name, values in found.items()}


def step_ms(space: SearchSpace, given: argparse.Namespace, threads: int) -> float:
    torch.set_num_threads(threads)
    return median(cost.wall_ms for cost in compare(space, given.batch, given.steps, seed=0)[SUPERNET])


def scoring(space: SearchSpace, candidates: int, threads: int) -> Callable[[], float]:
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    evaluator = Evaluator(supernet, drawn_images(space, IMAGES, IMAGES), IMAGES, SCORING_BATCH, 0, threads=threads)
    archs = sorted({space.draw(Random(number)) for number in range(candidates)}, key=str)
    evaluator.many(archs[:2])  # decodes and claims memory

    def seconds() -> float:
        began = time.perf_counter()
        evaluator.many(archs)
        return time.perf_counter() - began

    return seconds


if __name__ == "__main__":
    main()
