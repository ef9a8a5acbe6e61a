"""Is the average of the weights more accurate than the last weights, and does it depend less on the seed?

    python benchmarks/weight_average.py --seeds 5

Trains one network of the quick preset with the preset's recipe, and keeps several moving averages of its weights (the
recipe's `ema_decay`) in the same training, which an average does not change. Each result is recalibrated and tested
like that of `nastool retrain`. Prints mean test accuracy, standard deviation between seeds, and the paired difference
to the last weights with its 95 % interval (Student's t).
"""

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev

import torch
from lines import Lines, load
from shrink_peers import tested as test_accuracy
from value import interval

from toolchain.config import parse_config, preset_text
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.checked_space import configured_space
from toolchain.nets.network import Network, initialize
from toolchain.runs import Run
from toolchain.spaces.core import Architecture
from toolchain.spaces.fixed import named_architecture
from toolchain.tracking.event_file import EventFile
from toolchain.training.batches import CPU
from toolchain.training.data import configured_data
from toolchain.training.job import Job
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.passes import Pass, Passes
from toolchain.training.recipe import load_recipe
from toolchain.training.torch_setup import place, place_for_training, prepare_torch
from toolchain.training.weight_average import WeightAverage

LAST = "last weights"
SPACE = "shufflenet_v2_quick:stage_widths=64-128,stage_repeats=2-2,widths=0.5-1.5"  # the quick preset's at the time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--decays", type=float, nargs="+", default=[0.9, 0.98, 0.995])
    parser.add_argument("--arch", default=" ".join(["choice_3@1.5"] * 4))
    args = parser.parse_args()
    config = parse_config(preset_text("quick"), {"space": SPACE}, "preset quick")
    prepare_torch(config)
    space = configured_space(config)
    job = Job(config, space, configured_data(config, space), Run(Path()), Lines())
    arch = named_architecture(args.arch, space, "--arch")
    accuracies: dict[str, list[float]] = {}
    for seed in range(args.seeds):
        for name, accuracy in trained(job.seeded(seed, job.run), arch, args.decays).items():
            accuracies.setdefault(name, []).append(accuracy)
    print(f"{space.name}, {job.data.name}, {arch}, {args.seeds} seeds; load {load()}")
    print(f"{'weights':<13} {'test':>7} {'deviation':>9}   minus last weights, 95 % interval (points)")
    for name, results in accuracies.items():
        deviation = f"{100 * stdev(results):.2f}" if len(results) > 1 else ""
        print(f"{name:<13} {mean(results):7.2%} {deviation:>9}   {interval(results, accuracies[LAST])}")
    print("test accuracies by seed:", {name: [f"{one:.2%}" for one in all_] for name, all_ in accuracies.items()})


def trained(job: Job, arch: Architecture, decays: Sequence[float]) -> dict[str, float]:
    """Test accuracy of the last weights of one training, and of the average with each decay."""
    config = job.config
    net = Network(job.space, arch, STANDALONE)
    initialize(net, torch.Generator().manual_seed(config.seed))
    place_for_training(net, CPU, config.retrain)
    averages = {decay: WeightAverage(net, decay) for decay in decays}

    def plan(step: int) -> Passes:
        if step:  # the weights after update `step - 1`
            for average in averages.values():
                average.update(step - 1)
        return Passes([Pass(net)])

    recipe = load_recipe(config.retrain.recipe, "retrain", config.retrain.changes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        settings = TrainingSettings(
            "train", path / "checkpoint.pt", {}, partial(EventFile, path), 1e9, workers=0, seed=config.seed
        )
        steps = train(net, plan, job.data, recipe, settings, job.progress)
    results = {LAST: tested(job, arch, net)}
    for average in averages.values():
        average.update(steps - 1)
    for decay, average in averages.items():
        average.apply()
        results[f"decay {decay:g}"] = tested(job, arch, net)
    return results


def tested(job: Job, arch: Architecture, trained: Network) -> float:
    """Test accuracy after recalibration."""
    config = job.config
    net = place(Network(job.space, arch, STANDALONE), CPU)
    net.load_state_dict(trained.state_dict())
    return test_accuracy(net, job.data, config.search.batch, config.seed)


if __name__ == "__main__":
    main()
