"""Measure the gate's false alarms and its detection of 5 % on this machine: python benchmarks/gate.py [--runs 200]

A/A: a network compared with the same file. A/B: compared with a network with about 5 % more work, one more convolution.
The real slowdown is measured by many interleaved rounds, before and after all checks. Each check does what
`nastool check` does, in this process; failures are confirmed in a fresh process. The machine may be shared with other
programs: the load is printed.
"""

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import torch
from torch import nn

from exporters.graph.to_onnx import export_onnx
from toolchain.check.gate import Verdict, check
from toolchain.check.outcome import Outcome
from toolchain.check.requirements import CheckedFile
from toolchain.config import Config, parse_config
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.intervals import Interval, latency_statistic, ratio_interval
from toolchain.measuring.rounds import time_rounds
from toolchain.measuring.timed_file import TimedFile
from toolchain.progress import Quiet

DEPTH, CHANNELS, SIZE_PX = 20, 32, 32
LINE = "{:28} {:>6} {:>6} {:>13} {:>10} {:>12} {:>12}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="number of checks of each kind")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--max-regression", default="2%")
    parser.add_argument(
        "--rounds", type=int, default=200, help="rounds for measuring the real slowdown, before and after"
    )
    args = parser.parse_args()
    flags = {
        "profile": {"batch": args.batch, "min_ms": 20.0},
        "check": {"max_regression": args.max_regression, "max_seconds": 60.0},
    }
    config = parse_config("", flags, "the benchmark")
    with TemporaryDirectory(prefix="nastool-") as folder:
        same, more = write(Path(folder), DEPTH), write(Path(folder), DEPTH + 1)
        truth(same, more, config, args.rounds, "before")
        print(LINE.format("", "passed", "failed", "inconclusive", "confirmed", "rounds", "s per check"))
        began = {"the same file twice": same, "one layer more": more}
        for name, candidate in began.items():
            report(name, list(checks(candidate, same, config, args.runs)))
        truth(same, more, config, args.rounds, "after")


def write(folder: Path, depth: int) -> Path:
    """`depth` equal convolutions; one more is 1/depth more work."""
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU()) for _ in range(depth)]
    path = folder / f"{depth}.onnx"
    export_onnx(nn.Sequential(*layers).eval(), torch.zeros(2, CHANNELS, SIZE_PX, SIZE_PX), path)
    return path


def truth(below: Path, above: Path, config: Config, rounds: int, when: str) -> Interval:
    """The real ratio, measured by many rounds."""
    profile, target = config.profile, require_target(config.profile)
    figure, results = latency_statistic(profile.threads), dict[str, list[float]](below=[], above=[])
    files = {"below": TimedFile(below, target), "above": TimedFile(above, target)}
    plan = replace(measurement_plan(config), rounds=rounds)
    for _, round_ in time_rounds(files, plan, profile.db, Quiet(), ""):
        for key in results:
            results[key].append(figure([round_[key]]))
    ratio = ratio_interval(results["above"], results["below"], 0.01)
    ratios = sorted(a / b for a, b in zip(results["above"], results["below"], strict=True))
    spread = ratios[len(ratios) * 9 // 10] / ratios[len(ratios) // 10] - 1
    print(
        f"{when}: one layer more takes {ratio.middle:.4f} times as long ({ratio.low:.4f} to {ratio.high:.4f}), "
        f"{min(results['below']):.3f} ms per batch of {profile.batch}; 8 of 10 rounds within {spread:.1%}; "
        f"load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return ratio


def checks(candidate: Path, baseline: Path, config: Config, runs: int) -> Iterator[tuple[Verdict, float]]:
    """Each check has its own seed, like CI runs on different days."""
    for seed in range(runs):
        began = monotonic()
        verdict = check(config.model_copy(update={"seed": 2 * seed}), CheckedFile(candidate), baseline, Quiet())
        yield verdict, monotonic() - began


def report(name: str, results: list[tuple[Verdict, float]]) -> None:
    outcomes = Counter(verdict.outcome for verdict, _ in results)
    confirmed = sum(verdict.first is not None for verdict, _ in results)
    rounds = sorted(len(verdict.judgment.rounds) for verdict, _ in results)
    seconds = sorted(seconds for _, seconds in results)
    print(
        LINE.format(
            name,
            outcomes[Outcome.PASS],
            outcomes[Outcome.FAIL],
            outcomes[Outcome.INCONCLUSIVE],
            confirmed,
            f"{rounds[len(rounds) // 2]} (..{rounds[-1]})",
            f"{seconds[len(seconds) // 2]:.1f} (..{seconds[-1]:.0f})",
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
