"""A whole Algorithm 1 on the quick preset, against the plain way; and what of a search is not evaluation.

    python benchmarks/algorithm1.py [--epochs N] [--generations N] [--sample N] [--only-overhead]

1. The supernet of the quick preset is trained, then searched with the paper's numbers (P = 50, T = 20, k = 10), MACs
   below their middle, on the preset's images. The plain way scores every slot of Algorithm 1 by itself (`extract`,
   `recalibrate`, `top1`), also what was scored before: it is timed on every `--sample`th generation and scaled to all
   slots, which is said. Two searches are set against it: Algorithm 1 as it is published, whose mutations and
   crossovers repeat what was there before (so that the score cache saves work), and nastool's, whose slots are
   all new (so that a search sees more candidates, and only the trie saves work). All of it with one thread.
2. The preset's own search (P = 20, T = 5, k = 5) against the training of its supernet, with the preset's threads.
3. All of a search that is not evaluation: counting costs, the feasible set, proposals, journal; 1,000 slots on the
   paper's space with limits on MACs and on a made-up latency, where a score takes no time.
"""

import argparse
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as cli/main.py, before torch loads

import torch

from exporters.devices.attached import attached
from toolchain.config import parse_config, preset_text
from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.costs.counters import bitops_cost, macs_cost, params_cost, weight_bits_cost
from toolchain.counting.feasible import FeasibleSet
from toolchain.nets.supernet import Supernet
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.search.evaluate import Evaluator
from toolchain.search.generations import run_strategy
from toolchain.search.journal import Journal
from toolchain.search.scores import Score
from toolchain.search.strategies import Evolution, Proposal, Scored, Strategy, best_first
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.accuracy import fixed_batches, recalibration_batches, top1
from toolchain.training.data import Data, load_data
from toolchain.training.recalibrate import recalibrate
from toolchain.training.stages import load_supernet, prepare_torch, train_supernet

POPULATION, TOP_K, MUTATION = 50, 10, 0.1  # the paper's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--epochs", type=float, default=None, help="of the supernet; the preset's if not given")
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--sample", type=int, default=5, help="the plain way is timed on each such generation")
    parser.add_argument("--only-overhead", action="store_true", help="part 3 alone")
    given = parser.parse_args()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else attached()[0].model
    print(f"{device}, {platform.system()} {platform.machine()}, torch {torch.__version__}")
    if not given.only_overhead:
        search_the_quick_preset(given)
    time_all_but_evaluation(given.generations)


def search_the_quick_preset(given: argparse.Namespace) -> None:
    changes = {} if given.epochs is None else {"train.changes": {"epochs": given.epochs}}
    config = parse_config(preset_text("quick"), {"data": given.data, **changes}, "benchmark")
    prepare_torch(config)
    space = load_space(config.space)
    data = load_data(given.data, space, config.holdout_per_class, config.seed)
    macs = macs_cost(space)
    feasible = FeasibleSet(space, Budget((Limit(macs, (macs.least + macs.greatest) / 2),)))
    bn_images, batch = config.search.bn_images, config.search.batch
    with TemporaryDirectory() as folder:
        run = Run(Path(folder))
        began = time.perf_counter()
        train_supernet(config, space, data, run, Quiet())
        train_s = time.perf_counter() - began
        print(f"supernet of {space.name} on {data.name} trained: {train_s:.1f} s")
        supernet = load_supernet(config, space, data, run, Quiet())

        plain = Plain(supernet, data, bn_images, batch)
        published = Published(Evolution(feasible, POPULATION, TOP_K, MUTATION))
        own = Evolution(feasible, POPULATION, TOP_K, MUTATION)
        preset = Evolution(feasible, config.search.population, config.search.top_k, config.search.mutation)
        evaluators = (
            Evaluator(supernet, data, bn_images, batch, config.seed, threads=threads)
            for threads in (1, 1, config.search.threads)
        )
        took: dict[str, float] = {}
        wanted: list[tuple[str, Strategy, int]] = [
            ("Algorithm 1 as published", published, given.generations),
            ("Algorithm 1, all slots new", own, given.generations),
            ("the preset's search", preset, config.search.generations),
        ]
        for (name, strategy, generations), evaluator in zip(wanted, evaluators, strict=True):
            journal = Journal(Path(folder) / f"{name}.jsonl", {})
            began = time.perf_counter()
            found = run_strategy(strategy, generations, config.seed, journal, evaluator, Quiet())
            took[name] = time.perf_counter() - began
            print(
                f"{name}: {len(found)} slots, {len(journal.lines)} candidates, {took[name]:.1f} s, "
                f"best {best_first(found)[0].accuracy:.2%}",
                flush=True,
            )
            if strategy is not preset:
                report_plain(plain.search(found, given.sample), took[name])
        ratio = took["the preset's search"] / train_s
        print(f"the preset's search / training of its supernet: {ratio:.3f}, 1/{1 / ratio:.0f}")


@dataclass(frozen=True)
class PlainTime:
    """Seconds for some slots, and for all if the others take as long."""

    slots: int
    seconds: float
    all_seconds: float


@dataclass(frozen=True)
class Plain:
    """Scores each slot by itself."""

    supernet: Supernet
    data: Data
    bn_images: int
    batch: int

    def search(self, found: Sequence[Scored], sample: int) -> PlainTime:
        """Score the slots of each `sample`th generation again, and compare."""
        slots = [slot for slot in found if slot.generation % sample == 0]
        recalibration = list(recalibration_batches(self.data, self.bn_images, self.batch, seed=0))
        holdout = list(fixed_batches(self.data.train, self.data.holdout, self.batch))
        began = time.perf_counter()
        for slot in slots:
            net = self.supernet.eval().extract(slot.architecture)
            recalibrate(net, recalibration, self.data.preprocessing)
            accuracy = top1(net, holdout, self.data.preprocessing)
            if accuracy != slot.accuracy:
                raise SystemExit(f"{slot.architecture}: {accuracy} by itself, {slot.accuracy} in the search")
        seconds = time.perf_counter() - began
        return PlainTime(len(slots), seconds, seconds * len(found) / len(slots))


def report_plain(plain: PlainTime, took_s: float) -> None:
    print(
        f"    the plain way: {plain.slots} slots in {plain.seconds:.1f} s, the same scores; scaled to all slots "
        f"{plain.all_seconds:.1f} s, {plain.all_seconds / took_s:.2f} times as long",
        flush=True,
    )


@dataclass(frozen=True)
class Published:
    """Algorithm 1 to the letter: what mutation and crossover give is taken if it meets the limits, new or not."""

    evolution: Evolution
    name: str = "published"

    def propose(self, scored: Sequence[Scored], rng: Random) -> list[Proposal]:
        size, feasible = self.evolution.population, self.evolution.feasible
        best = {slot.architecture: None for slot in best_first(scored)}
        parents = list(best)[: self.evolution.top_k]
        if not parents:
            return [Proposal(feasible.draw(rng), "random") for _ in range(size)]
        found: list[Proposal] = []
        while len(found) < size:
            if len(found) < size // 2:
                arch, origin = self.evolution._cross(rng.choice(parents), rng.choice(parents), rng), "crossover"
            else:
                arch, origin = self.evolution._mutate(rng.choice(parents), rng), "mutation"
            if feasible.budget.allows(arch):
                found.append(Proposal(arch, origin))
        return found


class NoTime:
    """Scores made up from the text of a candidate."""

    def many(self, archs: Sequence[Architecture], reference: object, advance: object) -> list[Score]:
        return [Score(sum(map(ord, str(arch))) % 997 / 997) for arch in archs]


def time_all_but_evaluation(generations: int) -> None:
    marks = [("", time.perf_counter())]

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter()))

    space = load_space("shufflenet_v2")
    macs = macs_cost(space)
    for cost in (params_cost, bitops_cost, weight_bits_cost):  # a search reports them as well
        cost(space)
    mark("costs counted")
    latency = made_up_latency(space, macs)
    budget = Budget((Limit(macs, 330e6), Limit(latency, (latency.least + latency.greatest) / 2)))
    feasible = FeasibleSet(space, budget)
    mark("feasible set")
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "j.jsonl", {})
        evolution = Evolution(feasible, POPULATION, TOP_K, MUTATION)
        found = run_strategy(evolution, generations, 0, journal, NoTime(), Quiet())
        mark("proposals and journal")
        run_strategy(evolution, generations, 0, Journal(Path(folder) / "j.jsonl", {}), NoTime(), Quiet())
        mark("replay from the journal")
    print(f"all but evaluation: {len(found)} slots of {space.name}, {budget}, {feasible.share:.1%} of the space fit")
    for (_, before), (name, after) in pairwise(marks):
        print(f"    {name}: {after - before:.2f} s")
    print(f"    in all: {marks[-1][1] - marks[0][1]:.2f} s")


def made_up_latency(space: SearchSpace, macs: TableCost) -> TableCost:
    """Floats that follow MACs loosely; blocks with the same outside share them, as in a table of measurements."""
    rng = Random(2)
    known: dict[tuple[str, str], float] = {}
    rows = tuple(
        {k: known.setdefault((block.geometry, k), value / 2e7 * rng.uniform(0.7, 1.3)) for k, value in row.items()}
        for block, row in zip(space.blocks, macs.rows, strict=True)
    )
    return TableCost("latency_ms", "ms", 1.5, rows)


if __name__ == "__main__":
    main()
