"""What a user would take off the shelf at a latency: torchvision's small networks, trained like nastool's winner.

    python benchmarks/off_the_shelf.py --latency 1.3ms [--space NAME] [--data NAME] [--epochs N] [--seeds N]

For each of mobilenet_v2, mobilenet_v3_small and shufflenet_v2, the largest width multiplier whose measured latency is
within the budget (bisection over `WIDTHS`), with the input channels, image size and classes of the space. Images of 32
px or less get a first convolution of stride 1. Each network is trained with the recipe and the seed of `nastool
retrain`, from random weights, and its BN statistics are recalibrated in the same way.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from lines import Lines, load
from torch import nn

from exporters.graph.model import Model
from toolchain.config import Config, parse_config, preset_text
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.network import Measurement, measurement
from toolchain.measuring.rounds import time_until_stable
from toolchain.measuring.target import ReadyTarget
from toolchain.measuring.timed_file import TimedFile
from toolchain.paper.torchvision_networks import WIDTHS, build
from toolchain.paper.torchvision_networks import test_accuracy as train_and_test
from toolchain.progress import Progress
from toolchain.runs import Run
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.training.data import load_data
from toolchain.training.job import Job
from toolchain.training.torch_setup import prepare_torch
from toolchain.units import parse_latency_ms

FAMILIES = ("mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2")


@dataclass(frozen=True)
class Shelved:
    """A network of torchvision at a width that fits a budget. `measured` is on the target of the budget."""

    family: str
    width: float
    measured: Measurement

    @property
    def name(self) -> str:
        return f"{self.family} x{self.width:g}"


def off_the_shelf(config: Config, space: SearchSpace, budget_ms: float, progress: Progress) -> tuple[Shelved, ...]:
    """The widest network of each family whose measured latency is at most `budget_ms`; those that never fit are absent.

    Args:
        config: `profile` is the target and how it is measured.
        budget_ms: for a batch of `config.profile.batch` images.
    """
    target = require_target(config.profile)
    return tuple(
        one for family in FAMILIES if (one := _widest(family, config, space, budget_ms, target, progress)) is not None
    )


def _widest(
    family: str, config: Config, space: SearchSpace, budget_ms: float, target: ReadyTarget, progress: Progress
) -> Shelved | None:
    """The widest of a family by bisection."""
    best: Shelved | None = None
    low, high = 0, len(WIDTHS)
    while low < high:
        middle = (low + high) // 2
        one = Shelved(family, WIDTHS[middle], _measure(build(family, WIDTHS[middle], space), config, space, target))
        progress.say(f"{one.name}: {one.measured.latency_ms:.3f} ms")
        if one.measured.latency_ms <= budget_ms:
            best, low = one, middle + 1
        else:
            high = middle
    return best


def _measure(net: nn.Module, config: Config, space: SearchSpace, target: ReadyTarget) -> Measurement:
    """Export, compile and time the network as nastool times its own."""
    with TemporaryDirectory(prefix="nastool-") as folder:
        model = Model(Path(folder) / "network.onnx")
        export_for_timing(net, space.input_shape, model.path, target.target.precision)
        plan, db = measurement_plan(config), config.profile.db
        timed = list(time_until_stable({"network": TimedFile(model, target)}, plan, db, Lines(), "measure"))
    rounds = [samples["network"] for _, samples in timed if "network" in samples]
    return measurement(rounds, target.spec.threads, target.target.device_kind)


def test_accuracy(one: Shelved, job: Job) -> float:
    """Train the network as `nastool retrain` trains an architecture, with the seed of `job.config`, and test it."""
    return train_and_test(one.family, one.width, job)


def accuracies(one: Shelved, config: Config, space: SearchSpace, seeds: Sequence[int]) -> list[float]:
    """The test accuracy for each seed. The hold-out is that of `config.seed` for all of them."""
    data = load_data(config.data_name(), space, config.holdout_per_class, config.seed)
    results = []
    for seed in seeds:
        with TemporaryDirectory(prefix="nastool-") as folder:
            job = Job(config.model_copy(update={"seed": seed}), space, data, Run(Path(folder)), Lines())
            results.append(test_accuracy(one, job))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", required=True, help="budget for a batch, e.g. 1.3ms")
    parser.add_argument("--space", default="shufflenet_v2_quick", help="its image size, channels and classes are used")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    budget_ms, before, lines = parse_latency_ms(args.latency), load(), Lines()
    with TemporaryDirectory(prefix="nastool-") as folder:
        changes = {
            "space": args.space,
            "data": args.data,
            "profile.batch": args.batch,
            "profile.db": str(Path(folder) / "latency.sqlite"),
            "retrain.changes.epochs": args.epochs,
        }
        config = parse_config(preset_text("quick"), changes, "the benchmark")
        prepare_torch(config)
        space = load_space(config.space)
        shelf = off_the_shelf(config, space, budget_ms, lines)
        print(f"{args.data}, {space.size_px} px, batch {args.batch}, at most {budget_ms:g} ms, {args.epochs:g} epochs")
        print(f"load: {before} before, {load()} after measuring")
        print()
        print(f"{'network':26}{'parameters':>12}{'ms':>8}{'test accuracy':>16}  by seed")
        for one in shelf:
            params = sum(weight.numel() for weight in build(one.family, one.width, space).parameters())
            values = accuracies(one, config, space, range(args.seeds))
            each = " ".join(f"{value:.2%}" for value in values)
            print(f"{one.name:26}{params:>12,}{one.measured.latency_ms:>8.3f}{mean(values):>16.2%}  {each}", flush=True)
    for family in FAMILIES:
        if family not in {one.family for one in shelf}:
            print(f"{family:26}no width fits")


if __name__ == "__main__":
    main()
