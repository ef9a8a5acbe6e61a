"""Compare scoring a generation as a prefix trie with scoring its candidates one by one.

    python benchmarks/trie.py [--space NAME] [--generations LIST] [--bn-images N] [--images N] [--batch N]

Both score the same candidates on the same images in one process, alternately, and must give the same scores; the ratio
is that of a generation. One by one is `extract`, `recalibrate` and `top1`. Candidates are the new ones of some
generations of Algorithm 1 (P = 50, k = 10, mutation 0.1, MACs below the middle of their range). They come from a quick
search with synthetic scores (a utility for each choice of each block, and noise), since only their ancestry matters
here; the supernet is untrained and images are random for the same reason.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from math import exp
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from cli.openmp import SPINCOUNT

os.environ.setdefault("GOMP_SPINCOUNT", SPINCOUNT)  # before torch loads

import torch

from exporters.devices.attached import attached
from toolchain.costs.core import Budget, Limit
from toolchain.costs.counters import macs_cost
from toolchain.counting.feasible import FeasibleSet
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.progress import Quiet
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.generations import Scoring, run_strategy
from toolchain.search.journal import Journal
from toolchain.search.scores import CandidateLine, Score
from toolchain.search.strategies import Evolution
from toolchain.search.trie import Trie
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.accuracy import fixed_batches, recalibration_batches, top1
from toolchain.training.data import Data, Preprocessing
from toolchain.training.digests import digests_of
from toolchain.training.images import MemoryImages
from toolchain.training.precision import compute_device
from toolchain.training.recalibrate import recalibrate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2_quick")
    parser.add_argument("--generations", default="0,2,5,10,19", help="generations to time, starting at 0")
    parser.add_argument("--bn-images", type=int, default=1000)
    parser.add_argument("--images", type=int, default=1000, help="number of hold-out images")
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=1, help="repeats of each generation")
    args = parser.parse_args()
    torch.set_num_threads(1)
    space = load_space(args.space)
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))
    supernet.to(compute_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    data = drawn_images(space, args.bn_images, args.images)
    evaluator = Evaluator(supernet, data, ScoringSettings(args.bn_images, args.batch, seed=0))
    generations = evolved(space)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else attached()[0].model
    print(f"{device}, 1 thread, {platform.system()} {platform.machine()}, torch {torch.__version__}")
    print(f"{args.space}: {args.bn_images} images to recalibrate, {args.images} to score, batch {args.batch}")
    print()
    print(f"{'generation':<12}{'candidates':>11}{'block passes':>14}{'one by one':>12}{'trie':>10}{'ratio':>8}  scores")
    evaluator.many(generations[0][:2])  # decodes images and allocates memory
    ratios = []
    for number in map(int, args.generations.split(",")):
        archs = generations[number]
        sides: dict[str, Callable[[], list[float]]] = {
            "one": partial(one_by_one, supernet, data, archs, args.bn_images, args.batch),
            "trie": partial(as_trie, evaluator, archs),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        scores: dict[str, list[float]] = {}
        for _ in range(args.repeats):
            for name in Random(number).sample(list(sides), k=2):
                began = time.perf_counter()
                scores[name] = sides[name]()
                synchronize()
                seconds[name].append(time.perf_counter() - began)
        one, trie = (median(seconds[name]) for name in ("one", "trie"))
        ratios.append(one / trie)
        root = Trie(supernet, dict(enumerate(archs))).root
        blocks = sum(1 for node in root.walk() if node is not root and node.leaf is None)
        passes = blocks / (len(archs) * len(space.blocks))
        same = "the same" if scores["one"] == scores["trie"] else "NOT THE SAME"
        cells = f"{number:<12}{len(archs):>11}{passes:>14.3f}{f'{one:.2f} s':>12}{f'{trie:.2f} s':>10}"
        print(f"{cells}{ratios[-1]:>8.2f}  {same}", flush=True)
        if scores["one"] != scores["trie"]:
            raise SystemExit(1)
    print(f"median ratio {median(ratios):.2f}")


def one_by_one(
    supernet: Supernet, data: Data, archs: Sequence[Architecture], bn_images: int, batch: int
) -> list[float]:
    scores = []
    for arch in archs:
        net = supernet.eval().extract(arch)
        recalibrate(net, recalibration_batches(data, bn_images, batch, seed=0), data.preprocessing)
        scores.append(top1(net, fixed_batches(data.train, data.holdout, batch), data.preprocessing))
    return scores


def evolved(space: SearchSpace) -> list[list[Architecture]]:
    """The new candidates of 20 generations."""
    utilities = Random(0)
    worth = [{choice.key: utilities.gauss(0, 1) for choice in block.choices} for block in space.blocks]
    results: list[list[Architecture]] = []

    class SyntheticScores:
        def many(self, archs: Sequence[Architecture], reference: object, advance: object) -> list[Score]:
            results.append(list(archs))
            return [Score(self.score(arch)) for arch in archs]

        def score(self, arch: Architecture) -> float:
            noise = Random(str(arch)).gauss(0, 1)
            return 1 / (1 + exp(-sum(row[key] for row, key in zip(worth, arch.choices, strict=True)) - noise))

    macs = macs_cost(space)
    budget = Budget((Limit(macs, (macs.least + macs.greatest) / 2),))
    evolution = Evolution(FeasibleSet(space, budget), population=50, top_k=10, mutation=0.1)
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "j.jsonl", {}, CandidateLine)
        run_strategy(evolution, range(20), Scoring(0, journal, SyntheticScores(), Quiet()))
    return results


def drawn_images(space: SearchSpace, fit: int, holdout: int) -> Data:
    generator = torch.Generator().manual_seed(0)
    count = fit + holdout
    pixels = torch.randint(0, 256, (count, *space.input_shape), dtype=torch.uint8, generator=generator)
    images = MemoryImages(pixels, torch.randint(space.classes, (count,), generator=generator))
    prepare = Preprocessing(space.size_px, (0.5,) * space.in_channels, (0.5,) * space.in_channels)
    classes = tuple(map(str, range(space.classes)))
    training, held_out = tuple(range(fit)), tuple(range(fit, count))
    digests = digests_of(images, training, held_out, images)
    return Data("drawn", digests, classes, images, training, held_out, images, prepare)


def as_trie(evaluator: Evaluator, archs: Sequence[Architecture]) -> list[float]:
    return [score.accuracy for score in evaluator.many(archs)]


def synchronize() -> None:
    """Wait for the GPU, which works asynchronously."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
