"""`nastool bench` as it is typed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.fake import latency_ms
from exporters.backends.tensorrt import Backend
from exporters.devices.attached import attached
from exporters.graph.to_onnx import export_onnx

Nastool = Callable[..., Any]
FAKE = ("--backend", "fake", "--batch", "8")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, layers in (("quick", 1), ("slow", 3)):
        net = nn.Sequential(*[nn.Conv2d(1, 1, 3) for _ in range(layers)], nn.Flatten())
        export_onnx(net, torch.zeros(2, 1, 16, 16), folder / f"{name}.onnx")
    (folder / "text.onnx").write_text("hello")
    (folder / "text.engine").write_text("hello")
    return folder


def test_side_by_side(files: Path, nastool: Nastool) -> None:
    answer = nastool("bench", "quick.onnx", "slow.onnx", *FAKE, cwd=files)
    assert answer.code == 0, answer
    ratio = latency_ms(files / "slow.onnx", 8) / latency_ms(files / "quick.onnx", 8)
    assert f"{ratio:.3f} ({ratio:.3f}" in answer.stdout  # a narrow terminal folds the rest


def test_with_a_network_of_torchvision_and_a_picture(files: Path, nastool: Nastool, tmp_path: Path) -> None:
    names = ("quick.onnx", "torchvision:squeezenet1_1:size_px=32,classes=4")
    flags = ("--picture", tmp_path / "new" / "bench.png", "--accuracy", "test", "--data", "digits", "--json")
    answer = nastool("bench", *names, *FAKE, *flags, cwd=files)
    assert answer.code == 0, answer
    assert [entry["name"] for entry in answer.json["entries"]] == list(names)
    assert [entry["accuracy"] for entry in answer.json["entries"]] == [None, None]
    assert (tmp_path / "new" / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_on_several_backends(files: Path, nastool: Nastool) -> None:
    backends = ("--backend", "fake", "--backend", "onnxruntime@cpu", "--backend", "fake:slowdown=1,noise=0.02")
    answer = nastool("bench", "quick.onnx", "slow.onnx", *backends, "--batch", "8", "--json", cwd=files)
    assert answer.code == 0, answer
    result = [(entry["name"], entry["backend"]) for entry in answer.json["entries"]]
    names = ("fake", "onnxruntime", "fake:slowdown=1,noise=0.02")
    assert result == [(file, name) for file in ("quick.onnx", "slow.onnx") for name in names]
    targets = answer.json["targets"]
    assert {targets[entry["target"]]["backend"] for entry in answer.json["entries"]} == {"fake", "onnxruntime"}
    assert 2.0 <= answer.json["entries"][2]["ratio"] < 2.1


def test_the_table_names_the_backend_where_there_are_several(files: Path, nastool: Nastool) -> None:
    one = nastool("bench", "quick.onnx", *FAKE, cwd=files)
    several = nastool("bench", "quick.onnx", *FAKE, "--backend", "onnxruntime", cwd=files)
    assert ("backend" in one.stdout, "backend" in several.stdout) == (False, True)
    assert "fake 1" in several.stdout
    assert "onnxruntime " in several.stdout


def test_an_engine_needs_its_gpu(files: Path, nastool: Nastool, tmp_path: Path) -> None:
    """Built here by TensorRT-RTX; without the GPU it is refused before anything is timed, and cut off it is damaged."""
    pytest.importorskip("tensorrt_rtx")
    if any(device.capability == "8.6" for device in attached()):
        pytest.skip("there is such a GPU here")
    engine = Backend("tensorrt_rtx").build(files / "quick.onnx", CompileSpec(8), "8.6")
    engine.save(tmp_path / "model.sm86.engine")
    (tmp_path / "cut.sm86.engine").write_bytes(engine.plan[:-1])
    answer = nastool("bench", "quick.onnx", tmp_path / "model.sm86.engine", *FAKE, cwd=files)
    assert (answer.code, answer.stdout) == (5, "")
    errors = " ".join(answer.stderr.split())
    assert "built by tensorrt_rtx for an NVIDIA GPU of compute capability 8.6 (GeForce RTX 30, A10)" in errors
    assert "Here: cpu" in errors
    assert "time files" not in errors
    answer = nastool("bench", "quick.onnx", tmp_path / "cut.sm86.engine", *FAKE, cwd=files)
    assert (answer.code, answer.stdout) == (2, "")
    assert "cut.sm86.engine is damaged" in " ".join(answer.stderr.split())


REFUSED = {
    "no file of that name": ("none.onnx", "none.onnx does not exist"),
    "no ONNX": ("text.onnx", "text.onnx is not a valid ONNX file"),
    "no run of that name": ("run:nobody", "nobody/export/model.onnx does not exist yet. Run nastool export"),
    "no such network": ("torchvision:mobilenet_v9", "torchvision has no classifier 'mobilenet_v9'"),
    "too few rounds": ("quick.onnx --rounds 3", "3 rounds are too few for intervals of 99 %. Give --rounds 8 or more"),
    "unknown images": ("quick.onnx --accuracy train", "--accuracy train is not known"),
    "no data named": ("quick.onnx --accuracy test", "no data set is given"),
    "picture in a folder": ("quick.onnx --picture .", ". is a folder. Name a file, as --picture bench.png"),
    "no engine": ("text.engine", "text.engine is not an engine of TensorRT or TensorRT-RTX"),
    "no engine of that name": ("none.engine", "none.engine cannot be read: No such file"),
    "backend without a name": ("quick.onnx --backend @cpu", "--backend '@cpu' has no name"),
    "unknown backend beside a known": ("quick.onnx --backend tflite", "unknown backend 'tflite'"),
    "files beside the data": ("data quick.onnx", "data cannot be combined with files. Run nastool bench data"),
    "confidence of certainty": ("quick.onnx --confidence 100%", "Give one from 50% to 99.99%"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_refused(mistake: str, files: Path, nastool: Nastool) -> None:
    words, expected = REFUSED[mistake]
    answer = nastool("bench", *words.split(), *FAKE, cwd=files)
    assert (answer.code, answer.stdout) == (2, "")
    assert expected in " ".join(answer.stderr.split())
    assert "time files" not in answer.stderr, "it is refused before work starts"
