"""Exported files take any batch and hold everything in one file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend
from exporters.errors import ExportFailed
from exporters.files import write_whole
from exporters.graph.interface import INPUT, OUTPUT
from exporters.graph.model import Model
from exporters.graph.to_onnx import export_onnx


class Shuffled(nn.Module):
    """Channel shuffle by reshapes, in both ways that are met, and a head."""

    def __init__(self, eps: float = 1e-5, dilation: int = 1, picked: int = 1) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=dilation, dilation=dilation, groups=4, bias=False),
            nn.BatchNorm2d(4, eps=eps),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(8, 5)
        self.picked = picked

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = x.reshape(-1, c // 2, 2, h, w).transpose(1, 2).reshape(-1, c, h, w)
        halves = x.reshape(n * c // 2, 2, h * w).permute(1, 0, 2).reshape(2, -1, c // 2, h, w)
        x = torch.cat((halves[1 - self.picked], self.main(halves[self.picked])), dim=1)
        return nn.functional.linear(x.mean((2, 3)), self.head.weight, self.head.bias)


def shuffled(**options: int) -> nn.Module:
    torch.manual_seed(0)
    return Shuffled(**options).eval()


def written(folder: Path, module: nn.Module, name: str = "net", **metadata: str) -> Path:
    path = folder / f"{name}.onnx"
    export_onnx(module, torch.zeros(2, 8, 6, 6), path, metadata)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("onnx"), shuffled(), purpose="a test")


@pytest.mark.parametrize("batch", [1, 2, 4, 32])
def test_a_channel_shuffle_runs_at_any_batch(file: Path, batch: int) -> None:
    x = torch.randn(batch, 8, 6, 6, generator=torch.Generator().manual_seed(batch))
    session = Backend().compile(file, CompileSpec(batch))
    logits = session.run({INPUT: x.numpy()})[OUTPUT]
    with torch.no_grad():
        # float32 in another order
        np.testing.assert_allclose(logits, shuffled()(x).numpy(), rtol=1e-4, atol=1e-6)


def test_an_example_of_one_image_does_not_fix_the_batch(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_onnx(shuffled(), torch.zeros(1, 8, 6, 6), path)
    feeds = {INPUT: np.ones((3, 8, 6, 6), np.float32)}
    assert Backend().compile(path, CompileSpec(batch=3)).run(feeds)[OUTPUT].shape == (3, 5)


def test_one_file_holds_everything_and_no_batch_normalization(file: Path) -> None:
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    graph = onnx.load(file, load_external_data=False).graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    assert not any(tensor.external_data for tensor in graph.initializer)


def test_metadata_travels_in_the_file(file: Path) -> None:
    assert Model(file).metadata["purpose"] == "a test"


def test_a_module_that_torch_can_not_trace_is_refused(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ExportFailed, match=r"cannot export this Branching: [\s\S]*no branches on values"):
        export_onnx(Branching(), torch.zeros(2, 1, 2, 2), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")

    def no_space(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("exporters.files.os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, file.read_bytes())
    assert path.read_bytes() == b"old"
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


@pytest.mark.long
def test_an_export_prints_nothing(tmp_path: Path) -> None:
    """In a separate process, as some of torch's warnings come once only."""
    program = (
        "import pathlib, torch; from exporters.graph.to_onnx import export_onnx;"
        "net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4));"
        f"export_onnx(net, torch.zeros(2, 3, 4, 4), pathlib.Path({str(tmp_path / 'net.onnx')!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
