"""`nastool shrink` on a small trained network: the answer, bad requests, and the same result after a kill."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from onnx import load
from torch import nn

from toolchain.spaces import load_space
from toolchain.training.data import load_data

pytestmark = pytest.mark.long  # whole commands, tens of seconds in all

MODEL = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + x)


def build_model():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        nn.Sequential(Block(16), Block(16), Block(16)),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
    )
"""
SETTINGS = """
data = "digits"
holdout_per_class = 20
threads = 1

[profile]
quiet_timeout_s = 1.0
backend = "fake"
rounds = 2
min_ms = 1.0
networks = 4

[train]
checkpoint_every_s = 0.0
changes = { epochs = 1 }

[search]
population = 6
generations = 2
top_k = 3
bn_images = 128
threads = 1

[retrain]
checkpoint_every_s = 0.0
changes = { epochs = 2 }
"""
SOURCE = "net.py:build_model:size_px=16"
WORDS = ("shrink", SOURCE, "--weights", "net.pt", "--config", "s.toml")
PATIENCE_S = 600


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model, its weights after a short training, and the settings."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "net.py").write_text(MODEL)
    (folder / "s.toml").write_text(SETTINGS)
    scope: dict[str, Any] = {}
    exec(MODEL, scope)
    data = load_data("digits", load_space("shufflenet_v2_quick:size_px=16"), 20, 0)
    torch.manual_seed(0)
    net: nn.Module = scope["build_model"]()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(5):
        for part in torch.tensor(data.fit)[torch.randperm(len(data.fit))].split(64):
            optimizer.zero_grad()
            logits = net(data.preprocessing(data.train.fetch(part.tolist())))
            nn.functional.cross_entropy(logits, data.train.labels[part]).backward()
            optimizer.step()
    torch.save({"model": net.state_dict()}, folder / "net.pt")
    net.eval()
    with torch.no_grad():
        classes = net(data.preprocessing(data.test.fetch(range(len(data.test.labels))))).argmax(1)
    (folder / "accuracy.json").write_text(json.dumps((classes == data.test.labels).float().mean().item()))
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the folder for one test."""
    copy = tmp_path / "user"
    shutil.copytree(trained, copy)
    return copy


def with_weights(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Replace the weights in `folder` by what `change` makes of them."""
    torch.save(change(torch.load(folder / "net.pt", weights_only=True)["model"]), folder / "net.pt")


@pytest.fixture(scope="module")
def finished(trained: Path, nastool: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after a complete `nastool shrink` to 60 %."""
    folder = tmp_path_factory.mktemp("finished") / "user"
    shutil.copytree(trained, folder)
    answer = nastool(*WORDS, "--latency", "60%", "--json", cwd=folder)
    assert answer.code == 0, answer.stderr
    (folder / "answer.json").write_text(json.dumps(answer.json))
    return folder


def test_the_answer(finished: Path, nastool: Callable[..., Any]) -> None:
    result = json.loads((finished / "answer.json").read_text())
    assert set(result) == {
        "schema_version", "space", "data", "target", "device", "batch", "limit_ms", "original", "shrunk", "ratio",
        "ratio_interval", "architecture", "blocks", "changes", "channels_between", "front", "onnx", "folder",
        "holdout_images", "test_images", "check", "report",
    }  # fmt: skip
    before, after = result["original"], result["shrunk"]
    assert result["check"] == "pass"
    assert result["limit_ms"] == pytest.approx(0.6 * before["latency_ms"], rel=0.01)
    assert after["latency_ms"] <= result["limit_ms"]
    assert result["ratio"] == pytest.approx(after["latency_ms"] / before["latency_ms"], rel=0.01)
    own = json.loads((finished / "accuracy.json").read_text())
    assert own > 0.7, "the network is trained"
    assert before["test_accuracy"] == pytest.approx(own, abs=0.003), "with its own batch normalization statistics"
    assert after["test_accuracy"] > 0.5, "weights are kept: two epochs on 1,200 images teach a new network less"
    for cost in ("macs", "params", "file_bytes"):
        assert after[cost] < before[cost]
    assert len(result["changes"]) == sum("@" in key or key == "skip" for key in result["architecture"]) > 0
    assert result["front"]
    assert (finished / "runs/shrink/shrink/accuracy_latency_ms.png").stat().st_size > 10_000
    page = (finished / result["report"]).read_text()
    assert "Before and after" in page
    assert f"{before['test_accuracy']:.2%}</data>" in page
    verified = nastool("report", "shrink", "--verify", "--json", cwd=finished)
    assert (verified.code, verified.json["differences"]) == (0, [])
    again = nastool(*WORDS, "--latency", "60%", cwd=finished)
    assert again.code == 0, again.stderr
    for text in ("original", "shrunk", "hold-out accuracy", "file size (bytes)", "blocks changed", "model.onnx"):
        assert text in again.stdout
    assert "train supernet" not in again.stderr, "what is finished is not repeated"


def test_fine_tuning_starts_from_the_adapted_weights_with_the_original_as_teacher(finished: Path) -> None:
    (path,) = (finished / "runs/shrink/retrain").glob("*/result.json")
    fingerprint = json.loads(path.read_text())["fingerprint"]
    weights = json.loads((finished / "runs/shrink/shrink/original.json").read_text())["fingerprint"]["weights_sha256"]
    assert fingerprint["teacher"] == weights
    assert fingerprint["start_from"] not in (None, weights)


def test_the_fastest_network_within_a_loss(folder: Path, nastool: Callable[..., Any]) -> None:
    answer = nastool(*WORDS, "--max-drop", "60%", "--json", cwd=folder)
    assert answer.code == 0, answer.stderr
    before, after = answer.json["original"], answer.json["shrunk"]
    assert after["holdout_accuracy"] >= before["holdout_accuracy"] - 0.6
    assert after["latency_ms"] <= answer.json["limit_ms"] < before["latency_ms"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((*WORDS,), "nastool shrink needs a limit"),
        (("shrink", SOURCE, "--config", "s.toml", "--latency", "50%"), "Give --weights FILE"),
        ((*WORDS, "--latency", "120%"), "--latency 120% is not faster than the original"),
        ((*WORDS, "--latency", "50%", "--latency", "60%"), "takes one latency"),
        (
            ("shrink", SOURCE, "--weights", "no.pt", "--data", "digits", "--latency", "50%"),
            "cannot read the weights no.pt",
        ),
        (
            (
                "shrink",
                "torchvision:resnet18:size_px=32",
                "--weights",
                "net.pt",
                "--data",
                "digits",
                "--latency",
                "1ms",
            ),
            "Write nastool shrink torchvision:resnet18:size_px=32,classes=10",
        ),
        (("shrink", "torchvision:resnet", "--weights", "net.pt", "--data", "digits", "--latency", "50%"), "resnet18"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_request_changes_nothing(
    words: tuple[str, ...], expected: str, trained: Path, refused: Callable[..., str]
) -> None:
    refused(trained, words, expected)


def test_weights_of_another_model(folder: Path, refused: Callable[..., str]) -> None:
    with_weights(folder, lambda state: {f"other.{name}": value for name, value in state.items()})
    refused(folder, (*WORDS, "--latency", "50%"), "0.0.weight", "Give weights of the same model")


def test_fewer_channels_between_blocks(folder: Path, nastool: Callable[..., Any]) -> None:
    """The result has half of them and is compared with the model that has all, which is trained for these classes."""
    with_weights(folder, lambda state: state | {"2.2.weight": torch.zeros(7, 16), "2.2.bias": torch.zeros(7)})
    words = ("shrink", f"{SOURCE},between=0.5", *WORDS[2:], "--latency", "60%", "--json")
    answer = nastool(*words, cwd=folder)
    assert answer.code == 0, answer.stderr
    before, after = answer.json["original"], answer.json["shrunk"]
    assert before["params"] == 16 * 9 + 2 * 16 + 3 * 2 * (16 * 16 * 9 + 2 * 16) + 17 * 10
    assert answer.json["channels_between"] == {"kept": 8, "whole": 16}
    assert after["params"] <= 8 * 9 + 2 * 8 + 3 * (2 * 8 * 16 * 9 + 2 * 16 + 2 * 8) + 9 * 10
    assert after["latency_ms"] <= answer.json["limit_ms"] < before["latency_ms"]
    assert "the original, trained on these images" in answer.stderr
    (trained_alone,) = (folder / "runs/shrink/shrink/original/retrain").glob("*/result.json")
    assert before["test_accuracy"] == pytest.approx(json.loads(trained_alone.read_text())["test_accuracy"], abs=0.003)
    onnx = load(folder / answer.json["onnx"])
    assert min(value.dims[0] for value in onnx.graph.initializer if len(value.dims) == 4) == 8
    verified = nastool("report", "shrink", "--verify", "--json", cwd=folder)
    assert (verified.code, verified.json["differences"]) == (0, [])
    again = nastool(*words, cwd=folder)
    assert again.json == answer.json
    assert "Channels between blocks:" in (folder / answer.json["report"]).read_text()


def test_the_original_trained_alone_is_written_by_its_own_names(folder: Path, nastool: Callable[..., Any]) -> None:
    """It is what the message about weights of other classes asks for."""
    with_weights(folder, lambda state: state | {"2.2.weight": torch.zeros(7, 16), "2.2.bias": torch.zeros(7)})
    space = f"model:{SOURCE}"
    taylor = ("train", "--space", space, "--config", "s.toml", "--importance", "taylor")
    refused = nastool(*taylor, "--from", "net.pt", cwd=folder)
    assert refused.code == 2
    text = " ".join(refused.stderr.split())
    assert f"nastool retrain --space {space} --arch original --recipe finetune --from WEIGHTS" in text
    words = ("--space", space, "--config", "s.toml", "--from", "net.pt", "--arch", "original", "--run", "own")
    assert nastool("retrain", *words, cwd=folder).code == 0
    (model,) = (folder / "runs/own/retrain").glob("*/model.pt")
    scope: dict[str, Any] = {}
    exec(MODEL, scope)
    net: nn.Module = scope["build_model"]()
    net.load_state_dict(torch.load(model, weights_only=True))
    answer = nastool(*taylor, "--from", model, cwd=folder)
    assert answer.code == 0, answer.stderr


def test_an_original_of_other_classes_is_trained_first(folder: Path, nastool: Callable[..., Any]) -> None:
    """It is then what the shrunk network learns from, and its weights fit the user's own module."""
    with_weights(folder, lambda state: state | {"2.2.weight": torch.zeros(7, 16), "2.2.bias": torch.zeros(7)})
    words = (*WORDS, "--latency", "60%", "--json")
    answer = nastool(*words, cwd=folder)
    assert answer.code == 0, answer.stderr
    assert "the weights are for 7 classes and the space has 10" in answer.stderr
    assert "2 of 9: train the original on these images" in answer.stderr
    before = answer.json["original"]
    (trained_alone,) = (folder / "runs/shrink/shrink/original/retrain").glob("*/result.json")
    assert before["test_accuracy"] == pytest.approx(json.loads(trained_alone.read_text())["test_accuracy"], abs=0.003)
    assert before["test_accuracy"] > 0.3, "better than chance: features are kept"

    scope: dict[str, Any] = {}
    exec(MODEL, scope)
    net: nn.Module = scope["build_model"]()
    net.load_state_dict(torch.load(folder / "runs/shrink/shrink/original.pt", weights_only=True))
    data = load_data("digits", load_space("shufflenet_v2_quick:size_px=16"), 20, 0)
    with torch.no_grad():
        classes = net.eval()(data.preprocessing(data.test.fetch(range(len(data.test.labels))))).argmax(1)
    accuracy = (classes == data.test.labels).float().mean().item()
    assert accuracy == pytest.approx(before["test_accuracy"], abs=0.003)

    again = nastool(*words, cwd=folder)
    assert again.code == 0, again.stderr
    assert again.json["original"] == before
    assert "retrain: " not in again.stderr, "what is finished is not repeated"


def test_a_budget_that_no_network_reaches_names_the_least(folder: Path, nastool: Callable[..., Any]) -> None:
    answer = nastool(*WORDS, "--latency", "1%", cwd=folder)
    assert answer.code == 2
    text = " ".join(answer.stderr.split())
    assert "cannot be reached: the smallest network of model:net.py:build_model:size_px=16 is predicted at" in text
    assert "Traceback" not in text
    assert not (folder / "runs/shrink/supernet").exists(), "nothing was trained"


@pytest.mark.parametrize("moment", ["supernet/checkpoint.pt", "retrain/*/checkpoint.pt"])
def test_same_result_after_a_kill(moment: str, finished: Path, folder: Path) -> None:
    words = [sys.executable, "-m", "cli.main", *WORDS, "--latency", "60%"]
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE_S
    while not list(folder.glob(f"runs/shrink/{moment}")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, "shrink ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    result, expected = (
        json.loads((root / "runs/shrink/shrink/result.json").read_text()) for root in (folder, finished)
    )
    assert result == expected
    for pattern in ("supernet/checkpoint.pt", "retrain/*/best.pt"):
        ((one,), (other,)) = ((*root.glob(f"runs/shrink/{pattern}"),) for root in (folder, finished))
        left, right = (torch.load(path, weights_only=True)["model"] for path in (one, other))
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left)
