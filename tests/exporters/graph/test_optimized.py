"""The graph that ONNX Runtime runs, as it writes it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.errors import NotOnnx
from exporters.graph.onnx_file import load_model, write_model
from exporters.graph.optimized import convolutions, optimized
from exporters.graph.to_onnx import export_onnx
from exporters.quantize.int8 import quantize

EXAMPLE = torch.zeros(2, 3, 8, 8)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 2)).eval()


def test_convolutions_are_counted_by_their_precision(net: nn.Module, tmp_path: Path) -> None:
    export_onnx(net, EXAMPLE, tmp_path / "fp32.onnx")
    pictures = torch.randn(8, 3, 8, 8).numpy()
    write_model(quantize(load_model(tmp_path / "fp32.onnx"), pictures), tmp_path / "int8.onnx")
    assert convolutions(tmp_path / "fp32.onnx") == {"fp32": 2}
    assert convolutions(tmp_path / "int8.onnx") == {"int8": 2}


def test_a_convolution_that_is_not_fused_with_its_rounding_is_float(net: nn.Module, tmp_path: Path) -> None:
    """An activation between convolution and rounding, as other exporters write it."""
    export_onnx(net, EXAMPLE, tmp_path / "net.onnx")
    model = quantize(load_model(tmp_path / "net.onnx"), torch.randn(8, 3, 8, 8).numpy())
    (first, *_) = [node for node in model.graph.node if node.op_type == "Conv"]
    place = list(model.graph.node).index(first)
    rounding = next(node for node in model.graph.node if first.output[0] in node.input)
    relu = type(first)(op_type="LeakyRelu", input=[first.output[0]], output=["between"])
    rounding.input[0] = "between"
    model.graph.node.insert(place + 1, relu)
    write_model(model, tmp_path / "odd.onnx")
    assert convolutions(tmp_path / "odd.onnx") == {"fp32": 1, "int8": 1}


def test_activations_are_fused(net: nn.Module, tmp_path: Path) -> None:
    export_onnx(net, EXAMPLE, tmp_path / "net.onnx")
    assert "Relu" not in {node.op_type for node in optimized(tmp_path / "net.onnx").graph.node}


def test_a_file_that_can_not_be_loaded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(NotOnnx, match=r"bad\.onnx"):
        convolutions(tmp_path / "bad.onnx")
