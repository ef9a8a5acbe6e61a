"""The picture of a benchmark."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from toolchain.report.figures import save
from toolchain.report.point import Point

COLORS = ("#0b6e99", "#d1495b", "#edae49", "#66a182", "#8d6a9f", "#7f7f7f")


def draw_bench(points: Sequence[Point], what: str, batch: int, path: Path) -> None:
    """Accuracy against latency with intervals, one color a file; one of unknown accuracy is a line at its latency.

    Where none is known, the files are below each other.

    Args:
        what: of whose images the accuracy is: `digits, test`.
    """
    known = any(point.accuracy is not None for point in points)
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, point in enumerate(points):
        color = COLORS[number % len(COLORS)]
        spread = [[point.latency_ms - point.ends_ms[0]], [point.ends_ms[1] - point.latency_ms]]
        label = f"{point.name} ({point.latency_ms:.3g} ms)"
        if not known:
            axes.errorbar(point.latency_ms, number, xerr=spread, fmt="o", color=color, capsize=4)
        elif point.accuracy is None:
            axes.axvline(point.latency_ms, color=color, linestyle="--", label=f"{label}, accuracy unknown")
        else:
            share, low, high = point.accuracy
            error = [[share - low], [high - share]]
            axes.errorbar(
                point.latency_ms, share, xerr=spread, yerr=error, fmt="o", color=color, capsize=4, label=label
            )
    axes.set(xlabel=f"measured latency (ms a batch of {batch})", title="Measured side by side")
    axes.set_xlim(0, 1.1 * max(point.ends_ms[1] for point in points))
    axes.grid(alpha=0.3)
    if known:
        axes.set_ylabel(f"accuracy ({what})")
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        figure.legend(fontsize="small", loc="outside lower center")
    else:
        axes.set_yticks(range(len(points)), [point.name for point in points])
        axes.set_ylim(len(points) - 0.5, -0.5)
    save(figure, path)
