"""torch-pruning, FastNAS and training from scratch beside `nastool shrink`: same original, latency, steps and seeds.

    pip install torch-pruning nvidia-modelopt==0.47.0 torchprofile==0.0.4 requests huggingface_hub datasets transformers
    python benchmarks/shrink.py resnet18 --seed 0 --shares 50%  # both also with --between 0.5
    python benchmarks/shrink_peers.py resnet18 --seeds 0 --share 50%

Each peer makes the original smaller (`pruned_networks.py`) until it is at most as slow as the network that
`benchmarks/shrink.py` gave: bisection, timed in the same rounds. torch-pruning and FastNAS are then fine-tuned with the
recipe and the teacher of `nastool shrink`, for as many epochs as its adapting and fine-tuning together. Two networks
are trained from random weights, with the recipe of the original: that of torch-pruning, whose layers are all narrower
by the same share, and that of nastool; for the epochs of the fine-tuning (short), and for these and the original's
(all). Test accuracies are kept in the run's folder, so an interrupted benchmark continues; with several seeds, the
last lines are means, and differences to nastool with 95 % intervals over seeds.
"""

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pruned_networks
import shrink as own
import shrink_models
import torch
from lines import Lines, load
from torch import nn

from exporters.graph.to_onnx import export_onnx
from toolchain.bench.run import BenchSettings, bench
from toolchain.bench.subjects import find_subjects
from toolchain.config import Config
from toolchain.measuring.from_config import require_target
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.checked_space import configured_space
from toolchain.nets.network import Network, initialize
from toolchain.nets.weight_files import read_weights
from toolchain.runs import Run
from toolchain.shrink.result import ShrinkResult
from toolchain.tracking.event_file import EventFile
from toolchain.training.accuracy import accuracy_over_ranks, recalibration_batches
from toolchain.training.batches import CPU
from toolchain.training.data import Data
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.mean_interval import MeanInterval, mean_interval
from toolchain.training.passes import Pass, Passes, Teacher
from toolchain.training.recalibrate import recalibrate
from toolchain.training.recipe import Recipe, load_recipe
from toolchain.training.retraining import RECALIBRATION_IMAGES
from toolchain.training.torch_setup import place, prepare_torch

BISECTIONS = 6
EXAMPLE = torch.zeros(2, 1, own.SIZE_PX, own.SIZE_PX)
NASTOOL, PRUNING, FASTNAS = "nastool shrink", "torch-pruning", "FastNAS"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_arguments(parser)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--share", default="50%")
    parser.add_argument("--without", nargs="+", default=[], help="networks to leave out, e.g. FastNAS")
    args = parser.parse_args()
    accuracies: dict[str, list[float]] = {}
    for seed in args.seeds:
        args.seed = seed
        print(f"{args.model}, seed {seed}, {args.share}; load {load()}", flush=True)
        for name, accuracy in Peers(args).accuracies(args.without):
            accuracies.setdefault(name, []).append(100 * accuracy)
    print_means(accuracies)


@dataclass
class Peers:
    """The networks beside that of nastool, of one seed."""

    args: argparse.Namespace

    def accuracies(self, without: list[str]) -> Iterator[tuple[str, float]]:
        """The test accuracy of each network by name; what is missing is trained."""
        prepare_torch(self.config)
        yield NASTOOL, self.result.shrunk.test_accuracy
        trainings: dict[str, Callable[[], float]] = {
            PRUNING: lambda: self.tuned(self.matched(PRUNING)),
            FASTNAS: lambda: self.tuned(self.matched(FASTNAS)),
            "uniform widths from scratch, short": lambda: self.from_scratch(self.matched(PRUNING), self.tune_epochs),
            "uniform widths from scratch, all": lambda: self.from_scratch(self.matched(PRUNING), self.all_epochs),
            "network of nastool from scratch, short": lambda: self.from_scratch(self.winner, self.tune_epochs),
            "network of nastool from scratch, all": lambda: self.from_scratch(self.winner, self.all_epochs),
        }
        for name, measure in trainings.items():
            if name not in without:
                yield name, self._known(f"{name}: test accuracy", measure)

    @cached_property
    def config(self) -> Config:
        return own.config_of(self.args, self.args.share, own.weights_of(self.args))

    @cached_property
    def run(self) -> Run:
        return Run(self.args.folder / self.config.run)

    @cached_property
    def data(self) -> Data:
        return own.images(self.config.seed)

    @cached_property
    def result(self) -> ShrinkResult:
        return ShrinkResult.model_validate_json((self.run.shrink / "result.json").read_bytes())

    @cached_property
    def original(self) -> nn.Module:
        net: nn.Module = getattr(shrink_models, self.args.model)()
        net.load_state_dict(dict(read_weights(own.weights_of(self.args))))
        return net.eval()

    @property
    def winner(self) -> nn.Module:
        space = configured_space(self.config)
        return Network(space, space.architecture(self.result.architecture), STANDALONE)

    @property
    def tune_epochs(self) -> float:
        return float(self.args.adapt_epochs + self.args.tune_epochs)

    @property
    def all_epochs(self) -> float:
        return float(self.args.epochs + self.tune_epochs)

    def matched(self, peer: str) -> nn.Module:
        """The network of a peer that is as large as it can be without being slower than that of nastool."""
        if peer == PRUNING:
            smaller = pruned_networks.torch_pruning(self.original, EXAMPLE)
        else:
            smaller = pruned_networks.fastnas(self.original, EXAMPLE, self.data, self.run.shrink / "fastnas.pt")
        share = self._known(f"{peer}: share", lambda: self._bisected(peer, smaller))
        net = smaller(share)
        assert net is not None, "the bisection has built it"
        return net

    def tuned(self, net: nn.Module) -> float:
        """Test accuracy of `net` after the fine-tuning of `nastool shrink`."""
        recipe = load_recipe(self.config.retrain.recipe, "retrain", {"epochs": self.tune_epochs})
        original = copy.deepcopy(self.original).requires_grad_(False)
        return self._trained(net, recipe, Teacher(original, recipe.distillation, recipe.temperature))

    def from_scratch(self, net: nn.Module, epochs: float) -> float:
        """Test accuracy of `net`, trained as the original was."""
        initialize(net, torch.Generator().manual_seed(self.config.seed))
        return self._trained(net, own.original_recipe(epochs), None)

    def _bisected(self, peer: str, smaller: pruned_networks.Smaller) -> float:
        low, high, best = 0.05, 1.0, 0.0
        for _ in range(BISECTIONS):
            share = (low + high) / 2
            net = smaller(share)
            if net is None:
                low = share
                continue
            before, shrunk, pruned = self._latencies_ms(net)
            print(
                f"{peer}, share {share:.3f}: {pruned:.3f} ms; nastool {shrunk:.3f}, original {before:.3f} ms",
                flush=True,
            )
            if pruned <= shrunk:
                best, low = share, share
            else:
                high = share
        assert best, f"{peer} does not get as fast as nastool's network"
        return best

    def _latencies_ms(self, net: nn.Module) -> tuple[float, ...]:
        """Latency of the original, of nastool's network and of `net`, from the same rounds."""
        with TemporaryDirectory() as name:
            folder = Path(name)
            export_onnx(net, EXAMPLE, folder / "pruned.onnx")
            files = [str(file) for file in (self.run.original, self.run.onnx, folder / "pruned.onnx")]
            places = (require_target(self.config.profile).spec,)
            subjects = find_subjects(files, places, self.config.runs, folder, Lines())
            settings = BenchSettings(20, 0.95, self.config.profile.min_ms, self.config.seed, self.config.profile.db)
            return tuple(entry.latency_ms.middle for entry in bench(subjects, settings, {}, Lines()).entries)

    def _trained(self, net: nn.Module, recipe: Recipe, teacher: Teacher | None) -> float:
        place(net, CPU)
        with TemporaryDirectory() as name:
            folder = Path(name)
            settings = TrainingSettings(
                "train", folder / "c.pt", {}, partial(EventFile, folder), 1e9, workers=0, seed=self.config.seed
            )
            passes = Passes([Pass(net, teacher) if teacher else Pass(net)])
            train(net, lambda _: passes, self.data, recipe, settings, Lines())
        return tested(net, self.data, self.config.search.batch, self.config.seed)

    def _known(self, name: str, measure: Callable[[], float]) -> float:
        """A number that peers.json has, or that is measured and kept there."""
        path = self.run.shrink / "peers.json"
        known: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
        if name not in known:
            began = time.monotonic()
            known |= {name: measure()}
            known = (json.loads(path.read_text()) if path.exists() else {}) | known
            path.write_text(json.dumps(known, indent=1))
            print(f"{name} {known[name]:.4f} ({time.monotonic() - began:.0f} s)", flush=True)
        return known[name]


def tested(net: nn.Module, data: Data, batch: int, seed: int) -> float:
    """Test accuracy after recalibration, as after `nastool retrain`."""
    recalibrate(net, recalibration_batches(data, RECALIBRATION_IMAGES, batch, seed), data.preprocessing)
    return accuracy_over_ranks(net, data.test, tuple(range(len(data.test.labels))), batch, data.preprocessing)


def print_means(accuracies: dict[str, list[float]]) -> None:
    for name, values in accuracies.items():
        differences = [ours - value for ours, value in zip(accuracies[NASTOOL], values, strict=True)]
        behind = "" if name == NASTOOL else f"; nastool minus this {in_words(mean_interval(differences))} points"
        print(f"{name}: {in_words(mean_interval(values))} %{behind}")


def in_words(mean: MeanInterval) -> str:
    return f"{mean.mean:.2f}" + (f" +- {mean.half_width:.2f}" if mean.half_width is not None else "")


if __name__ == "__main__":
    main()
