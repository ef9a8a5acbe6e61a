"""The picture of a benchmark is drawn with all, some and no accuracies known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toolchain.report.bench import draw_bench
from toolchain.report.point import Point

KNOWN = (0.91, 0.89, 0.92)


def drawn(points: list[Point], path: Path) -> np.ndarray:
    draw_bench(points, "digits, test", 8, path)
    return np.asarray(Image.open(path).convert("RGB"))


def count(picture: np.ndarray, color: str) -> int:
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(picture.astype(int) - rgb).sum(2) < 12).sum())


@pytest.mark.parametrize("accuracies", [(KNOWN, KNOWN), (KNOWN, None), (None, None)])
def test_every_file_is_in_it(accuracies: tuple[tuple[float, float, float] | None, ...], tmp_path: Path) -> None:
    points = [Point(f"file {i}", 2.0 + i, (1.9 + i, 2.2 + i), known) for i, known in enumerate(accuracies)]
    picture = drawn(points, tmp_path / "bench.png")
    for color in ("#0b6e99", "#d1495b"):
        assert count(picture, color) > 30
    assert count(picture, "#edae49") == 0, "the third color has no file"
