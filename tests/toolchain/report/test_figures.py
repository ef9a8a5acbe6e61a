"""The pictures of a search are files that people can read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from PIL import Image

from toolchain.report.figures import (
    AXES,
    About,
    AccuracyPoint,
    TrainedAlone,
    WinnerPoint,
    draw_cost,
    draw_front,
    draw_generations,
)

HISTORIES = {
    "evolution": {0: [0.4, 0.5], 1: [0.55, 0.45], 2: [0.5, 0.6]},
    "random search": {0: [0.4, 0.5], 1: [0.3, 0.48], 2: [0.2, 0.52]},
}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved; saving goes on as ever."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: Any, **options: Any) -> None:
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def require_picture(path: Path, inches: int = 7) -> None:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == (240 * inches, 1008)  # 4.2 inches high, at 240 dots
        colors = image.convert("RGB").getcolors(image.width * image.height)
        assert colors is not None
        assert len(colors) > 20  # more than an empty frame


def test_generations(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_generations(HISTORIES, "run: space", tmp_path / "generations.png")
    require_picture(tmp_path / "generations.png")
    (axes,) = drawn[0].axes
    assert axes.get_xlabel() == "generation"
    assert axes.get_ylabel() == "hold-out accuracy (inherited weights)"
    lines = {str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in axes.lines}
    assert lines == {
        "evolution: best so far": [0.5, 0.55, 0.6],
        "evolution: mean": pytest.approx([0.45, 0.5, 0.55]),
        "random search: best so far": [0.5, 0.5, 0.52],
        "random search: mean": pytest.approx([0.45, 0.39, 0.36]),
    }
    assert all(np.asarray(line.get_xdata()).tolist() == [1, 2, 3] for line in axes.lines)
    legend = axes.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == set(lines)


@pytest.mark.parametrize(("cost", "limited"), [*((cost, True) for cost in sorted(AXES)), ("latency_ms", False)])
def test_cost_against_accuracy(tmp_path: Path, drawn: list[Figure], cost: str, limited: bool) -> None:
    label, scale = AXES[cost]
    points = {"random search": [(1.0 * scale, 0.3)], "evolution": [(1.5 * scale, 0.5), (1.7 * scale, 0.6)]}
    inherited = AccuracyPoint(1.7 * scale, 0.6, 0.57, 0.62)
    winner = WinnerPoint(inherited, 1.65, 1.8 * scale if limited else None)
    draw_cost(points, winner, None, About("run: space on data, device", cost), tmp_path / "cost.png")
    require_picture(tmp_path / "cost.png")
    (axes,) = drawn[0].axes
    assert axes.get_xlabel() == label
    assert axes.get_ylabel() == "hold-out accuracy (inherited weights)"
    scatters = [cloud for cloud in axes.collections if isinstance(cloud, PathCollection)]
    clouds = {str(cloud.get_label()): np.asarray(cloud.get_offsets()).tolist() for cloud in scatters}
    assert clouds == {
        "random search": [pytest.approx([1.0, 0.3])],
        "evolution": [pytest.approx([1.5, 0.5]), pytest.approx([1.7, 0.6])],
    }
    (bar,) = [cloud for cloud in axes.collections if isinstance(cloud, LineCollection)]
    assert np.asarray(bar.get_segments()).tolist() == [[pytest.approx([1.7, 0.57]), pytest.approx([1.7, 0.62])]]
    assert drawn[0].get_suptitle() == "run: space on data, device"
    measured = [line for line in axes.lines if line.get_label() == "winner, measured latency"]
    assert [np.asarray(line.get_xydata()).tolist() for line in measured] == (
        [[[1.65, 0.6]]] if cost == "latency_ms" else []
    )
    budgets = [line for line in axes.lines if str(line.get_label()).startswith("budget")]
    assert [np.asarray(line.get_xdata()).tolist()[0] for line in budgets] == ([pytest.approx(1.8)] if limited else [])


def test_the_finalists_have_a_panel_of_their_own(tmp_path: Path, drawn: list[Figure]) -> None:
    finalists = TrainedAlone(AccuracyPoint(1.7e6, 0.9, 0.89, 0.91), [AccuracyPoint(1.5e6, 0.8, 0.78, 0.82)])
    winner = WinnerPoint(AccuracyPoint(1.7e6, 0.6, 0.58, 0.62), None, 1.8e6)
    draw_cost({"evolution": [(1.5e6, 0.5)]}, winner, finalists, About("run: space", "macs"), tmp_path / "cost.png")
    require_picture(tmp_path / "cost.png", inches=12)
    inherited, alone = drawn[0].axes
    assert inherited.get_ylabel() == "hold-out accuracy (inherited weights)"
    assert alone.get_ylabel() == "hold-out accuracy (trained alone)"
    bars = {str(bars.get_label()): np.asarray(bars.lines[0].get_xydata()).tolist() for bars in alone.containers}
    assert bars == {
        "winner, 95% interval": [pytest.approx([1.7, 0.9])],
        "other finalists": [pytest.approx([1.5, 0.8])],
    }


def test_one_search_alone(tmp_path: Path) -> None:
    draw_generations({"evolution": {0: [0.1]}}, "run: space", tmp_path / "one.png")
    require_picture(tmp_path / "one.png")


def test_a_front_over_several_budgets(tmp_path: Path, drawn: list[Figure]) -> None:
    points = [(1e6, 0.3), (2e6, 0.5), (2.5e6, 0.45), (3e6, 0.6)]
    front = [(1e6, 0.3), (2e6, 0.5), (3e6, 0.6)]
    winners = [
        WinnerPoint(AccuracyPoint(2e6, 0.5, 0.48, 0.51), None, 2.2e6),
        WinnerPoint(AccuracyPoint(3e6, 0.6, 0.58, 0.61), None, None),
    ]
    draw_front(points, front, winners, About("run: space", "macs"), tmp_path / "front.png")
    require_picture(tmp_path / "front.png")
    (axes,) = drawn[0].axes
    assert axes.get_xlabel() == "MACs (M)"
    (bars,) = axes.containers
    assert np.asarray(bars.lines[0].get_xydata()).tolist() == [[2.0, 0.5], [3.0, 0.6]]
    (intervals,) = [cloud for cloud in axes.collections if isinstance(cloud, LineCollection)]
    ends = [np.asarray(segment)[:, 1].tolist() for segment in intervals.get_segments()]
    assert ends == [pytest.approx([0.48, 0.51]), pytest.approx([0.58, 0.61])]
    lines = {str(line.get_label()): np.asarray(line.get_xdata()).tolist() for line in axes.lines}
    assert lines["front"] == [1.0, 2.0, 3.0]
    assert lines["budgets"] == pytest.approx([2.2, 2.2])
