"""Measure the rank correlation of inherited and stand-alone accuracy, and the time it takes.

    python benchmarks/rank.py [--folder DIR] [--networks N] [--repeats N] [--epochs N]

Runs `nastool train` and `nastool rank` on a space of channel widths, whose networks differ clearly, on Fashion-MNIST
with the settings of the quick preset. About 25 minutes on an idle CPU. With `--folder`, an interrupted run resumes.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

SPACE = "shufflenet_v2_quick:ops=choice_3,widths=0.2-0.4-0.6-0.8-1.0-1.2-1.4-1.6,round_to=1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None, help="folder of the run; default: a temporary one")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=1.0)
    args = parser.parse_args()
    with TemporaryDirectory(prefix="nastool-") as temporary:
        folder = args.folder or Path(temporary)
        if not (folder / "nastool.toml").exists():
            nastool(folder, "init")
        of = ("--space", SPACE, "--run", "ranking", "--json")
        nastool(folder, "train", *of)
        sizes = ("--networks", str(args.networks), "--repeats", str(args.repeats), "--epochs", str(args.epochs))
        results = json.loads(nastool(folder, "rank", *of, *sizes))
    print(f"{SPACE}: {args.networks} networks, trained {args.repeats} times for {args.epochs:g} epochs")
    print()
    taus_of = {"all pairs": results["tau"]}
    taus_of |= {f"within {name}": band["tau"] for name, band in results["within"].items()}
    for title, taus in taus_of.items():
        print(f"{title.replace('_', ' '):<32}{'tau':>6}   95 % interval")
        for name, tau in taus.items():
            interval = "none" if tau["tau"] is None else f"{tau['tau']:>6.3f}   {tau['low']:.3f} to {tau['high']:.3f}"
            print(f"{name.replace('_', ' '):<32}{interval}")
        print()
    print()
    for name, spread in results["spread"].items():
        print(f"{name}: {spread['least']:.2%} to {spread['greatest']:.2%}, {results['seconds'][name]:.0f} s")


def nastool(folder: Path, *words: str) -> str:
    """Run a command and return its stdout; its progress is shown."""
    command = [sys.executable, "-P", "-m", "cli.main", *words]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
