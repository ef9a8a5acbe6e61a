"""Train every network of a small space alone, several times: a ground truth for methods that rank networks.

    python benchmarks/ground_truth.py --folder truth

The 64 networks of SPACE differ at equal cost: the op and the width of each block. Each is trained on Fashion-MNIST with
several seeds; 1,000 images of each class are held out. Writes `networks.csv` (one line for each training, in the order
of training; an interrupted run continues) and, for each training, which images of the hold-out and of the test set were
classified correctly (`flags/`), so that a selection by the hold-out can be repeated in seconds. About 15 s of one CPU
for each training. The committed result is `results/ground_truth.csv`.
"""

import argparse
import csv
import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from lines import Lines

from toolchain.config import Config, parse_config, preset_text
from toolchain.costs.counters import macs_cost, params_cost
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.accuracy import flags_over_ranks
from toolchain.training.data import Data, load_data
from toolchain.training.job import Job
from toolchain.training.retrained import load_retrained
from toolchain.training.retraining import retrain
from toolchain.training.torch_setup import prepare_torch

SPACE = "shufflenet_v2_quick:stage_widths=32-64,stage_repeats=1-2,ops=choice_3-choice_x,widths=0.5-2.0"
HOLDOUT_PER_CLASS = 1000
RECIPE = {"epochs": 1, "batch": 128}
SEEDS = 3
BATCH = 500  # images, of the evaluation
FIELDS = ("architecture", "seed", "macs", "params", "holdout_accuracy", "test_accuracy", "cpu_seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    args = parser.parse_args()
    config = truth_config(0)
    prepare_torch(config)
    space = load_space(config.space)
    data = load_data("fashion-mnist", space, HOLDOUT_PER_CLASS, config.seed)
    table = args.folder / "networks.csv"
    (args.folder / "flags").mkdir(parents=True, exist_ok=True)
    done = {(row["architecture"], int(row["seed"])) for row in read_rows(table)} if table.exists() else set()
    task = Lines().start("trainings", space.size * args.seeds, len(done))
    for seed, arch in product(range(args.seeds), architectures(space)):
        if (" ".join(arch.choices), seed) not in done:
            append_row(table, train_once(arch, seed, space, data, args.folder / "flags"))
            task.advance()


def truth_config(seed: int) -> Config:
    """The configuration of all trainings; the hold-out is the same for all seeds."""
    changes = {"space": SPACE, "holdout_per_class": HOLDOUT_PER_CLASS, "retrain.changes": RECIPE, "seed": seed}
    return parse_config(preset_text("quick"), changes, "the benchmark")


def architectures(space: SearchSpace) -> list[Architecture]:
    """All networks of the space."""
    keys = ([choice.key for choice in block.choices] for block in space.blocks)
    return [space.architecture(choices) for choices in product(*keys)]


def train_once(arch: Architecture, seed: int, space: SearchSpace, data: Data, flags: Path) -> dict[str, object]:
    """Train `arch`, store the flags of its images, and return the line of the table."""
    with TemporaryDirectory() as folder:
        run = Run(Path(folder))
        began = time.process_time()
        retrain(Job(truth_config(seed), space, data, run, Quiet()), arch)
        seconds = time.process_time() - began
        net = load_retrained(space, arch, data, run)
    holdout = flags_over_ranks(net, data.train, data.holdout, BATCH, data.preprocessing)
    test = flags_over_ranks(net, data.test, tuple(range(len(data.test.labels))), BATCH, data.preprocessing)
    np.savez_compressed(flags_file(flags, arch, seed), holdout=np.packbits(holdout), test=np.packbits(test))
    costs = (int(cost.cost(arch)) for cost in (macs_cost(space), params_cost(space)))
    values = (" ".join(arch.choices), seed, *costs, f"{holdout.mean():.4f}", f"{test.mean():.4f}", f"{seconds:.2f}")
    return dict(zip(FIELDS, values, strict=True))


def flags_file(folder: Path, arch: Architecture, seed: int) -> Path:
    return folder / f"{'_'.join(arch.choices)}_{seed}.npz"


def read_rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def append_row(table: Path, row: dict[str, object]) -> None:
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
