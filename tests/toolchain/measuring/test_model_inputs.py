"""Files of any origin: what can be timed, and what is refused in words."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from exporters.errors import NotOnnx
from exporters.graph.inputs import Input
from exporters.graph.model import Model
from toolchain.errors import BadModel, MissingStage
from toolchain.measuring.model_inputs import require_batch


def write(folder: Path, *inputs: tuple[str, int, list[Any]], weight: str | None = None) -> Path:
    """A file that passes each input through."""
    taken = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    given = [helper.make_tensor_value_info(f"{name}_out", kind, shape) for name, kind, shape in inputs]
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name, _, _ in inputs]
    weights = []
    if weight is not None:  # older exporters list weights among the inputs
        weights = [helper.make_tensor(weight, TensorProto.FLOAT, [1], [1.0])]
        taken.append(helper.make_tensor_value_info(weight, TensorProto.FLOAT, [1]))
    path = folder / "model.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", taken, given, weights)), path)
    return path


def test_several_inputs_of_any_name(tmp_path: Path) -> None:
    path = write(
        tmp_path, ("left", TensorProto.FLOAT, ["N", 3, 8, 8]), ("right", TensorProto.FLOAT, [4, 5]), weight="w"
    )
    expected = (Input("left", "float32", ("N", 3, 8, 8)), Input("right", "float32", (4, 5)))
    assert require_batch(Model(path), 4) == expected


def test_a_batch_without_a_name_is_open(tmp_path: Path) -> None:
    path = write(tmp_path, ("x", TensorProto.FLOAT, [None, 3]))
    assert require_batch(Model(path), 7) == (Input("x", "float32", ("?", 3)),)


@pytest.mark.parametrize(
    ("input_", "expected"),
    [
        (("x", TensorProto.FLOAT, [0, 3]), "a batch of none. Export it with an open batch"),
        (("x", TensorProto.FLOAT, [1, 3]), "takes batches of 1 only .*Give --batch 1, or export"),
        (("tokens", TensorProto.INT64, ["N", 3]), "the input tokens of .* is int64 .*only float32"),
        (("x", TensorProto.FLOAT16, ["N", 3]), "the input x of .* is float16"),
        (("x", TensorProto.FLOAT, ["N", 3, "height", "width"]), "besides the batch, height, width is open"),
        (("x", TensorProto.FLOAT, []), "has no batch"),
    ],
)
def test_what_can_not_be_timed_is_refused(input_: tuple[str, int, list[Any]], expected: str, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=expected):
        require_batch(Model(write(tmp_path, input_)), 8)


def test_a_file_without_inputs(tmp_path: Path) -> None:
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=value)],
        "g",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    with pytest.raises(BadModel, match="takes no input"):
        require_batch(Model(tmp_path / "model.onnx"), 8)


def test_what_is_no_file_or_no_onnx(tmp_path: Path) -> None:
    with pytest.raises(MissingStage, match="does not exist"):
        require_batch(Model(tmp_path / "none.onnx"), 8)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(NotOnnx, match="is not a valid ONNX file"):
        require_batch(Model(tmp_path / "text.onnx"), 8)
