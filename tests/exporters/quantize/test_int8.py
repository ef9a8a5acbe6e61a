"""8-bit files with explicit Q and DQ: they have what each runtime needs, and compute the network."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend
from exporters.errors import ExportFailed
from exporters.graph.interface import INPUT, OUTPUT
from exporters.graph.model import Model
from exporters.graph.onnx_file import load_model, write_model
from exporters.graph.optimized import convolutions
from exporters.graph.to_onnx import export_onnx
from exporters.quantize.int8 import quantize


class Mixed(nn.Module):
    """The parts of all families: ReLU and ReLU6, depthwise without activation, split and concatenation, a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, 3), nn.ReLU6(), nn.MaxPool2d(2))
        self.side = nn.Sequential(conv(8, 8, 3, groups=8), conv(8, 8, 1), nn.ReLU())
        self.main = nn.Sequential(conv(16, 32, 3), nn.ReLU(), conv(32, 16, 3))
        self.classifier = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat((x[:, 0::2], self.side(x[:, 1::2])), 1)
        x = torch.relu(self.main(x) + x)
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


def conv(c_in: int, c_out: int, kernel: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(c_out)
    )


def pictures(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((count, 3, 12, 12), dtype=np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The network in float32 and in 8 bits."""
    torch.manual_seed(0)
    folder, net = tmp_path_factory.mktemp("int8"), Mixed()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.bias, std=0.3)
    for _ in range(30):
        net.train()(torch.from_numpy(pictures(64)))
    export_onnx(net.eval(), torch.zeros(2, 3, 12, 12), folder / "fp32.onnx", {"name": "mixed"})
    write_model(quantize(load_model(folder / "fp32.onnx"), pictures(64)), folder / "int8.onnx", {"precision": "int8"})
    return folder / "fp32.onnx", folder / "int8.onnx"


def logits(file: Path, batch: int = 64) -> NDArray[np.float32]:
    spec = CompileSpec(1, precision=Model(file).precision)
    return Backend().compile(file, spec).run({INPUT: pictures(batch)})[OUTPUT]


def test_every_convolution_runs_in_integers(files: tuple[Path, Path]) -> None:
    assert [convolutions(file) for file in files] == [{"fp32": 5}, {"int8": 5}]
    assert [Model(file).precision for file in files] == ["fp32", "int8"]  # the classifier as well


def test_logits_are_close_to_those_of_float32(files: tuple[Path, Path]) -> None:
    exact, rounded = map(logits, files)
    # a step of 7 bits is 8e-3 of a tensor's range, and the rounding errors of seven tensors add up
    assert 0 < np.abs(exact - rounded).max() / np.abs(exact).max() < 0.05


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_integers_do_not_depend_on_the_batch(files: tuple[Path, Path], batch: int) -> None:
    # the integers are exact; the float32 sums of the classifier may be added in another order
    np.testing.assert_allclose(logits(files[1], batch), logits(files[1])[:batch], rtol=1e-5, atol=1e-5)


def test_codes_and_zero_points_are_those_that_tensorrt_takes(files: tuple[Path, Path]) -> None:
    """Zero points of 0, codes up to 127 in unsigned tensors, no bias of int32."""
    graph = onnx.load(files[1]).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert TensorProto.INT32 not in {tensor.data_type for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    activations = 0
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert not constants[node.input[2]].any()
        if node.op_type == "DequantizeLinear" and constants[node.input[2]].dtype == np.uint8:
            clip = producers[node.input[0]]
            assert clip.op_type == "Clip"
            assert constants[clip.input[2]] == 127
            activations += 1
    assert activations >= 5
    assert not {"Relu"} & {node.op_type for node in graph.node}  # rounding to uint8 cuts off at 0


def test_biases_lie_on_the_grid_of_the_sums(files: tuple[Path, Path]) -> None:
    graph = onnx.load(files[1]).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Conv":
            step = np.multiply(*(constants[producers[name].input[1]] for name in node.input[:2]))
            codes = constants[node.input[2]] / step
            assert np.abs(codes - np.rint(codes)).max() < 0.01
            assert np.abs(codes).max() > 1


def test_weights_behind_a_signed_input_have_one_bit_less(files: tuple[Path, Path]) -> None:
    """ONNX Runtime without VNNI adds two products in 16 bits: 2 * 127 * 127 and 2 * 255 * 63 are below 2^15."""
    graph = onnx.load(files[1]).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    largest: dict[str, set[int]] = {"uint8": set(), "int8": set(), "depthwise": set()}
    for node in graph.node:
        if node.op_type == "Conv":
            x, codes = producers[node.input[0]], constants[producers[node.input[1]].input[0]]
            depthwise = any(entry.name == "group" and entry.i == len(codes) for entry in node.attribute)
            kind = "depthwise" if depthwise else constants[x.input[2]].dtype.name
            largest[kind].add(int(np.abs(codes).max()))
    assert largest == {"uint8": {127}, "int8": {63}, "depthwise": {127}}


def test_a_convolution_with_one_output_is_not_depthwise(tmp_path: Path) -> None:
    """A spatial attention: one output, one group, many products in a sum."""
    torch.manual_seed(0)
    export_onnx(nn.Conv2d(3, 1, 7, padding=3).eval(), torch.zeros(2, 3, 12, 12), tmp_path / "net.onnx", {})
    graph = quantize(load_model(tmp_path / "net.onnx"), pictures(16)).graph
    codes = [numpy_helper.to_array(tensor) for tensor in graph.initializer]
    assert [np.abs(code).max() for code in codes if code.dtype == np.int8 and code.ndim == 4] == [63]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_activations_that_are_not_finite_are_refused(files: tuple[Path, Path], value: float) -> None:
    images = pictures(4)
    images[0, 0, 0, 0] = value
    with pytest.raises(ExportFailed, match=r"quantized: its tensor \S+ has infinite or NaN values on the calibration"):
        quantize(load_model(files[0]), images)


def test_weights_that_are_not_finite_are_refused(files: tuple[Path, Path]) -> None:
    """A ReLU6 behind an infinite bias gives finite activations."""
    model = load_model(files[0])
    bias = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 1)
    bias.CopyFrom(numpy_helper.from_array(np.full(bias.dims[0], np.inf, np.float32), bias.name))
    with pytest.raises(ExportFailed, match=r"its weights \S+ or their bias are infinite or NaN"):
        quantize(model, pictures(4))


def test_metadata_is_kept_and_replaced(files: tuple[Path, Path], tmp_path: Path) -> None:
    write_model(load_model(files[1]), tmp_path / "again.onnx", {"precision": "other"})
    metadata = {entry.key: entry.value for entry in load_model(tmp_path / "again.onnx").metadata_props}
    assert metadata == {"name": "mixed", "precision": "other"}


def test_tensorrt_rtx_builds_it(files: tuple[Path, Path]) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(files[1].read_bytes()), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    profile.set_shape(INPUT, *((batch, 3, 12, 12) for batch in (1, 8, 32)))
    config.add_optimization_profile(profile)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    assert builder.build_serialized_network(network, config).nbytes > 0


def test_a_network_without_convolutions_is_refused(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    export_onnx(net, torch.zeros(2, 3, 2, 2), tmp_path / "net.onnx")
    with pytest.raises(ExportFailed, match="no convolution"):
        quantize(load_model(tmp_path / "net.onnx"), pictures(1)[..., :2, :2])
