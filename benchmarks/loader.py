"""Measure the images per second from a folder of JPEGs to the training loop, compared with decoding alone.

    python benchmarks/loader.py [--size PX] [--workers N] [--batch N] [--images N] [--jitter] [--seed N]
    python benchmarks/loader.py --cache [--png] [--folder PATH] [--size PX] [--workers N] [--batch N] [--images N]

Creates a folder of images of a photograph's size (about 500 x 400, 60 KB): digits of scikit-learn, enlarged and
colored, on clouds with camera noise, since flat drawings decode too fast. The training's loader reads them with the
paper's random resized crop and flip (and color jitter), alternating with processes that only decode and transform.
With --cache: training and evaluation from the files, from decoded images in the cache, and from the same in memory;
the last lines are rows for the tables of benchmarks/README.md.
"""

import argparse
import platform
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np
import torch
from loader_cache import Rates, compare
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from exporters.devices.attached import attached
from toolchain.config import Config
from toolchain.progress import Quiet
from toolchain.spaces import load_space
from toolchain.training.throughput import bench_data

CLASSES = 2
Digits = NDArray[np.float64]  # (N, 8, 8), 0 to 16
SHAPES, NOISE, QUALITY = 12, 9.0, 87


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--jitter", action="store_true", help="with the paper's color jitter")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", action="store_true", help="compare files with decoded images in the cache")
    parser.add_argument("--png", action="store_true", help="with --cache: PNG files instead of JPEG")
    parser.add_argument("--folder", type=Path, help="with --cache: a folder with train/CLASS/ and val/CLASS/")
    args = parser.parse_args()
    if args.cache:
        measure_cache(args)
        return
    torch.set_num_threads(1)
    space = load_space(f"shufflenet_v2:classes={CLASSES},size_px={args.size}")
    augmentation = {"random_resized_crop": True, "flip": True, "color_jitter": 0.4 if args.jitter else 0.0}
    with TemporaryDirectory(prefix="nastool-") as folder:
        sizes = make_folder(Path(folder), args.images, args.seed)
        config = Config(
            data=f"folder:{folder}",
            holdout_per_class=1,
            workers=args.workers,
            seed=args.seed,
            train={"changes": {"batch": args.batch, "augmentation": augmentation}},
        )
        results = bench_data(config, space, Quiet()).as_dict()
    print(f"{attached()[0].model}, {platform.system()} {platform.machine()}, torch {torch.__version__}")
    kind = "with color jitter" if args.jitter else "without color jitter"
    print(f"{args.images} JPEGs of {mean(sizes) / 1000:.0f} KB, {args.size} px, batch {args.batch}, {kind}")
    print()
    print(f"{'':<42}{'images/s':>10}{'CPU ms per image':>18}")
    lines = (
        ("decode and transform, one process", "bare_one_process_images_per_s", "bare_cpu_ms"),
        (f"the same x {args.workers} (at most one a core)", "bare_images_per_s", "bare_cpu_ms"),
        ("so many processes side by side", "side_by_side_images_per_s", "side_by_side_cpu_ms"),
        (f"loader, {args.workers} workers", "loader_images_per_s", "loader_cpu_ms"),
        ("training step of the supernet", "step_images_per_s", "step_cpu_ms"),
    )
    for name, rate, cpu in lines:
        print(f"{name:<42}{results[rate]:>10.0f}{results[cpu]:>18.2f}")
    print()
    print(f"loader / bare          {results['loader_share_of_bare']:.1%}")
    print(f"loader / side by side  {results['loader_share_of_side_by_side']:.1%}")


def measure_cache(args: argparse.Namespace) -> None:
    """Print loading times and rates."""
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="nastool-") as made:
        folder = args.folder or Path(made)
        if args.folder is None:
            make_folder(folder, args.images, args.seed, "png" if args.png else "jpg")
        files = [path for path in (folder / "train").rglob("*") if path.is_file()]
        classes = len(list((folder / "train").iterdir()))
        space = load_space(f"shufflenet_v2_quick:in_channels=3,classes={classes},size_px={args.size}")
        loading, training, evaluation = compare(folder, space, args.workers, args.batch, 1)
    print(f"{attached()[0].model}, {platform.system()} {platform.machine()}, torch {torch.__version__}")
    size = mean(path.stat().st_size for path in files) / 1000 if args.folder else 0
    kind = f"of {size:.0f} KB in {folder.name}/" if args.folder else "PNG" if args.png else "JPEG"
    about = f"{len(files)} images {kind}, {args.size} px, batch {args.batch}, {args.workers} workers"
    print(f"{about}\n")
    for name, seconds in loading.items():
        print(f"load the data set, {name:<30}{seconds:>10.1f} s")
    print(f"\n{'images/s':<30}{'training':>12}{'evaluation':>12}")
    for name in training:
        print(f"{name:<30}{training[name]:>12.0f}{evaluation[name]:>12.0f}")
    shares = [rates["cache"] / rates["memory"] for rates in (training, evaluation)]
    print(f"{'cache / memory':<30}{shares[0]:>12.1%}{shares[1]:>12.1%}")
    print("\nfor the tables of benchmarks/README.md:")
    print("\n".join(table_rows(about, loading, training, evaluation)))


def table_rows(about: str, loading: Rates, training: Rates, evaluation: Rates) -> list[str]:
    """The rows of both tables of benchmarks/README.md: times of loading, then rates of training and evaluation."""
    rows = [f"| {about} | {' | '.join(f'{seconds:.1f} s' for seconds in loading.values())} |"]
    for stage, rates in (("training", training), ("evaluation", evaluation)):
        cells = [f"{rates[name]:,.0f}" for name in ("files", "cache", "memory")]
        share = rates["cache"] / rates["memory"]
        rows.append(f"| {about}, {stage} | {' | '.join(cells)} | {100 * share:.1f} % |")
    return rows


def make_folder(folder: Path, images: int, seed: int, suffix: str = "jpg") -> list[int]:
    """Write `images` training files and one test file per class; return their sizes in bytes."""
    rng = np.random.default_rng(seed)
    digits: Digits = load_digits().images
    sizes = []
    for number in range(images + CLASSES):
        part = "train" if number < images else "val"
        path = folder / part / str(number % CLASSES) / f"{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(rng, digits).save(path, quality=QUALITY)
        sizes.append(path.stat().st_size)
    return sizes


def photograph(rng: np.random.Generator, digits: Digits) -> Image.Image:
    """An image of 500 x 330 to 500 x 500 pixels."""
    width, height = 500, int(rng.integers(330, 501))
    clouds = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
    pixels = np.asarray(clouds.resize((width, height), Image.Resampling.BICUBIC)).astype(float)
    for _ in range(SHAPES):
        side = int(rng.integers(40, 160))
        digit = Image.fromarray((digits[rng.integers(len(digits))] * 15).astype(np.uint8))
        shape = np.asarray(digit.resize((side, side), Image.Resampling.BICUBIC)).astype(float)
        y, x = rng.integers(0, height - side), rng.integers(0, width - side)
        pixels[y : y + side, x : x + side] += shape[..., None] * rng.uniform(-1, 1, 3)
    pixels += rng.normal(0, NOISE, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
