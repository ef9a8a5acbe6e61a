"""int8 files that are timed run in integers in ONNX Runtime, as the exported ones do."""

from pathlib import Path

import pytest
from onnx import TensorProto
from torch import nn

from exporters.graph.model import Model
from exporters.graph.onnx_file import load_model
from exporters.graph.optimized import convolutions, optimized
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.export_int8 import as_inside, ends_in_relu
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network, builder_of
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace

BITS = load_space(
    "resnet18_bits:size_px=8,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stem_pool=false,stage_widths=4-8,"
    "stage_repeats=1-1,widths=1.0,bits=w2a4-float"
)


def block(space: SearchSpace, number: int, key: str) -> tuple[nn.Module, tuple[int, int, int]]:
    spec = space.blocks[number]
    return builder_of(space).build_block(spec, spec.by_key[key], STANDALONE), (spec.c_in, spec.size_px, spec.size_px)


@pytest.mark.parametrize(("number", "counts"), [(0, {"int8": 2}), (1, {"int8": 3})])
def test_a_low_bit_block_runs_in_integers(tmp_path: Path, number: int, counts: dict[str, int]) -> None:
    module, shape = block(BITS, number, "basic:w2a4")
    export_for_timing(as_inside(module), shape, tmp_path / "block.onnx", "int8")
    assert convolutions(tmp_path / "block.onnx") == counts
    assert "QLinearAdd" in {node.op_type for node in optimized(tmp_path / "block.onnx").graph.node}
    assert [value.name for value in load_model(tmp_path / "block.onnx").graph.output] == ["logits"]


def test_a_low_bit_network_keeps_its_float_layers(tmp_path: Path) -> None:
    network = Network(BITS, BITS.architecture("basic basic:w2a4"), STANDALONE)
    export_for_timing(network, BITS.input_shape, tmp_path / "network.onnx", "int8")
    assert convolutions(tmp_path / "network.onnx") == {"int8": 3, "fp32": 3}  # in float: the stem and the first block
    assert Model(tmp_path / "network.onnx").precision == "mixed"


def test_a_float_block_is_quantized_whole(tmp_path: Path, tiny_space: SearchSpace) -> None:
    module, shape = block(tiny_space, 1, "choice_3")
    export_for_timing(as_inside(module), shape, tmp_path / "block.onnx", "int8")
    assert convolutions(tmp_path / "block.onnx") == {"int8": 3}


def test_nothing_is_quantized_where_there_is_no_layer(tmp_path: Path) -> None:
    export_for_timing(as_inside(nn.Identity()), (4, 8, 8), tmp_path / "skip.onnx", "int8")
    assert not {node.op_type for node in load_model(tmp_path / "skip.onnx").graph.node} & {"QuantizeLinear", "Relu"}


def test_blocks_that_end_in_a_relu_are_recognized(tiny_space: SearchSpace) -> None:
    proxyless = load_space("proxyless")
    for space, key, expected in (
        (BITS, "basic:w2a4", True),
        (tiny_space, "choice_3", True),
        (proxyless, "k3e3", False),
    ):
        assert ends_in_relu(*block(space, 0, key)) is expected


def test_for_tensorrt_a_block_takes_fp16_and_has_no_integer_clip(tmp_path: Path, tiny_space: SearchSpace) -> None:
    module, shape = block(tiny_space, 1, "choice_3")
    export_for_timing(as_inside(module), shape, tmp_path / "block.onnx", "int8_fp16")
    graph = load_model(tmp_path / "block.onnx").graph
    assert Model(tmp_path / "block.onnx").precision == "int8"
    assert {node.op_type for node in graph.node} & {"Clip", "Cast"} == set()
    ends = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert ends == {TensorProto.FLOAT16}


def test_for_tensorrt_a_network_takes_float32(tmp_path: Path, tiny_space: SearchSpace) -> None:
    network = Network(tiny_space, tiny_space.all_same("choice_3"), STANDALONE)
    export_for_timing(network, tiny_space.input_shape, tmp_path / "network.onnx", "int8_fp16")
    graph = load_model(tmp_path / "network.onnx").graph
    ends = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert ends == {TensorProto.FLOAT}
    assert "Clip" not in {node.op_type for node in graph.node}
