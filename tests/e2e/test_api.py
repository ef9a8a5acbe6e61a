"""Every example of docs/api.md runs, in order, on a finished run."""

import json
import re
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nastool

PAGE = Path(__file__).parents[2] / "docs/api.md"
SMALL = {
    "space": "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32",
    "profile.backend": "fake",
    "profile.rounds": 2,
    "profile.networks": 3,
    "train.changes": {"epochs": 1, "batch": 32},
    "search.population": 6,
    "search.generations": 2,
    "search.finalists": 0,
    "retrain.changes": {"epochs": 1, "batch": 32},
}


@pytest.mark.long
def test_examples_of_the_page_run(job: Any, capsys: pytest.CaptureFixture[str]) -> None:
    runs = job.folder / "runs"
    (runs / "r").rename(runs / "pets")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    with chdir(job.folder):
        for block in blocks:
            exec(block.replace('"6ms"', '"100ms"'), names)  # the budget of the finished run
    assert len(blocks) == 6
    output = capsys.readouterr().out
    assert "65,536 architectures" in output
    assert "no architecture" in output
    assert f"{runs.relative_to(job.folder)}/pets/export/model.onnx" in output
    assert "pass" in output
    assert (job.folder / "shipped/model.onnx").read_bytes() == (runs / "pets/export/model.onnx").read_bytes()


@pytest.mark.long
def test_the_whole_job_in_one_call(tmp_path: Path) -> None:
    """A network for each limit; the second call repeats no training."""
    settings = SMALL | files_in(tmp_path) | {"holdout_per_class": 20}
    limits = {"macs": ["28k", "40k"]}
    run = nastool.run("small", "digits", limits, settings=settings)
    assert run.budgets == ("macs_28k", "macs_40k")
    winner = run.winner("28k")
    assert winner.costs["macs"] <= 28_000
    assert winner.measured is not None
    assert winner.onnx == tmp_path / "runs/small/export/macs_28k/model.onnx"
    weights = run.files.retrain(winner.architecture) / "best.pt"
    before = weights.stat().st_mtime_ns
    assert nastool.run("small", "digits", limits, settings=settings).budgets == run.budgets
    assert weights.stat().st_mtime_ns == before


@pytest.mark.long
def test_images_of_a_folder_set_the_options_of_the_space(tmp_path: Path) -> None:
    """Three classes of colors; the space names neither classes nor channels."""
    pixels = np.random.default_rng(0)
    for part, count in (("train", 24), ("val", 4)):
        for channel, name in enumerate(("red", "green", "blue")):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = pixels.integers(0, 128, (20, 24, 3), dtype=np.uint8)
                image[..., channel] += 100
                Image.fromarray(image).save(folder / f"{number}.png")
    settings = SMALL | files_in(tmp_path) | {"holdout_per_class": 6, "workers": 0}
    run = nastool.run("pets", f"folder:{tmp_path / 'pets'}", {"macs": "60k"}, settings=settings)
    (budget,) = run.budgets
    manifest = json.loads((tmp_path / "runs/pets/export/manifest.json").read_text())
    assert manifest["classes"] == ["blue", "green", "red"]
    assert run.winner(budget).costs["macs"] <= 60_000


def files_in(folder: Path) -> dict[str, str]:
    return {"runs": str(folder / "runs"), "profile.db": str(folder / "latency.sqlite")}
