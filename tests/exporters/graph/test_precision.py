"""The precision of a file is that of its products."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node as node

from exporters.errors import NotOnnx, WrongPrecision
from exporters.graph.model import Model, require_precision

FLOAT, HALF, INT8, UINT8, INT16 = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT16,
)


def save(path: Path, nodes: list[onnx.NodeProto], kind: int = FLOAT, weights: dict[str, int] | None = None) -> Path:
    """A file with input x and output y of `kind`, and weights (4, 4) of the kinds given; s is a scale, z a zero."""
    tensors = [numpy_helper.from_array(np.array(0.1, np.float32), "s")]
    for name, kind_of_weight in (weights or {}).items():
        dtype = helper.tensor_dtype_to_np_dtype(kind_of_weight)
        tensors.append(numpy_helper.from_array(np.zeros((4, 4), dtype), name))
        tensors.append(numpy_helper.from_array(np.zeros((), dtype), f"z{name}"))
    ends = [helper.make_tensor_value_info(name, kind, ["N", 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def quantized(source: str, to: str, zero: str) -> list[onnx.NodeProto]:
    return [
        node("QuantizeLinear", [source, "s", zero], [f"q{to}"]),
        node("DequantizeLinear", [f"q{to}", "s", zero], [to]),
    ]


@pytest.mark.parametrize(("kind", "name"), [(FLOAT, "fp32"), (HALF, "fp16"), (TensorProto.DOUBLE, "mixed")])
def test_floats(kind: int, name: str, tmp_path: Path) -> None:
    assert Model(save(tmp_path / "f.onnx", [node("MatMul", ["x", "w"], ["y"])], kind, {"w": kind})).precision == name
    assert Model(save(tmp_path / "g.onnx", [node("Relu", ["x"], ["y"])], kind)).precision == name  # nothing multiplies


def test_products_in_two_precisions_are_mixed(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Cast", ["a"], ["b"], to=HALF),
        node("MatMul", ["b", "v"], ["c"]),
        node("Cast", ["c"], ["y"], to=FLOAT),
    ]
    assert Model(save(tmp_path / "f.onnx", nodes, weights={"w": FLOAT, "v": HALF})).precision == "mixed"


@pytest.mark.parametrize(("weight", "name"), [(INT8, "int8"), (UINT8, "int8"), (INT16, "fp32")])
def test_operands_dequantized_from_8_bits_are_int8(weight: int, name: str, tmp_path: Path) -> None:
    nodes = [
        *quantized("x", "xd", "zw"),
        node("DequantizeLinear", ["w", "s", "zw"], ["wd"]),
        node("MatMul", ["xd", "wd"], ["y"]),
    ]
    assert Model(save(tmp_path / "f.onnx", nodes, weights={"w": weight})).precision == name


def test_weights_alone_in_8_bits_are_float(tmp_path: Path) -> None:
    nodes = [node("DequantizeLinear", ["w", "s", "zw"], ["wd"]), node("MatMul", ["x", "wd"], ["y"])]
    assert Model(save(tmp_path / "f.onnx", nodes, weights={"w": INT8})).precision == "fp32"


def half_product(source: str, target: str, weight: str = "w") -> list[onnx.NodeProto]:
    """A product in fp16 between casts."""
    return [
        node("Cast", [source], ["half"], to=HALF),
        node("MatMul", ["half", weight], ["product"]),
        node("Cast", ["product"], [target], to=FLOAT),
    ]


def test_products_in_local_functions_count(tmp_path: Path) -> None:
    path = save(tmp_path / "f.onnx", [node("F", ["x", "w"], ["y"], domain="mine")], weights={"w": HALF})
    model = onnx.load(path)
    body = half_product("a", "b", "weight")
    model.functions.append(helper.make_function("mine", "F", ["a", "weight"], ["b"], body, model.opset_import[:]))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    onnx.save(model, path)
    assert Model(path).precision == "fp16"
    model.graph.node[0].output[0] = "z"
    model.graph.node.append(node("MatMul", ["z", "v"], ["y"]))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((4, 4), np.float32), "v"))
    onnx.save(model, path)
    assert Model(path).precision == "mixed"


@pytest.mark.parametrize("inside", ["weight in the branch", "weight outside"])
def test_products_in_branches_count(inside: str, tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.zeros((4, 4), np.float16), "w")
    result = helper.make_tensor_value_info("t", FLOAT, ["N", 4])
    own = [weight] if inside == "weight in the branch" else []
    then = helper.make_graph(half_product("x", "t"), "then", [], [result], own)
    other = helper.make_graph([node("Identity", ["x"], ["t"])], "else", [], [result])
    nodes = [
        node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        node("If", ["yes"], ["y"], then_branch=then, else_branch=other),
    ]
    path = save(tmp_path / "f.onnx", nodes, weights={} if own else {"w": HALF})
    with pytest.raises(WrongPrecision, match=r"computes in fp16, not in fp32"):
        require_precision(Model(path), "fp32")


def test_a_file_of_another_precision_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "f.onnx", [node("MatMul", ["x", "w"], ["y"])], weights={"w": FLOAT})
    require_precision(Model(path), "fp32")
    with pytest.raises(WrongPrecision) as caught:
        require_precision(Model(path), "fp16")
    assert str(caught.value) == (
        f"{path} computes in fp32, not in fp16, and a runtime does not change that. "
        f"Use --precision fp32, or export the file in fp16"
    )


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotOnnx):
        _ = Model(tmp_path / "missing.onnx").precision
