"""Measure how long commands take that compute little: help, wrong arguments, runs, cost and space.

    python benchmarks/small_commands.py [--tree FOLDER] [--repeats N]

Each command runs in an empty folder, with the code of this repository and, with `--tree`, that of another one, such as
an earlier version (`git worktree add ../before v0.1.0`), alternating. Medians of wall time, CPU time and peak memory.
One unmeasured call of each command comes first, so files are in the page cache and counted costs are kept.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from exporters.devices.attached import attached

HERE = Path(__file__).parents[1]
ZEROS = ",".join(["0"] * 20)
COMMANDS = {
    "--help": ["--help"],
    "runs": ["runs"],
    "search, limit without a unit": ["search", "--latency", "0.9"],
    "search, no data set": ["search", "--latency", "1ms"],
    "search, no latency table": ["search", "--latency", "1ms", "--data", "digits", "--space", "shufflenet_v2_quick"],
    "cost, the paper's space": ["cost", "--space", "shufflenet_v2", "--arch", ZEROS],
    "space, the paper's space": ["space", "--space", "shufflenet_v2"],
}


@dataclass(frozen=True)
class Run:
    """What one call took: seconds, seconds of all its threads, and MB at its peak."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, help="another version of this repository, to compare with")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    trees = [HERE] if args.tree is None else [args.tree.absolute(), HERE]
    print(f"{attached()[0].model}, {platform.system()} {platform.machine()}, Python {platform.python_version()}")
    print(f"medians of {args.repeats} calls: wall s, CPU s, peak MB{'; before, after' if args.tree else ''}")
    print()
    for name, words in COMMANDS.items():
        runs = measure(words, trees, args.repeats)
        print(f"{name:<32}{''.join(f'{wall:>8.2f}{cpu:>8.2f}{peak:>7.0f}  ' for wall, cpu, peak in runs)}", flush=True)


def measure(words: list[str], trees: list[Path], repeats: int) -> list[tuple[float, float, float]]:
    """Medians of wall seconds, CPU seconds and peak MB of a command in each tree."""
    with TemporaryDirectory(prefix="nastool-") as folder:
        runs = [[call(words, tree, Path(folder)) for tree in trees] for _ in range(repeats + 1)][1:]
    columns = zip(*runs, strict=True)
    return [
        (
            median(run.wall_s for run in column),
            median(run.cpu_s for run in column),
            median(run.peak_mb for run in column),
        )
        for column in columns
    ]


def call(words: list[str], tree: Path, folder: Path) -> Run:
    """Run one command in an empty folder beside a cache."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(tree), "NASTOOL_CACHE": str(folder / "cache")}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words],
        cwd=work,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, _, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - began
    for file in work.iterdir():  # an earlier version leaves a latency table
        file.unlink()
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
