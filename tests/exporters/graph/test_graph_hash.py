"""The graph hash identifies what a model computes; stored measurements refer to it, so its values are fixed."""

import copy
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from exporters.graph.graph_hash import model_hash
from exporters.graph.interface import OUTPUT
from exporters.graph.model import Model
from exporters.graph.to_onnx import export_onnx


def value(name: str, shape: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def small() -> onnx.ModelProto:
    """A network written node by node, so that no version of torch changes it."""
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["a"], "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Constant", [], ["axes"], value=numpy_helper.from_array(np.array([2, 3]), "v")),
        helper.make_node("ReduceMean", ["b", "axes"], ["c"], keepdims=0),
        helper.make_node("Reshape", ["c", "size"], ["logits"]),
    ]
    weights = [
        numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w"),
        numpy_helper.from_array(np.array([-1, 4]), "size"),
    ]
    graph = helper.make_graph(nodes, "small", [value("images", ["n", 3, 8, 8])], [value("logits", ["n", 4])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def test_the_hash_of_a_plain_graph_never_changes() -> None:
    assert model_hash(small()) == "df4037885cd524a4"  # as written by nastool 0.1.0


def with_function(op: str = "Relu") -> onnx.ModelProto:
    """`logits = F(images)`, where F is a local function."""
    body = [helper.make_node(op, ["a"], ["b"])]
    function = helper.make_function("mine", "F", ["a"], ["b"], body, [helper.make_opsetid("", 20)])
    graph = helper.make_graph(
        [helper.make_node("F", ["images"], ["logits"], domain="mine")],
        "g",
        [value("images", [4])],
        [value("logits", [4])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("mine", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=[function])


def with_branches(op: str = "Relu", weight: float = 1.0, prefix: str = "", source: str = "images") -> onnx.ModelProto:
    """`logits = condition ? op(source + w) : source`."""
    w = numpy_helper.from_array(np.full(4, weight, np.float32), f"{prefix}w")
    added = [
        helper.make_node("Add", [source, f"{prefix}w"], [f"{prefix}a"]),
        helper.make_node(op, [f"{prefix}a"], [f"{prefix}t"]),
    ]
    then = helper.make_graph(added, "then", [], [value(f"{prefix}t", [4])], [w])
    kept = helper.make_graph(
        [helper.make_node("Identity", ["images"], [f"{prefix}e"])], "else", [], [value(f"{prefix}e", [4])]
    )
    branch = helper.make_node("If", ["condition"], ["logits"], then_branch=then, else_branch=kept)
    condition = helper.make_tensor_value_info("condition", TensorProto.BOOL, [])
    graph = helper.make_graph(
        [branch], "g", [value("images", [4]), value("images2", [4]), condition], [value("logits", [4])]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def test_the_body_of_a_function_counts() -> None:
    assert model_hash(with_function("Relu")) != model_hash(with_function("Sigmoid"))


def test_names_in_a_function_do_not_count() -> None:
    renamed = with_function()
    function = renamed.functions[0]
    function.input[0], function.output[0], function.node[0].input[0], function.node[0].output[0] = "p", "q", "p", "q"
    assert model_hash(renamed) == model_hash(with_function())


def test_operators_and_wiring_of_a_subgraph_count() -> None:
    variants = [with_branches(), with_branches("Sigmoid"), with_branches(source="images2")]
    assert len({model_hash(variant) for variant in variants}) == 3


def test_names_and_weights_of_a_subgraph_do_not_count() -> None:
    assert model_hash(with_branches(weight=2.0)) == model_hash(with_branches())
    assert model_hash(with_branches(prefix="renamed_")) == model_hash(with_branches())


def test_inputs_that_are_not_tensors_count() -> None:
    hashes = set()
    for elem_type in (TensorProto.FLOAT, TensorProto.DOUBLE):
        sequence = helper.make_tensor_sequence_value_info("s", elem_type, ["n", 3])
        node = helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0)
        graph = helper.make_graph([node], "g", [sequence], [helper.make_tensor_value_info("y", elem_type, ["m", 3])])
        hashes.add(model_hash(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])))
    assert len(hashes) == 2


class Net(nn.Module):
    """A convolution on one half of the channels, and a head."""

    def __init__(self, dilation: int = 1, half: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=dilation, dilation=dilation)
        self.head = nn.Linear(4, 5)
        self.half = half

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.conv(x[:, 4 * self.half : 4 * self.half + 4]).mean((2, 3)))
        return logits


def exported(folder: Path, size_px: int = 6, **options: int) -> onnx.ModelProto:
    export_onnx(Net(**options).eval(), torch.zeros(2, 8, size_px, size_px), folder / "net.onnx", {"purpose": "a test"})
    return onnx.load(folder / "net.onnx")


def test_weights_names_and_metadata_keep_the_hash(tmp_path: Path) -> None:
    model = exported(tmp_path)
    changed = copy.deepcopy(exported(tmp_path))  # with other random weights
    del changed.metadata_props[:]
    produced = {name for node in changed.graph.node for name in node.output} - {OUTPUT}
    for node in changed.graph.node:
        node.name = f"renamed_{node.name}"
        for names in (node.input, node.output):
            names[:] = [f"renamed_{name}" if name in produced else name for name in names]
    onnx.save(changed, tmp_path / "renamed.onnx")
    assert Model(tmp_path / "renamed.onnx").graph_hash == model_hash(model)


def test_attributes_slices_and_shapes_change_the_hash(tmp_path: Path) -> None:
    variants = [
        exported(tmp_path),
        exported(tmp_path, dilation=2),  # an attribute
        exported(tmp_path, half=0),  # an index, stored as an integer constant
        exported(tmp_path, size_px=7),  # the input's shape
    ]
    assert len({model_hash(variant) for variant in variants}) == 4
