"""A complete run of Algorithm 1 on the quick preset, compared with separate evaluation of every candidate.

    python benchmarks/algorithm1.py [--epochs N] [--generations N] [--sample N] [--only-overhead]

1. Trains the supernet of the quick preset and searches it with the paper's numbers (P = 50, T = 20, k = 10), with MACs
   limited to the middle of their range. Separate evaluation scores every slot of Algorithm 1 on its own (`extract`,
   `recalibrate`, `top1`), including repeated candidates; it is timed on every `--sample`th generation and scaled to all
   slots. It is compared with Algorithm 1 as published, whose mutations and crossovers repeat earlier candidates (so
   that the score cache saves work), and with nastool's version, in which all slots are new (so that a search sees more
   candidates, and only the trie saves work). All with one thread.
2. The preset's search (P = 20, T = 5, k = 5) compared with the training of its supernet, with the preset's threads.
3. Everything in a search except evaluation: counting costs, the feasible set, proposals, journal; 1,000 slots on the
   paper's space with limits on MACs and on a synthetic latency, with scores that take no time.
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

from cli.openmp import SPINCOUNT

os.environ.setdefault("GOMP_SPINCOUNT", SPINCOUNT)  # before torch loads

import torch

from exporters.devices.attached import attached
from toolchain.config import parse_config, preset_text
from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.costs.counters import bitops_cost, macs_cost, params_cost, weight_bits_cost
from toolchain.counting.feasible import FeasibleSet
from toolchain.nets.supernet import Supernet
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.generations import Scoring, run_strategy
from toolchain.search.journal import Journal
from toolchain.search.scores import CandidateLine, Score
from toolchain.search.strategies import Evolution, Proposal, Scored, Strategy, best_first
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.accuracy import fixed_batches, recalibration_batches, top1
from toolchain.training.data import Data, configured_data
from toolchain.training.job import Job
from toolchain.training.recalibrate import recalibrate
from toolchain.training.supernet_training import train_supernet
from toolchain.training.torch_setup import prepare_torch
from toolchain.training.trained_supernet import load_supernet

POPULATION, TOP_K, MUTATION = 50, 10, 0.1  # the paper's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--epochs", type=float, default=None, help="epochs of the supernet; default: the preset's")
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--sample", type=int, default=5, help="separate evaluation is timed on every Nth generation")
    parser.add_argument("--only-overhead", action="store_true", help="only part 3")
    args = parser.parse_args()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else attached()[0].model
    print(f"{device}, {platform.system()} {platform.machine()}, torch {torch.__version__}")
    if not args.only_overhead:
        search_the_quick_preset(args)
    time_all_but_evaluation(args.generations)


def search_the_quick_preset(args: argparse.Namespace) -> None:
    changes = {} if args.epochs is None else {"train.changes": {"epochs": args.epochs}}
    config = parse_config(preset_text("quick"), {"data": args.data, **changes}, "benchmark")
    prepare_torch(config)
    space = load_space(config.space)
    data = configured_data(config, space)
    macs = macs_cost(space)
    feasible = FeasibleSet(space, Budget((Limit(macs, (macs.least + macs.greatest) / 2),)))
    bn_images, batch = config.search.bn_images, config.search.batch
    with TemporaryDirectory() as folder:
        job = Job(config, space, data, Run(Path(folder)), Quiet())
        began = time.perf_counter()
        train_supernet(job)
        train_s = time.perf_counter() - began
        print(f"supernet of {space.name} on {data.name} trained: {train_s:.1f} s")
        supernet = load_supernet(job)

        plain = Plain(supernet, data, bn_images, batch)
        published = Published(Evolution(feasible, POPULATION, TOP_K, MUTATION))
        own = Evolution(feasible, POPULATION, TOP_K, MUTATION)
        preset = Evolution(feasible, config.search.population, config.search.top_k, config.search.mutation)
        evaluators = (
            Evaluator(supernet, data, ScoringSettings(bn_images, batch, config.seed, threads=threads))
            for threads in (1, 1, config.search.threads)
        )
        took: dict[str, float] = {}
        selected: list[tuple[str, Strategy, int]] = [
            ("Algorithm 1 as published", published, args.generations),
            ("Algorithm 1, all slots new", own, args.generations),
            ("the preset's search", preset, config.search.generations),
        ]
        for (name, strategy, generations), evaluator in zip(selected, evaluators, strict=True):
            journal = Journal(Path(folder) / f"{name}.jsonl", {}, CandidateLine)
            began = time.perf_counter()
            results = run_strategy(strategy, range(generations), Scoring(config.seed, journal, evaluator, Quiet()))
            took[name] = time.perf_counter() - began
            print(
                f"{name}: {len(results)} slots, {len(journal.lines)} candidates, {took[name]:.1f} s, "
                f"best {best_first(results)[0].accuracy:.2%}",
                flush=True,
            )
            if strategy is not preset:
                report_plain(plain.search(results, args.sample), took[name])
        ratio = took["the preset's search"] / train_s
        print(f"the preset's search / training of its supernet: {ratio:.3f}, 1/{1 / ratio:.0f}")


@dataclass(frozen=True)
class PlainTime:
    """Seconds for some slots, and scaled to all slots."""

    slots: int
    seconds: float
    all_seconds: float


@dataclass(frozen=True)
class Plain:
    """Scores each slot separately."""

    supernet: Supernet
    data: Data
    bn_images: int
    batch: int

    def search(self, results: Sequence[Scored], sample: int) -> PlainTime:
        """Score the slots of every `sample`th generation again, and compare."""
        slots = [slot for slot in results if slot.generation % sample == 0]
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
        return PlainTime(len(slots), seconds, seconds * len(results) / len(slots))


def report_plain(plain: PlainTime, took_s: float) -> None:
    print(
        f"    the plain way: {plain.slots} slots in {plain.seconds:.1f} s, the same scores; scaled to all slots "
        f"{plain.all_seconds:.1f} s, {plain.all_seconds / took_s:.2f} times as long",
        flush=True,
    )


@dataclass(frozen=True)
class Published:
    """Algorithm 1 as published: children are used if they meet the limits, even if repeated."""

    evolution: Evolution
    name: str = "published"

    def propose(self, scored: Sequence[Scored], rng: Random) -> list[Proposal]:
        size, feasible = self.evolution.population, self.evolution.feasible
        best = {slot.architecture: None for slot in best_first(scored)}
        parents = list(best)[: self.evolution.top_k]
        if not parents:
            return [Proposal(feasible.draw(rng), "random") for _ in range(size)]
        results: list[Proposal] = []
        while len(results) < size:
            if len(results) < size // 2:
                arch, origin = self.evolution._cross(rng.choice(parents), rng.choice(parents), rng), "crossover"
            else:
                arch, origin = self.evolution._mutate(rng.choice(parents), rng), "mutation"
            if feasible.budget.allows(arch):
                results.append(Proposal(arch, origin))
        return results


class NoTime:
    """Synthetic scores from the text of a candidate."""

    def many(self, archs: Sequence[Architecture], reference: object, advance: object) -> list[Score]:
        return [Score(sum(map(ord, str(arch))) % 997 / 997) for arch in archs]


def time_all_but_evaluation(generations: int) -> None:
    marks = [("", time.perf_counter())]

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter()))

    space = load_space("shufflenet_v2")
    macs = macs_cost(space)
    for cost in (params_cost, bitops_cost, weight_bits_cost):  # reported by a search as well
        cost(space)
    mark("costs counted")
    latency = synthetic_latency(space, macs)
    budget = Budget((Limit(macs, 330e6), Limit(latency, (latency.least + latency.greatest) / 2)))
    feasible = FeasibleSet(space, budget)
    mark("feasible set")
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "j.jsonl", {}, CandidateLine)
        evolution = Evolution(feasible, POPULATION, TOP_K, MUTATION)
        results = run_strategy(evolution, range(generations), Scoring(0, journal, NoTime(), Quiet()))
        mark("proposals and journal")
        journal = Journal(Path(folder) / "j.jsonl", {}, CandidateLine)
        run_strategy(evolution, range(generations), Scoring(0, journal, NoTime(), Quiet()))
        mark("replay from the journal")
    print(
        f"all except evaluation: {len(results)} slots of {space.name}, {budget}, {feasible.share:.1%} of the space fit"
    )
    for (_, before), (name, after) in pairwise(marks):
        print(f"    {name}: {after - before:.2f} s")
    print(f"    total: {marks[-1][1] - marks[0][1]:.2f} s")


def synthetic_latency(space: SearchSpace, macs: TableCost) -> TableCost:
    """Numbers loosely correlated with MACs; equal blocks share them, as in a latency table."""
    rng = Random(2)
    known: dict[tuple[str, str], float] = {}
    rows = tuple(
        {k: known.setdefault((block.geometry, k), value / 2e7 * rng.uniform(0.7, 1.3)) for k, value in row.items()}
        for block, row in zip(space.blocks, macs.rows, strict=True)
    )
    return TableCost("latency_ms", "ms", 1.5, rows)


if __name__ == "__main__":
    main()
