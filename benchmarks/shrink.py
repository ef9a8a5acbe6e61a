"""Shrink torchvision's ResNet-18 and MobileNetV2, trained on Fashion-MNIST, to shares of their measured latency.

    python benchmarks/shrink.py resnet18 --shares 70% 50% 35%

Trains the original (gray images of 32 px, `shrink_models.py`) with the recipe below unless its weights exist, and runs
`nastool shrink` for each share. Prints measured latency, test accuracy, costs and wall time. Everything
is kept in `--folder`: an interrupted benchmark continues.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import shrink_models
import torch
from lines import Lines, load

from toolchain.config import Config, parse_config, preset_text
from toolchain.nets.network import initialize
from toolchain.shrink.pipeline import run_shrink
from toolchain.shrink.result import ShrinkResult
from toolchain.spaces import load_space
from toolchain.tracking.event_file import EventFile
from toolchain.training.batches import CPU
from toolchain.training.data import Data, load_data
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.passes import Pass, Passes
from toolchain.training.recipe import Recipe
from toolchain.training.torch_setup import place, prepare_torch

HERE = Path(__file__).parent
HOLDOUT = 50  # images of each class
SIZE_PX = 32
# Any space with these images: the data set is cut alike for the original and for its shrinking.
IMAGES = f"shufflenet_v2_quick:size_px={SIZE_PX}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shares", nargs="+", default=["70%", "50%", "35%"], help="or latencies, as 0.35ms")
    parser.add_argument("--only-train", action="store_true", help="train the original and stop")
    args = parser.parse_args()
    weights = weights_of(args)
    if not weights.exists():
        train_original(args.model, args.seed, args.epochs, weights)
    if args.only_train:
        return
    print(f"{args.model}, Fashion-MNIST, {SIZE_PX} px, seed {args.seed}; load {load()}")
    for share in args.shares:
        began = time.monotonic()
        result = run_shrink(config_of(args, share, weights), Lines())
        report(share, result, time.monotonic() - began)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that `shrink_peers.py` has too."""
    parser.add_argument("model", choices=("resnet18", "mobilenet_v2"))
    parser.add_argument("--between", type=float, default=1.0, help="width of the channels between blocks")
    parser.add_argument("--epochs", type=float, default=0.8, help="of the original's training")
    parser.add_argument("--adapt-epochs", type=float, default=0.1)
    parser.add_argument("--tune-epochs", type=float, default=0.3)
    parser.add_argument("--finalists", type=int, default=0, help="networks to fine-tune for --adapt-epochs and compare")
    parser.add_argument("--folder", type=Path, default=Path("runs/shrink-benchmark"))


def weights_of(args: argparse.Namespace) -> Path:
    """The file of the original's weights."""
    folder: Path = args.folder
    return folder / f"{args.model}_{args.seed}.pt"


def train_original(model: str, seed: int, epochs: float, path: Path) -> None:
    """Train the model on the images outside the hold-out, and save its state dict."""
    config = parse_config(preset_text("quick"), {"seed": seed}, "preset quick")
    prepare_torch(config)
    net = place(getattr(shrink_models, model)(), CPU)
    initialize(net, torch.Generator().manual_seed(seed))
    recipe = original_recipe(epochs)
    folder = path.parent / f"{path.stem}_training"
    settings = TrainingSettings(
        "train the original", folder / "checkpoint.pt", {}, partial(EventFile, folder), 30.0, workers=0, seed=seed
    )
    train(net, lambda _: Passes([Pass(net)]), images(seed), recipe, settings, Lines())
    torch.save(net.state_dict(), path)


def original_recipe(epochs: float) -> Recipe:
    """How the original is trained, and networks from scratch beside it."""
    return Recipe(
        epochs=epochs, batch=64, lr=0.05, weight_decay=4e-5, schedule="cosine", warmup_steps=100, label_smoothing=0.1
    )


def images(seed: int) -> Data:
    return load_data("fashion-mnist", load_space(IMAGES), HOLDOUT, seed)


def config_of(args: argparse.Namespace, share: str, weights: Path) -> Config:
    """The preset `shrink` with the amounts of this benchmark."""
    between = f",between={args.between:g}" if args.between < 1 else ""
    words = [args.model, str(args.seed), share.rstrip("%")]
    words += [str(args.finalists)] if args.finalists else []
    words += [f"between{args.between:g}"] if between else []
    flags = {
        "space": f"model:{HERE / 'shrink_models.py'}:{args.model}:size_px={SIZE_PX}{between}",
        "runs": str(args.folder),
        "run": "_".join(words),
        "seed": args.seed,
        "data": "fashion-mnist",
        "holdout_per_class": HOLDOUT,
        "threads": 1,
        "profile.db": str(args.folder / "latency.sqlite"),
        "train.start_from": str(weights),
        "train.changes": {"epochs": args.adapt_epochs},
        "search.latency": [share],
        "search.population": 16,
        "search.generations": 5,
        "search.bn_images": 500,
        "search.finalists": args.finalists,
        "search.finalist_epochs": args.adapt_epochs,
        "search.threads": 1,
        "retrain.changes": {"epochs": args.tune_epochs},
    }
    return parse_config(preset_text("shrink"), flags, "preset shrink")


def report(share: str, result: ShrinkResult, seconds: float) -> None:
    before, after = result.original, result.shrunk
    print(
        f"{share:>5}: latency {before.latency_ms:.3f} -> {after.latency_ms:.3f} ms ({result.ratio:.2f}), budget "
        f"{result.limit_ms:.3f} ms; test {before.test_accuracy:.2%} -> {after.test_accuracy:.2%}; MACs "
        f"{before.macs / 1e6:.1f}M -> {after.macs / 1e6:.1f}M; parameters {before.params / 1e6:.2f}M -> "
        f"{after.params / 1e6:.2f}M; {seconds:.0f} s; {' '.join(result.architecture)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
