"""The pictures of a search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from toolchain.files import write_bytes

COLORS = {"evolution": "#0b6e99", "learned": "#66a182", "random search": "#b0b0b0", "simple networks": "#edae49"}
AXES = {
    "latency_ms": ("predicted latency (ms)", 1.0),
    "macs": ("MACs (M)", 1e6),
    "params": ("params (M)", 1e6),
    "bitops": ("BitOps (Gi, 2^30)", 2.0**30),
    "weight_bits": ("weights (Mbit)", 1e6),
}


@dataclass(frozen=True)
class _Mark:
    """How networks are drawn that have an interval."""

    label: str
    color: str
    shape: str
    size: int
    zorder: int


WINNER = _Mark("winner, 95% interval", "#d1495b", "*", 13, 3)
MEASURED = _Mark("winner, measured latency", "#d1495b", "P", 9, 4)
FINALIST = _Mark("other finalists", COLORS["evolution"], "o", 6, 2)
DPI = 240  # dots an inch of PNG files: sharp on screens of twice the usual density


@dataclass(frozen=True)
class AccuracyPoint:
    """A network in a picture: its cost, and its accuracy (0 to 1) with the ends of the 95 % interval (Wilson)."""

    cost: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class WinnerPoint:
    """A winner by its inherited accuracy, its measured latency in ms (None if unknown), and the limit of the cost."""

    inherited: AccuracyPoint
    measured_ms: float | None
    limit: float | None


@dataclass(frozen=True)
class TrainedAlone:
    """The finalists by their accuracy after training alone: the winner and the others."""

    winner: AccuracyPoint
    others: Sequence[AccuracyPoint]


@dataclass(frozen=True)
class About:
    """What a picture shows: the title (run, space, data and device), and the cost of its horizontal axis."""

    title: str
    cost: str


def draw_generations(histories: Mapping[str, Mapping[int, Sequence[float]]], title: str, path: Path) -> None:
    """Best so far and mean of each generation, one color a search (paper Fig. 3).

    Args:
        histories: search -> generation -> accuracies (0 to 1) of its candidates.
        title: run, space, data and device.
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
    _title(figure, title)
    axes.set(xlabel="generation", ylabel="hold-out accuracy (inherited weights)", title="Search by generation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    draw_legend_below(axes)
    save(figure, path)


def draw_cost(
    points: Mapping[str, Sequence[tuple[float, float]]],
    winner: WinnerPoint,
    finalists: TrainedAlone | None,
    about: About,
    path: Path,
) -> None:
    """Accuracy against a cost for every candidate, with the winner and the budget; finalists in a second panel.

    Args:
        points: search -> (cost, accuracy 0 to 1) of its candidates.
        finalists: what decided, or None where the inherited accuracy did.
    """
    label, scale = AXES[about.cost]
    figure = Figure(figsize=(12 if finalists else 7, 4.2), layout="constrained")
    _title(figure, about.title)
    panels = figure.subplots(1, 2 if finalists else 1, sharex=True, squeeze=False)[0]
    inherited = panels[0]
    for name, pairs in points.items():
        x, y = [cost / scale for cost, _ in pairs], [accuracy for _, accuracy in pairs]
        inherited.scatter(x, y, s=16, color=COLORS[name], label=name, alpha=0.8)
    _draw_winners(inherited, [winner], about.cost)
    inherited.set(ylabel="hold-out accuracy (inherited weights)", title="Candidates and the budget")
    if finalists:
        alone = panels[1]
        _draw_intervals(alone, finalists.others, scale, FINALIST)
        _draw_intervals(alone, [finalists.winner], scale, WINNER)
        alone.set(ylabel="hold-out accuracy (trained alone)", title="The finalists, which decided")
    for axes in panels:
        if winner.limit is not None:
            limit = winner.limit / scale
            axes.axvline(limit, color="#333333", linestyle=":", label=f"budget {limit:.4g}")
        axes.set_xlabel(label)
        _finish(axes)
    save(figure, path)


def draw_front(
    points: Sequence[tuple[float, float]],
    front: Sequence[tuple[float, float]],
    winners: Sequence[WinnerPoint],
    about: About,
    path: Path,
) -> None:
    """All candidates of several budgets, those that no other beats, and each budget's winner.

    Args:
        points, front: (cost, accuracy 0 to 1).
    """
    label, scale = AXES[about.cost]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    _title(figure, about.title)
    axes = figure.subplots()
    axes.scatter([x / scale for x, _ in points], [y for _, y in points], s=10, color="#b0b0b0", label="candidates")
    axes.step([x / scale for x, _ in front], [y for _, y in front], where="post", color="#0b6e99", label="front")
    _draw_winners(axes, winners, about.cost)
    for number, limit in enumerate(winner.limit for winner in winners if winner.limit is not None):
        axes.axvline(limit / scale, color="#333333", linestyle=":", label="budgets" if number == 0 else None)
    axes.set(xlabel=label, ylabel="hold-out accuracy (inherited weights)", title="Many budgets, one supernet")
    _finish(axes)
    save(figure, path)


def _title(figure: Figure, title: str) -> None:
    figure.suptitle(title, fontsize=8, color="#555555", wrap=True)


def _finish(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    draw_legend_below(axes)


def draw_legend_below(axes: Axes) -> None:
    """Below the axes, where it covers nothing."""
    axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)


def _draw_winners(axes: Axes, winners: Sequence[WinnerPoint], cost: str) -> None:
    """Winners with their intervals; on an axis of predicted latencies also at their measured ones."""
    _draw_intervals(axes, [winner.inherited for winner in winners], AXES[cost][1], WINNER)
    measured = [(winner.measured_ms, winner.inherited.accuracy) for winner in winners if winner.measured_ms is not None]
    if cost == "latency_ms" and measured:
        x, y = zip(*measured, strict=True)
        axes.plot(
            x,
            y,
            MEASURED.shape,
            markersize=MEASURED.size,
            fillstyle="none",
            color=MEASURED.color,
            label=MEASURED.label,
            zorder=MEASURED.zorder,
        )


def _draw_intervals(axes: Axes, points: Sequence[AccuracyPoint], scale: float, mark: _Mark) -> None:
    """Points with the intervals of their accuracies."""
    below = [point.accuracy - point.low for point in points]
    above = [point.high - point.accuracy for point in points]
    axes.errorbar(
        [point.cost / scale for point in points],
        [point.accuracy for point in points],
        yerr=[below, above],
        fmt=mark.shape,
        markersize=mark.size,
        capsize=4,
        color=mark.color,
        label=mark.label,
        zorder=mark.zorder,
    )


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG by the suffix of `path`, whole or not at all."""
    if path.suffix == ".svg":
        write_bytes(path, svg_text(figure).encode())
        return
    FigureCanvasAgg(figure)
    png = BytesIO()
    figure.savefig(png, dpi=DPI)
    write_bytes(path, png.getvalue())


def svg_text(figure: Figure) -> str:
    """A figure as SVG: without a background, its letters as text, and the same each time."""
    FigureCanvasAgg(figure)
    svg = BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "nastool", "font.family": "sans-serif"}):
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    return svg.getvalue().decode()
