"""The pictures of `nastool paper`: rows of a table, and curves over generations."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from toolchain.report.figures import draw_legend_below, save

COLORS = ("#0b6e99", "#d1495b", "#edae49", "#66a182", "#8d6a9f", "#c77d3f")
PRINTED = "#555555"
ROW_INCHES = 0.34
MARGIN = 0.04  # of the axis, on each side


@dataclass(frozen=True)
class Dot:
    """A value with half the width of its 95 % interval, None where it has none; None without a value."""

    value: float | None
    half_width: float | None = None


@dataclass(frozen=True)
class Panel:
    """Values of the rows, one below the other; shares are drawn as percentages."""

    heading: str
    dots: Sequence[Dot]
    share: bool = False


@dataclass(frozen=True)
class Line:
    """A curve: for each generation the mean over seeds with half the width of its interval, as shares (0 to 1)."""

    name: str
    points: Sequence[Dot]


def draw_rows(names: Sequence[str], panels: Sequence[Panel], title: str, path: Path) -> None:
    """The rows of a table: what was measured with its intervals, and beside it what the paper prints."""
    figure = Figure(figsize=(4.5 + 3 * len(panels), 1.4 + ROW_INCHES * len(names)), layout="constrained")
    figure.suptitle(title, fontsize=9, color="#555555", wrap=True)
    positions = range(len(names))
    for number, (axes, panel) in enumerate(zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True)):
        for position, dot in zip(positions, panel.dots, strict=True):
            if dot.value is None:
                continue
            color = COLORS[0] if number == 0 else PRINTED
            axes.errorbar(dot.value, position, xerr=dot.half_width, fmt="o", capsize=3, color=color)
        axes.set_yticks(positions, names if number == 0 else [""] * len(names))
        axes.set_ylim(len(names) - 0.5, -0.5)
        low, high, cut = visible_range(panel.dots)
        if low < high:
            axes.set_xlim(low, high)
        axes.set_xlabel(f"{panel.heading} (longer intervals are cut at the edges)" if cut else panel.heading)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if panel.share:
            axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(alpha=0.3)
    save(figure, path)


def visible_range(dots: Sequence[Dot]) -> tuple[float, float, bool]:
    """The ends of the axis, and whether it cuts intervals: those of two seeds can be wider than all values together.

    The axis reaches beyond the values by at most the distance of the outermost ones.
    """
    intervals = [(dot.value, dot.half_width or 0.0) for dot in dots if dot.value is not None]
    values = [value for value, _ in intervals]
    span = max(values, default=0.0) - min(values, default=0.0)
    if span == 0:
        return 0.0, 0.0, False
    ends = [value + sign * half_width for value, half_width in intervals for sign in (-1, 1)]
    low, high = max(min(ends), min(values) - span), min(max(ends), max(values) + span)
    margin = MARGIN * (high - low)
    return low - margin, high + margin, low > min(ends) or high < max(ends)


def draw_curves(lines: Sequence[Line], title: str, path: Path) -> None:
    """Curves over generations, with bands where there are several seeds."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    figure.suptitle(title, fontsize=9, color="#555555", wrap=True)
    axes = figure.subplots()
    for line, color in zip(lines, COLORS, strict=False):
        numbers = range(1, len(line.points) + 1)
        values = [point.value or 0.0 for point in line.points]
        axes.plot(numbers, values, "o-", ms=4, color=color, label=line.name)
        if all(point.half_width is not None for point in line.points):
            halves = [point.half_width or 0.0 for point in line.points]
            low = [value - half for value, half in zip(values, halves, strict=True)]
            high = [value + half for value, half in zip(values, halves, strict=True)]
            axes.fill_between(numbers, low, high, color=color, alpha=0.15, label=f"{line.name}: 95% interval")
    axes.set(xlabel="generation", ylabel="best hold-out accuracy so far (inherited weights)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    draw_legend_below(axes)
    save(figure, path)
