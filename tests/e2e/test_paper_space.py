"""The paper's space at its full size, 224 px and batch 32, profiled and searched on this machine's CPU.

The supernet is trained for a few steps only: what is tested is that the sizes are borne, and that the winner fits.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image, ImageDraw

pytestmark = pytest.mark.long

SETTINGS = """
run = "paper"
space = "shufflenet_v2:classes=3"
data = "folder:images"
holdout_per_class = 4
threads = 1

[profile]
quiet_timeout_s = 1.0
batch = 32
rounds = 2
networks = 5
min_ms = 5.0

[train]
recipe = "quick"
changes = { epochs = 2, batch = 12 }

[search]
population = 4
generations = 2
top_k = 2
bn_images = 24
batch = 24
random_search = false
"""
# the 80 choices of the 20 blocks are 32 distinct variants (4 + 4 in each of the 4 stages); stem and head
PARTS = 4 * (4 + 4) + 2
MEASURED_NEAR_PREDICTED = 0.5  # the plain sum has an error, and other processes share the caches


def test_profile_and_search(nastool: Callable[..., Any], tmp_path: Path) -> None:
    draw_images(tmp_path / "images")
    (tmp_path / "nastool.toml").write_text(SETTINGS)

    profiled = nastool("profile", "--json", cwd=tmp_path)
    assert profiled.code == 0, profiled.stderr
    rows = {row["key"]: row["latency_ms"] for row in profiled.json["rows"]}
    assert len(rows) == PARTS
    assert min(rows.values()) > 0

    slow = " ".join(["choice_x"] * 20)
    slow_ms = nastool("cost", "--arch", slow, "--json", cwd=tmp_path).json["latency_ms"]
    assert nastool("train", "--json", cwd=tmp_path).code == 0
    # All networks are predicted to meet it. A tighter limit depends on what else the machine does: with few rounds and
    # networks, the prediction has a margin of up to a third (tests/e2e/test_budget_holds.py has limits that bind).
    limit_ms = round(2 * slow_ms, 1)
    searched = nastool("search", "--latency", f"{limit_ms}ms", "--json", cwd=tmp_path)
    assert searched.code == 0, searched.stderr
    best = searched.json
    assert best["limits"] == {"latency_ms": limit_ms}
    assert best["latency_ms"] <= limit_ms
    assert best["measured_latency_ms"] <= limit_ms
    assert abs(best["measured_latency_ms"] / best["latency_ms"] - 1) < MEASURED_NEAR_PREDICTED


def draw_images(root: Path) -> None:
    """Bright shapes on dark backgrounds: 12 training and 3 test images for each of three classes."""
    rng = Random(0)
    for part, count in (("train", 12), ("val", 3)):
        for name in ("circle", "cross", "square"):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", (260, 240), tuple(rng.randrange(80) for _ in range(3)))
                canvas, color = ImageDraw.Draw(image), tuple(rng.randrange(150, 256) for _ in range(3))
                box = (rng.randrange(20, 60), rng.randrange(20, 60), rng.randrange(180, 240), rng.randrange(170, 220))
                if name == "circle":
                    canvas.ellipse(box, fill=color)
                elif name == "square":
                    canvas.rectangle(box, outline=color, width=14)
                else:
                    canvas.line(box, fill=color, width=20)
                    canvas.line((box[0], box[3], box[2], box[1]), fill=color, width=20)
                image.save(folder / f"{number}.png")
