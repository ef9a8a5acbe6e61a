"""An int8 file for TensorRT computes the codes of the file for two runtimes, without a Clip of integers."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exporters.backends import CompileSpec
from exporters.backends.tensorrt import Backend
from exporters.errors import ExportFailed
from exporters.graph.model import Model
from exporters.graph.onnx_file import load_model, write_model
from exporters.graph.to_onnx import export_onnx
from exporters.quantize.int8 import quantize
from exporters.quantize.tensorrt_form import tensorrt_form
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network, initialize
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace

Images = NDArray[np.float32]


@pytest.fixture(scope="module")
def images(tiny_space: SearchSpace) -> Images:
    return np.random.default_rng(0).standard_normal((8, *tiny_space.input_shape)).astype(np.float32)


@pytest.fixture(scope="module")
def int8(tiny_space: SearchSpace, images: Images, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    net = Network(tiny_space, tiny_space.all_same("choice_3"), STANDALONE)
    initialize(net, torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("int8") / "net.onnx"
    export_onnx(net.eval(), torch.zeros(2, *tiny_space.input_shape), path)
    return quantize(load_model(path), images)


def run(model: onnx.ModelProto, images: Images) -> Images:
    options = ort.SessionOptions()
    # without fusions: both files are then computed node by node, as they are defined
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {"images": images})
    return np.asarray(outputs)


def test_it_computes_what_the_other_file_does(int8: onnx.ModelProto, images: Images) -> None:
    expected, outputs = run(int8, images), run(tensorrt_form(int8), images)
    assert outputs.dtype == np.float32
    # float16 moves a few values over a tie, and a code of 127 is 0.8 % of the largest value
    assert np.abs(outputs - expected).max() < 0.05 * np.abs(expected).max()
    assert (outputs.argmax(1) == expected.argmax(1)).mean() >= 0.75


def test_it_has_no_clip_and_no_unsigned_codes(int8: onnx.ModelProto) -> None:
    graph = tensorrt_form(int8).graph
    assert "Clip" not in {node.op_type for node in graph.node}
    types = {tensor.data_type for tensor in graph.initializer}
    assert TensorProto.INT8 in types
    assert not types & {TensorProto.UINT8, TensorProto.FLOAT}


def test_each_relu_is_there_once(int8: onnx.ModelProto) -> None:
    """A tensor that is moved behind its ReLU, as by the shuffle, needs no other."""
    graph = tensorrt_form(int8).graph
    rectified = [node.input[0] for node in graph.node if node.op_type == "Relu"]
    producers = {name: node.op_type for node in graph.node for name in node.output}
    assert {producers[name] for name in rectified} <= {"Conv", "Add"}


def test_codes_of_few_bits_are_cut_off_in_floats(tmp_path: Path) -> None:
    from toolchain.measuring.export_int8 import int8_graph

    space = load_space(
        "resnet18_bits:size_px=8,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stem_pool=false,"
        "stage_widths=4,stage_repeats=1,widths=1.0,bits=w2a4"
    )
    net = Network(space, space.all_same("basic:w2a4"), STANDALONE)
    initialize(net, torch.Generator().manual_seed(0))
    model = int8_graph(net.eval(), space.input_shape, tmp_path / "net.onnx")
    converted = tensorrt_form(model)
    images = np.random.default_rng(0).standard_normal((8, *space.input_shape)).astype(np.float32)
    expected, outputs = run(model, images), run(converted, images)
    assert np.abs(outputs - expected).max() < 0.1 * np.abs(expected).max()
    bounds = {node.input[2]: node for node in converted.graph.node if node.op_type == "Clip"}
    types = {tensor.name: tensor.data_type for tensor in converted.graph.initializer}
    assert bounds
    assert {types[name] for name in bounds} == {TensorProto.FLOAT16}


def test_operators_with_a_type_are_refused(int8: onnx.ModelProto) -> None:
    odd = onnx.ModelProto()
    odd.CopyFrom(int8)
    odd.graph.node.append(helper.make_node("Cast", ["images"], ["x"], "odd", to=TensorProto.FLOAT))
    with pytest.raises(ExportFailed, match=r"node odd \(Cast\) names a type"):
        tensorrt_form(odd)


def test_tensorrt_rtx_builds_it(int8: onnx.ModelProto, tmp_path: Path) -> None:
    backend = Backend("tensorrt_rtx")
    if reason := backend.build_unavailable_reason():
        pytest.skip(reason)
    write_model(tensorrt_form(int8), tmp_path / "net.onnx")
    assert Model(tmp_path / "net.onnx").precision == "int8"
    assert backend.build(tmp_path / "net.onnx", CompileSpec(8, precision="int8"), "8.6").plan
