"""Precisions of convolutions are counted from what a builder logs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.tensorrt import Backend
from exporters.cuda.layer_precision import convolution_precisions
from exporters.graph.onnx_file import load_model, write_model
from exporters.graph.to_onnx import export_onnx
from exporters.quantize.int8 import quantize
from exporters.quantize.tensorrt_form import tensorrt_form

# two lines of the log of TensorRT-RTX 1.7.1, shortened
LOG = "\n".join(
    (
        "Name: node_Conv_9_myl0_3, LayerType: correlation, Inputs: [ { Name: a, Datatype: Int8, Format: (NHWC) }], "
        "Constants: [ { Name: b, Datatype: Int8 }], Outputs: [ { Name: c, Datatype: Float }], TacticName: x",
        "Name: __myl_MulAdd_myl0_4, LayerType: kgen, Inputs: [ { Name: c, Datatype: Float }], Constants: []",
    )
)


def test_a_convolution_has_the_precision_of_its_input() -> None:
    assert convolution_precisions([LOG, "an unrelated line"]) == {"int8": 1}
    assert convolution_precisions([]) == {}


@pytest.mark.parametrize(("precision", "counts"), [("fp32", {"fp32": 3}), ("fp16", {"fp16": 3}), ("int8", {"int8": 3})])
def test_an_engine_for_an_absent_gpu_counts_its_convolutions(
    tmp_path: Path, precision: str, counts: dict[str, int]
) -> None:
    backend = Backend("tensorrt_rtx")
    if reason := backend.build_unavailable_reason():
        pytest.skip(reason)
    convs = [nn.Sequential(nn.Conv2d(c, 16, 3, padding=1), nn.ReLU()) for c in (3, 16, 16)]
    net = nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)).eval()
    file = tmp_path / "net.onnx"
    export_onnx(net, torch.zeros(2, 3, 16, 16), file, precision="fp16" if precision == "fp16" else "fp32")
    if precision == "int8":
        images = np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype(np.float32)
        write_model(tensorrt_form(quantize(load_model(file), images)), file)
    engine = backend.build(file, CompileSpec(4, precision=precision), "8.6")
    assert engine.convolutions == counts
