"""Draw accuracy against measured latency for the candidates of a finished search, with its budget and its winner.

    python benchmarks/accuracy_latency.py runs/quick --budget latency_1.2ms --picture accuracy_latency.png

Takes candidates from the run's journal at random, exports each one and times it end to end, as the winner was timed.
Accuracies are those of the journal (inherited weights, hold-out images). The picture in README.md is made by it.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from budgets_hold import measured_again
from lines import Lines
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from exporters.devices.attached import attached
from toolchain.config import parse_config
from toolchain.report.figures import save
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture

Point = tuple[float, float]  # measured latency in ms, accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run folder of a finished search")
    parser.add_argument("--budget", required=True, help="a latency budget of that search: latency_1.2ms")
    parser.add_argument("--candidates", type=int, default=150, help="number of candidates to time")
    parser.add_argument("--picture", type=Path, default=Path("accuracy_latency.png"))
    args = parser.parse_args()
    config_file = args.run / "config.toml"
    config = parse_config(config_file.read_text(), {}, str(config_file))
    space = load_space(config.space)
    best = json.loads((args.run / "search" / args.budget / "best.json").read_text())
    winner = space.architecture(" ".join(best["architecture"]))
    scores = {space.architecture(" ".join(keys)): score for keys, score in journal_scores(args.run).items()}
    sample = {winner, *Random(0).sample(sorted(scores), min(args.candidates, len(scores)))}
    with TemporaryDirectory() as folder:
        timed = measured_again(config, space, sample, Path(folder), Lines())
    label = f"measured latency (ms per batch of {config.profile.batch} images, {attached()[0].model})"
    points = {arch: (timed[arch].latency_ms, scores[arch]) for arch in sample}
    draw(points, winner, best["limits"]["latency_ms"], label, args.picture)
    print(f"{len(points)} candidates, winner {points[winner][0]:.3f} ms, {points[winner][1]:.1%}: {args.picture}")


def journal_scores(run: Path) -> dict[tuple[str, ...], float]:
    """The accuracy of each candidate in the run's journal."""
    lines = (run / "search" / "candidates.jsonl").read_text().splitlines()
    return {tuple(line["architecture"]): line["accuracy"] for line in map(json.loads, lines) if "accuracy" in line}


def draw(
    points: Mapping[Architecture, Point], winner: Architecture, budget_ms: float, label: str, picture: Path
) -> None:
    """Candidates within and over the budget, the budget as a line, the winner as a star."""
    candidates = [point for arch, point in points.items() if arch != winner]
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.subplots()
    scatter = [
        ("candidates within the budget", "#0b6e99", [p for p in candidates if p[0] <= budget_ms]),
        ("candidates over the budget", "#b0b0b0", [p for p in candidates if p[0] > budget_ms]),
    ]
    for name, color, selected in scatter:
        axes.scatter(*columns(selected), s=18, color=color, alpha=0.8, label=name)
    axes.axvline(budget_ms, color="#d1495b", linestyle="--", label=f"budget: {budget_ms:.4g} ms")
    star = points[winner]
    axes.scatter(*star, s=260, marker="*", color="#d1495b", edgecolor="black", zorder=3, label="winner")
    text = f"{star[1]:.1%} at {star[0]:.3f} ms"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
    axes.annotate(text, star, xytext=(0, 14), textcoords="offset points", ha="center", weight="bold", bbox=box)
    axes.margins(y=0.12)
    right = axes.get_xlim()[1]
    axes.axvspan(budget_ms, 2 * right, color="#d1495b", alpha=0.06, linewidth=0)
    axes.set_xlim(right=right)
    axes.set(xlabel=label, ylabel="hold-out accuracy (inherited weights)")
    axes.set_title("Candidates of a search: accuracy against measured latency")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
    save(figure, picture)


def columns(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


if __name__ == "__main__":
    main()
