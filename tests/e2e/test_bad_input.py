"""Each mistake has its own message: what is wrong, for which input, and what to run next.

The fixture `refused` also checks the exit code and that no file has changed.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Nastool = Callable[..., Any]
Refused = Callable[..., str]


# Command line -> required parts of the message: the input, then the next step.
BAD_COMMANDS = {
    "unknown space": (
        "cost --space mobilenet --arch 0",
        ["unknown space 'mobilenet'", "Known spaces: shufflenet_v2"],
    ),
    "unknown space option": (
        "train --space shufflenet_v2:depth=3",
        ["'shufflenet_v2:depth=3' has no option 'depth'", "Options:", "size_px"],
    ),
    "space option without a number": (
        "train --space shufflenet_v2:classes=many",
        ["'shufflenet_v2:classes=many'", "'many' is not a valid value for classes"],
    ),
    "odd stage width": ("train --space shufflenet_v2:stage_widths=64-161,stage_repeats=1-1", ["must be even"]),
    "patience without a unit": ("profile --quiet-timeout 60", ["--quiet-timeout '60' has no unit", "60s"]),
    "a device with a typo": ("doctor --device gpu7", ["the device 'gpu7' is not attached", "nastool devices"]),
    "folder without folder:": ("init --data runs --force", ["unknown data set 'runs'", "write folder:runs"]),
    "data that is not there": ("init --data folder:nope --force", ["nope/train does not exist", "PATH/train/CLASS"]),
    "one unknown choice": ("cost --arch choice_9", ["has no choice 'choice_9'", "Its choices: choice_3, choice_5"]),
    "range with one end": ("search --latency 13ms..", ["the range '13ms..' has only one end", "13ms..22ms"]),
    "percentage without a sign": ("check --max-regression 5", ["percentage '5'", "--max-regression 5%"]),
    "runs in no folder": ("runs list --runs nodir", ["there is no folder nodir", "Name the one that holds the runs"]),
    "a port that is none": ("profile --device ssh://pi@h:99999", ["the port 99999 is above 65535"]),
    "an address without a host": ("profile --device ssh://pi@", ["it has no host", "ssh://user@host"]),
    "unknown setting": (
        "profile --backend fake:noize=1",
        ["the backend fake has no setting 'noize'", "Its settings:", "noise"],
    ),
    "unknown device": (
        "profile --device gpu7",
        ["the device 'gpu7' is not attached", "Attached: cpu", "Give --device cpu"],
    ),
    "unknown backend": ("profile --backend tflite", ["unknown backend 'tflite'", "Known backends:", "onnxruntime"]),
    "unknown data": ("train --data cifar", ["unknown data set 'cifar'", "Known: digits, fashion-mnist, folder:PATH"]),
    "latency without a unit": (
        "search --latency 17",
        ["latency '17' has no unit", "Write us, ms or s, as in --latency 17ms"],
    ),
    "latency below zero": (
        "search --latency=-3ms",
        ["latency '-3ms' is not above zero. Write it as in --latency 17ms"],
    ),
    "latency of zero": ("search --latency 0ms", ["latency '0ms' is not above zero"]),
    "latency in words": ("search --latency quick", ["latency 'quick' is not an amount", "Write it as in 17ms"]),
    "latency in minutes": ("search --latency 1min", ["unknown unit 'min'", "--latency 1ms"]),
    "MACs in an unknown unit": ("search --macs 3X", ["macs '3X' has the unknown unit 'X'", "--macs 330M"]),
    "impossible latency": ("search --latency 1us", ["latency_ms", "the least reachable is", "Give latency_ms a limit"]),
    # The tiny space's cheapest architecture has 26,000 MACs: choice_3 in every block (nastool cost).
    "impossible MACs": ("search --macs 20k", ["macs", "the least reachable is 26,000", "Give macs a limit"]),
    "impossible together": (
        "search --macs 26k --params 3.3k",
        ["together", "macs alone reaches", "Relax one of these limits"],
    ),
    "unknown recipe": (
        "train --recipe slow",
        ["unknown recipe 'slow'", "Known recipes: finetune, imagenet, photos, quick"],
    ),
    "unknown recipe to retrain": ("retrain --recipe slow --arch 0,1,2,3", ["unknown recipe 'slow'"]),
    "unknown preset": ("init --preset tiny", ["unknown preset 'tiny'", "Known presets: quick, photos, imagenet"]),
    "too few choices": (
        ("retrain", "--arch", "0 1 2"),
        ["has 4 choice blocks, but 3 choices were given", "Give one choice for each block"],
    ),
    "too many choices": (("cost", "--arch", "0 1 2 3 0"), ["4 choice blocks, but 5 choices were given"]),
    "unknown choice": (
        ("export", "--arch", "0 1 2 choice_9"),
        ["choice block 3", "no choice 'choice_9'", "Available: choice_3, choice_5, choice_7, choice_x"],
    ),
    "choice index too high": (("cost", "--arch", "0 1 2 4"), ["choice block 3", "no choice '4'", "indices 0 to 3"]),
    "not retrained": (
        ("export", "--arch", "3 3 3 3"),
        ["best.pt does not exist yet", "Run nastool retrain --arch '3 3 3 3' first"],
    ),
    "no such run": (
        "search --macs 31k --run other --runs elsewhere",
        ["the run elsewhere/other does not exist yet", "Run nastool train --run other --runs elsewhere first"],
    ),
    "no search to retrain from": ("retrain --run other", ["best.json does not exist yet", "Run nastool search"]),
    "no export to check": ("check --run other", ["model.onnx does not exist yet", "Run nastool export --run other"]),
    "no file to check": (
        "check nowhere.onnx --latency 1s",
        ["nowhere.onnx does not exist", "Run nastool export first"],
    ),
    "not ONNX": ("check nastool.toml --latency 1s", ["nastool.toml is not a valid ONNX file", "Export it again"]),
    "no baseline": (
        "check --baseline nastool.toml",
        ["nastool.toml is not a baseline", "--json > nastool.toml"],
    ),
    "regression without percent": (
        "check --latency 1s --max-regression 5",
        ["percentage '5' cannot be read", "Write it as in --max-regression 5%"],
    ),
    "classes of data and space": (
        "train --run other --space shufflenet_v2_quick:classes=7",
        ["digits has 10 classes", "has 7", "Write --space shufflenet_v2_quick:classes=10"],
    ),
    "too many held out": (
        "train --run other --holdout-per-class 500",
        ["training images, and 500 of each class are held out", "Write --holdout-per-class"],
    ),
    "other seed than the supernet's": (
        "search --macs 31k --seed 1",
        ["--seed: 1 contradicts the run r, which was made with seed 0", "--run NAME"],
    ),
    "other space than the supernet's": (
        "train --space shufflenet_v2_quick:size_px=16",
        ["--space: shufflenet_v2_quick:size_px=16 contradicts the run r", "made with space", "--run NAME"],
    ),
    "other recipe than the retrained": (
        "retrain --epochs 3",
        ["result.json was made with other settings", "recipe.epochs was 1.0 and is now 3.0"],
    ),
    "batch of none": ("profile --batch 0", ["--batch", "greater than 0"]),
    "a run's name with a slash": ("train --run a/b", ["run", "'a/b'"]),
    "not profiled at that batch": (
        "search --latency 1s --batch 3",
        ["was not measured on", "batch 3", "Run nastool profile"],
    ),
    "nastool.toml is there": ("init", ["nastool.toml exists", "Run nastool init --force"]),
    "no such configuration": ("train --config none.toml", ["none.toml does not exist", "Run nastool init"]),
}


@pytest.mark.parametrize("mistake", BAD_COMMANDS)
def test_bad_command_is_refused(mistake: str, job: Any, refused: Refused) -> None:
    words, expected = BAD_COMMANDS[mistake]
    refused(job.folder, words, *expected)


def test_impossible_latency_names_the_least_reachable(job: Any, nastool: Nastool, refused: Refused) -> None:
    """The limit in the message can be used unchanged: it is reachable to its last digit."""
    text = refused(job.folder, "search --latency 1us")
    least = re.search(r"the least reachable is ([\d.]+) ms", text)
    assert least is not None, text
    answer = nastool("search", "--latency", f"{least[1]}ms", cwd=job.folder)
    assert "least reachable" not in answer.stderr  # measurements may still exceed it


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("sede = 3", ["nastool.toml", "sede"]),
        ("[search]\nlatencies = '1ms'", ["nastool.toml", "search.latencies"]),
        ("seed = 'many'", ["nastool.toml", "seed", "'many'"]),
        ("seed = many", ["nastool.toml is not TOML", "line 1"]),
    ],
)
def test_wrong_line_in_nastool_toml(content: str, expected: list[str], tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "nastool.toml").write_text(content)
    refused(tmp_path, "train --data digits", *expected)


def test_baseline_of_another_target(job: Any, refused: Refused) -> None:
    verdict = job.answers["check"].json
    verdict["target"]["device_model"] = "Raspberry Pi 5"
    verdict["target"]["threads"] = 4
    (job.folder / "baseline.json").write_text(json.dumps(verdict))
    refused(
        job.folder,
        "check --baseline baseline.json",
        "baseline.json was measured on another target",
        "device_model:",
        "Raspberry Pi 5 there",
        "threads: 1 here, 4 there",
        "Measure a baseline on this one",
        code=4,
    )


def test_budget_for_another_batch(job: Any, refused: Refused) -> None:
    refused(job.folder, "check --batch 4", "manifest.json is for batches of 8, not of 4", "--latency")


def test_check_without_budget_or_baseline(job: Any, refused: Refused) -> None:
    manifest = job.folder / "runs/r/export/manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"limits": {}}))
    refused(job.folder, "check", "nothing to check against", "--latency 17ms, or --baseline FILE")


def test_refused_request_leaves_no_run(settings: str, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "nastool.toml").write_text(settings)
    refused(tmp_path, "train --data cifar", "unknown data set")
    assert not (tmp_path / "runs").exists()
