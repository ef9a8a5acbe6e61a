"""The pictures of a search are files that people can read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from PIL import Image

from toolchain.report.figures import AXES, WinnerPoint, draw_cost, draw_front, draw_generations

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


def require_picture(path: Path) -> None:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == (840, 504)  # 7 x 4.2 inches at 120 dots
        colors = np.asarray(image.convert("RGB")).reshape(-1, 3)
        assert len(np.unique(colors, axis=0)) > 20  # more than an empty frame


def test_generations(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_generations(HISTORIES, tmp_path / "generations.png")
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


@pytest.mark.parametrize("cost", sorted(AXES))
@pytest.mark.parametrize("limited", [True, False])
def test_cost_against_accuracy(tmp_path: Path, drawn: list[Figure], cost: str, limited: bool) -> None:
    label, scale = AXES[cost]
    points = {"random search": [(1.0 * scale, 0.3)], "evolution": [(1.5 * scale, 0.5), (1.7 * scale, 0.6)]}
    winner = WinnerPoint(1.7 * scale, 0.6, 0.02)
    draw_cost(points, winner, cost, 1.8 * scale if limited else None, tmp_path / "cost.png")
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
    assert np.asarray(bar.get_segments()).tolist() == [[pytest.approx([1.7, 0.58]), pytest.approx([1.7, 0.62])]]
    budgets = [line for line in axes.lines if str(line.get_label()).startswith("budget")]
    assert [np.asarray(line.get_xdata()).tolist()[0] for line in budgets] == ([pytest.approx(1.8)] if limited else [])


def test_one_search_alone(tmp_path: Path) -> None:
    draw_generations({"evolution": {0: [0.1]}}, tmp_path / "one.png")
    require_picture(tmp_path / "one.png")


def test_a_front_over_several_budgets(tmp_path: Path, drawn: list[Figure]) -> None:
    points = [(1e6, 0.3), (2e6, 0.5), (2.5e6, 0.45), (3e6, 0.6)]
    front = [(1e6, 0.3), (2e6, 0.5), (3e6, 0.6)]
    draw_front(points, front, [(2e6, 0.5, 2.2e6), (3e6, 0.6, None)], "macs", tmp_path / "front.png")
    require_picture(tmp_path / "front.png")
    (axes,) = drawn[0].axes
    assert axes.get_xlabel() == "MACs (M)"
    clouds = {str(cloud.get_label()): np.asarray(cloud.get_offsets()).tolist() for cloud in axes.collections}
    assert clouds["winners"] == [[2.0, 0.5], [3.0, 0.6]]
    lines = {str(line.get_label()): np.asarray(line.get_xdata()).tolist() for line in axes.lines}
    assert lines == {"front": [1.0, 2.0, 3.0], "budgets": pytest.approx([2.2, 2.2])}
