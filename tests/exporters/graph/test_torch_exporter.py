"""The faster exporter writes the same files as torch's own."""

import gc
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from exporters.graph import to_onnx
from exporters.graph.to_onnx import export_onnx
from exporters.graph.torch_exporter import quick


def net() -> nn.Module:
    torch.manual_seed(0)
    conv_bn = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    return nn.Sequential(*conv_bn, nn.Flatten(), nn.Linear(64, 5)).eval()


def test_files_are_the_same_as_without_the_speedup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = torch.zeros(2, 3, 6, 6)
    for name in ("quick", "quick_again"):
        export_onnx(net(), example, tmp_path / name)
    monkeypatch.setattr(to_onnx, "quick", nullcontext)
    export_onnx(net(), example, tmp_path / "slow")
    assert (tmp_path / "quick").read_bytes() == (tmp_path / "slow").read_bytes()
    assert (tmp_path / "quick_again").read_bytes() == (tmp_path / "slow").read_bytes()


def test_the_table_is_built_once_and_torch_is_restored() -> None:
    original = vars(ONNXRegistry)["from_torchlib"]
    with quick():
        first = ONNXRegistry().from_torchlib(opset_version=20)
    with quick():
        assert ONNXRegistry().from_torchlib(opset_version=20) is first
        assert not gc.isenabled()
    assert vars(ONNXRegistry)["from_torchlib"] is original
    assert gc.isenabled()


def test_a_torch_without_the_table_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ONNXRegistry, "from_torchlib")
    with quick():
        assert not hasattr(ONNXRegistry, "from_torchlib")
