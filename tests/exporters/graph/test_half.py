"""float16 is part of the graph: half the bytes, float32 inputs and outputs, and an unchanged module."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend
from exporters.graph.parity import TOLERANCES, compare
from exporters.graph.to_onnx import export_onnx


def net() -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for c_in in (3, 32, 32):
        layers += [nn.Conv2d(c_in, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    made = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5))
    for _ in range(10):
        made(torch.randn(16, 3, 8, 8))
    return made.eval()


def test_weights_are_float16_and_inputs_and_outputs_float32(tmp_path: Path) -> None:
    module = net()
    for precision in ("fp32", "fp16"):
        export_onnx(module, torch.zeros(2, 3, 8, 8), tmp_path / precision, precision=precision)  # type: ignore[arg-type]
    graph = onnx.load(tmp_path / "fp16").graph
    assert {tensor.data_type for tensor in graph.initializer if len(tensor.dims) > 1} == {TensorProto.FLOAT16}
    ends = (*graph.input, *graph.output)
    assert {value.type.tensor_type.elem_type for value in ends} == {TensorProto.FLOAT}
    assert (tmp_path / "fp16").stat().st_size < 0.65 * (tmp_path / "fp32").stat().st_size
    assert {value.dtype for value in module.state_dict().values()} == {torch.float32, torch.int64}

    images = np.random.default_rng(0).standard_normal((64, 3, 8, 8), dtype=np.float32)
    parity = compare(module, Backend().compile(tmp_path / "fp16", CompileSpec(1, precision="fp16")), images)
    allowed = TOLERANCES["fp16"]
    assert parity.relative_error > 1e-5  # it is not float32
    assert parity.passes(allowed.relative_error, allowed.top1_agreement)
