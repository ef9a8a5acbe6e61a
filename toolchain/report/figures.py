"""The pictures of a search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from toolchain.files import write_bytes

COLORS = {"evolution": "#0b6e99", "random search": "#b0b0b0", "simple networks": "#edae49"}
AXES = {
    "latency_ms": ("predicted latency (ms)", 1.0),
    "macs": ("MACs (M)", 1e6),
    "params": ("params (M)", 1e6),
    "bitops": ("BitOps (Gi, 2^30)", 2.0**30),
    "weight_bits": ("weights (Mbit)", 1e6),
}
PERCENT = FuncFormatter(lambda share, _: f"{share:.1%}")


def draw_generations(histories: Mapping[str, Mapping[int, Sequence[float]]], path: Path) -> None:
    """Best so far and mean of each generation, one color a search (paper Fig. 3).

    Args:
        histories: search -> generation -> accuracies (0 to 1) of its candidates.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for label, generations in histories.items():
        numbers = [number + 1 for number in sorted(generations)]
        best, bests = 0.0, []
        for number in sorted(generations):
            best = max(best, *generations[number])
            bests.append(best)
        means = [sum(generations[n]) / len(generations[n]) for n in sorted(generations)]
        axes.plot(numbers, bests, "o-", color=COLORS[label], label=f"{label}: best so far")
        axes.plot(numbers, means, "s--", color=COLORS[label], alpha=0.6, label=f"{label}: mean")
    axes.set(xlabel="generation", ylabel="hold-out accuracy (inherited weights)", title="Search by generation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PERCENT)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    save(figure, path)


@dataclass(frozen=True)
class WinnerPoint:
    """A winner in a picture: its cost, its accuracy (0 to 1), and the standard error of the accuracy."""

    cost: float
    accuracy: float
    standard_error: float


def draw_cost(
    points: Mapping[str, Sequence[tuple[float, float]]],
    winner: WinnerPoint,
    cost: str,
    limit: float | None,
    path: Path,
) -> None:
    """Accuracy against a cost for every candidate, with the winner and the budget.

    Args:
        points: search -> (cost, accuracy 0 to 1) of its candidates.
        limit: the maximum of the cost, or None where there is none.
    """
    label, scale = AXES[cost]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, pairs in points.items():
        axes.scatter(
            [x / scale for x, _ in pairs],
            [y for _, y in pairs],
            s=16,
            color=COLORS[name],
            label=name,
            alpha=0.8,
        )
    axes.errorbar(
        [winner.cost / scale],
        [winner.accuracy],
        yerr=[winner.standard_error],
        fmt="*",
        markersize=13,
        capsize=4,
        color="#d1495b",
        label="winner, ± 1 standard error",
        zorder=3,
    )
    if limit is not None:
        axes.axvline(limit / scale, color="#333333", linestyle=":", label=f"budget {limit / scale:.4g}")
    axes.set(xlabel=label, ylabel="hold-out accuracy (inherited weights)", title="Candidates and the budget")
    axes.yaxis.set_major_formatter(PERCENT)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    save(figure, path)


def draw_front(
    points: Sequence[tuple[float, float]],
    front: Sequence[tuple[float, float]],
    winners: Sequence[tuple[float, float, float | None]],
    cost: str,
    path: Path,
) -> None:
    """All candidates of several budgets, those that no other beats, and each budget's winner.

    Args:
        points, front: (cost, accuracy 0 to 1).
        winners: (cost, accuracy, the budget's limit on the cost or None).
    """
    label, scale = AXES[cost]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.scatter([x / scale for x, _ in points], [y for _, y in points], s=10, color="#b0b0b0", label="candidates")
    axes.step([x / scale for x, _ in front], [y for _, y in front], where="post", color="#0b6e99", label="front")
    axes.scatter(
        [x / scale for x, _, _ in winners],
        [y for _, y, _ in winners],
        s=160,
        marker="*",
        color="#d1495b",
        label="winners",
        zorder=3,
    )
    for number, limit in enumerate(limit for _, _, limit in winners if limit is not None):
        axes.axvline(limit / scale, color="#333333", linestyle=":", label="budgets" if number == 0 else None)
    axes.set(xlabel=label, ylabel="hold-out accuracy (inherited weights)", title="Many budgets, one supernet")
    axes.yaxis.set_major_formatter(PERCENT)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    FigureCanvasAgg(figure)
    png = BytesIO()
    figure.savefig(png, dpi=120)
    write_bytes(path, png.getvalue())
