"""A new user's day: own photos, two budgets, and no knowledge but the printed hints, which are typed verbatim."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

pytestmark = pytest.mark.long  # whole commands

Nastool = Callable[..., Any]
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Lines of the quick preset -> less work of the same kind.
LESS_WORK = {
    "stage_widths=32-64,": "stem_channels=8,stage_widths=16-24,head_channels=32,",
    "widths=0.5-1.0-2.0-4.0": "widths=0.5-1.5",
    "networks = 12": "networks = 6",
    "quiet_timeout_s = 10.0": "quiet_timeout_s = 1.0",
    "population = 20": "population = 8",
    "generations = 5": "generations = 2",
    "finalists = 4": "finalists = 3",
    "finalist_time_s = 300.0": "finalist_time_s = 5.0",
}
MAX_STEPS = 12
SHIPPING = ("retrain", "export", "check", "report")
TINY = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"
FLAGS_SETTINGS = """
profile = { rounds = 2, min_ms = 1.0, networks = 3 }
train = { recipe = "quick", changes = { epochs = 1 } }
search = { population = 8, generations = 3, top_k = 3, bn_images = 128, batch = 64 }
retrain = { recipe = "quick", changes = { epochs = 1 } }
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The folder `photos` with pictures in class folders, every fifth of them in `val`: scikit-learn's digits."""
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        folder = tmp_path / "photos" / ("val" if number % 5 == 0 else "train") / NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255 / 16).astype(np.uint8)).resize((28, 28)).save(folder / f"{number}.png")
    return tmp_path


def hints(answer: Any) -> list[str]:
    """The commands of the lines that begin with Next."""
    return re.findall(r"Next: nastool (.*)$", answer.stderr, re.MULTILINE)


def follow(nastool: Nastool, command: str, cwd: Path) -> list[tuple[str, Any]]:
    """Type `command` and each command that a Next line names, until there is none; each with its answer."""
    waiting, typed = [command], []
    while waiting:
        line = waiting.pop(0)
        answer = type_line(nastool, line, cwd)
        typed.append((line, answer))
        waiting = hints(answer) + waiting
        assert len(typed) < MAX_STEPS, [line for line, _ in typed]
    return typed


def follow_to(nastool: Nastool, line: str, cwd: Path, command: str) -> Any:
    """Type `line` and the commands that Next lines name, up to `command`; the answer of that one."""
    for _ in range(MAX_STEPS):
        answer = type_line(nastool, line, cwd)
        if line.startswith(command):
            return answer
        (line,) = hints(answer)
    raise AssertionError(f"no Next line names {command}")


def type_line(nastool: Nastool, line: str, cwd: Path) -> Any:
    answer = nastool(*shlex.split(line), cwd=cwd)
    assert answer.code == 0, f"nastool {line}\n{answer.stderr}"
    return answer


def require_shipped(run: Path, exported: str, budget: str) -> dict[str, Any]:
    """The manifest of an export, which must be of the winner of `budget` and within it."""
    manifest: dict[str, Any] = json.loads((run / "export" / exported / "manifest.json").read_text())
    best = json.loads((run / "search" / budget / "best.json").read_text())
    assert manifest["architecture"] == best["architecture"]
    for cost, limit in best["limits"].items():
        value = manifest["measured_latency_ms"] if cost == "latency_ms" else manifest["costs"][cost]
        assert value <= limit
    return manifest


def require_report(chromium: Any, page: Path, *budgets: str) -> None:
    """The page in Chromium: each budget has a passed check, and nothing goes wrong."""
    if chromium.missing:  # the rest of the day is tested without it
        return
    with chromium.launched() as browser:
        opened = chromium.open(browser.new_context(offline=True), page)
        shown = opened.tab.eval_on_selector_all("section.verdict", "all => all.map(one => one.innerText)")
        assert len(shown) == len(budgets)
        for budget, text in zip(budgets, shown, strict=True):
            assert f"{budget}: the winner fits the budget" in text
            assert "Check passed: " in text
        assert opened.problems == []


def test_from_photos_to_two_shipped_budgets(photos: Path, nastool: Nastool, chromium: Any) -> None:
    begun = nastool("init", "--data", "folder:photos", cwd=photos)
    settings = photos / "nastool.toml"
    text = settings.read_text()
    for line, less in LESS_WORK.items():
        assert text.count(line) == 1, line
        text = text.replace(line, less)
    text, changed = re.subn(r"(?<![_\w])epochs = [\d.]+", "epochs = 1.5", text)  # more in the preset: few images
    assert changed == 2
    settings.write_text(text)

    (first,) = hints(begun)
    typed = follow(nastool, first, photos)
    assert [line.split()[0] for line, _ in typed] == ["profile", "train", "search", *SHIPPING]
    run = photos / "runs/quick"
    (budget,) = [path.parent.name for path in run.glob("search/*/best.json")]
    require_shipped(run, "", budget)
    shipped = (run / "export/model.onnx").read_bytes()

    (searched,) = [line for line, _ in typed if line.startswith("search")]
    (limit_ms,) = map(float, re.findall(r"--latency ([\d.]+)ms", searched))
    larger = f"latency_{1.5 * limit_ms:g}ms"
    typed = follow(nastool, f"search --latency {1.5 * limit_ms:g}ms", photos)
    assert [line.split()[0] for line, _ in typed] == ["search", *SHIPPING]
    assert "not finished" not in typed[-1][1].stderr
    require_report(chromium, run / "report.html", *sorted([budget, larger]))
    require_shipped(run, larger, larger)
    assert (run / "export/model.onnx").read_bytes() == shipped  # the first budget's file stays
    require_gate(nastool, photos, limit_ms, larger)
    require_by_hand(nastool, photos)
    assert (run / "export/model.onnx").read_bytes() == shipped


def require_gate(nastool: Nastool, folder: Path, limit_ms: float, larger: str) -> None:
    """The shipped file passes the gate; a slower model fails it, against the limit and against the shipped file."""
    shipped, slower = "runs/quick/export/model.onnx", f"runs/quick/export/{larger}/model.onnx"
    assert nastool("check", shipped, "--latency", f"{limit_ms}ms", cwd=folder).code == 0
    measured_ms = nastool("check", slower, "--latency", "1s", "--json", cwd=folder).json["measured_latency_ms"]
    failed = nastool("check", slower, "--latency", f"{0.8 * measured_ms}ms", cwd=folder)
    assert failed.code == 1, failed
    assert "check failed" in failed.stdout


def require_by_hand(nastool: Nastool, folder: Path) -> None:
    """An architecture that was chosen by hand is exported beside the shipped ones."""
    typed = follow(nastool, "retrain --arch 2,2,2,2", folder)
    assert [line.split()[0] for line, _ in typed] == ["retrain", "export"]
    (manifest,) = [
        manifest
        for path in (folder / "runs/quick/export").glob("*/manifest.json")
        if not (manifest := json.loads(path.read_text()))["limits"]
    ]
    assert len(set(manifest["architecture"])) == 1
    assert "no limit on latency to check" in typed[-1][1].stderr


def test_hints_keep_every_flag(photos: Path, nastool: Nastool) -> None:
    """Settings, space, data, run, folder, table and backend are given once, as flags of the first command."""
    (photos / "my settings.toml").write_text(FLAGS_SETTINGS)
    where = ("--config", "my settings.toml", "--runs", "my runs", "--run", "pets", "--db", "my table.sqlite")
    what = ("--space", TINY, "--data", "folder:photos", "--backend", "fake")
    trained = follow_to(nastool, shlex.join(("profile", *where, *what)), photos, "train")
    (search,) = hints(trained)
    two = re.sub(r"--latency ([\d.]+)ms", lambda match: f"{match[0]} --latency {float(match[1]) * 1.3:g}ms", search)
    typed = follow(nastool, two, photos)
    assert [line.split()[0] for line, _ in typed] == ["search", *SHIPPING, *SHIPPING]
    run = photos / "my runs/pets"
    budgets = sorted(path.parent.name for path in run.glob("search/*/best.json"))
    assert len(budgets) == 2
    shipped = [require_shipped(run, budget, budget) for budget in budgets]
    assert len({tuple(manifest["architecture"]) for manifest in shipped}) == 2
    assert all(manifest["target"]["backend"] == "fake" for manifest in shipped)
    assert sorted(path.name for path in photos.iterdir()) == [
        "my runs",
        "my settings.toml",
        "my table.sqlite",
        "photos",
    ]
