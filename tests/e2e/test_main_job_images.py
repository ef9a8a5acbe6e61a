"""The main job on folders of image files."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image, ImageDraw

Nastool = Callable[..., Any]


@pytest.mark.long
def test_own_images(settings: str, nastool: Nastool, tmp_path: Path) -> None:
    """A folder of image files of several sizes and formats, from training to a checked file."""
    draw_classes(tmp_path / "images", "train", 24)
    draw_classes(tmp_path / "images", "val", 6)
    (tmp_path / "nastool.toml").write_text(
        settings.replace("head_channels=32", "head_channels=32,in_channels=3,classes=3")
        .replace('"digits"', '"folder:images"')
        .replace("holdout_per_class = 20", "holdout_per_class = 6\nworkers = 0")
        .replace("epochs = 1, batch = 32", "epochs = 6, batch = 16")
    )
    answers = {}
    for command in ("profile", "train", "search", "retrain", "export", "check"):
        flags = ["--macs", "40k"] if command == "search" else ["--latency", "100ms"] if command == "check" else []
        answers[command] = nastool(command, *flags, "--json", cwd=tmp_path)
        assert answers[command].code == 0, answers[command].stderr
    assert answers["train"].json["training_images"] == 3 * (24 - 6)
    manifest = answers["export"].json
    assert manifest["classes"] == ["circle", "cross", "square"]
    assert len(manifest["preprocessing"]["mean"]) == 3
    assert answers["check"].json["passed"] is True


def draw_classes(root: Path, part: str, images: int) -> None:
    """PNG and JPEG files of three shapes: RGB, gray, palette; portrait and landscape."""
    rng = Random(part)
    for name in ("circle", "cross", "square"):
        folder = root / part / name
        folder.mkdir(parents=True)
        for number in range(images):
            width, height = rng.choice([(24, 24), (40, 30), (20, 36)])
            image = Image.new("RGB", (width, height), tuple(rng.randrange(90) for _ in range(3)))
            canvas, color = ImageDraw.Draw(image), tuple(rng.randrange(150, 256) for _ in range(3))
            left, top = rng.randrange(4, 7), rng.randrange(4, 7)
            box = (left, top, width - left, height - top)
            if name == "circle":
                canvas.ellipse(box, fill=color)
            elif name == "square":
                canvas.rectangle(box, outline=color, width=2)
            else:
                canvas.line(box, fill=color, width=3)
                canvas.line((left, height - top, width - left, top), fill=color, width=3)
            mode = ("RGB", "L", "P")[number % 3]
            kind = "jpg" if number % 2 and mode != "P" else "png"
            image.convert(mode).save(folder / f"{number}.{kind}")


def test_winner_is_not_retrained_on_other_data(job: Any, nastool: Nastool) -> None:
    """Other data than those of the run are refused; another run may train any architecture on them."""
    for part in ("train", "val"):
        for label in range(10):
            (job.folder / "other" / part / str(label)).mkdir(parents=True)
            for number in range(3):
                image = Image.new("L", (16, 16), label * 20 + number)
                image.save(job.folder / "other" / part / str(label) / f"{number}.png")
    flags = ["--data", "folder:other", "--holdout-per-class", "1"]
    for command in ("retrain", "export"):
        answer = nastool(command, *flags, cwd=job.folder)
        assert answer.code == 2
        assert "--data: folder:other contradicts the run r, which was made with data digits" in answer.stderr
    by_hand = nastool("retrain", *flags, "--arch", "0 1 2 3", "--run", "by_hand", "--json", cwd=job.folder)
    assert by_hand.code == 0, by_hand.stderr
