"""How far a supernet's order of networks is that of networks trained alone, and what it costs to know.

    python benchmarks/rank.py [--folder DIR] [--networks N] [--repeats N] [--epochs N]

Types `nastool train` and `nastool rank` on a space of channels, where networks really differ, on Fashion-MNIST with the
settings of the quick preset. About 25 minutes on an idle CPU; stopped, it goes on if `--folder` names where.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

SPACE = "shufflenet_v2_quick:ops=choice_3,widths=0.2-0.4-0.6-0.8-1.0-1.2-1.4-1.6"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None, help="of the run; one that is thrown away if not given")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=1.0)
    given = parser.parse_args()
    with TemporaryDirectory(prefix="nastool-") as thrown_away:
        folder = given.folder or Path(thrown_away)
        if not (folder / "nastool.toml").exists():
            nastool(folder, "init")
        of = ("--space", SPACE, "--run", "ranking", "--json")
        nastool(folder, "train", *of)
        sizes = ("--networks", str(given.networks), "--repeats", str(given.repeats), "--epochs", str(given.epochs))
        found = json.loads(nastool(folder, "rank", *of, *sizes))
    print(f"{SPACE}: {given.networks} networks, trained {given.repeats} times for {given.epochs:g} epochs")
    print()
    print(f"{'':<32}{'tau':>6}   95 % interval")
    for name, tau in found["tau"].items():
        print(f"{name.replace('_', ' '):<32}{tau['tau']:>6.3f}   {tau['low']:.3f} to {tau['high']:.3f}")
    print()
    for name, spread in found["spread"].items():
        print(f"{name}: {spread['least']:.2%} to {spread['greatest']:.2%}, {found['seconds'][name]:.0f} s")


def nastool(folder: Path, *words: str) -> str:
    """What the command answers; its progress is shown."""
    command = [sys.executable, "-P", "-m", "cli.main", *words]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
