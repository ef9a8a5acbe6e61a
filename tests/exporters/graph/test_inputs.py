"""Inputs of models, also those that are not tensors."""

import onnx
import pytest
from onnx import TensorProto, TypeProto, helper

from exporters.graph.inputs import Input, inputs_of


def model_of(value: onnx.ValueInfoProto) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph([], "g", [value], []))


def test_a_tensor_with_an_open_batch() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["n", 3, None])
    assert inputs_of(model_of(value)) == (Input("x", "float16", ("n", 3, "?")),)


def test_weights_are_not_inputs() -> None:
    model = model_of(helper.make_tensor_value_info("w", TensorProto.FLOAT, [1]))
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0]))
    assert inputs_of(model) == ()


TENSOR = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 3])


@pytest.mark.parametrize(
    ("type_", "word"),
    [
        (helper.make_sequence_type_proto(TENSOR), "sequence"),
        (helper.make_map_type_proto(TensorProto.STRING, TENSOR), "map"),
        (helper.make_optional_type_proto(TENSOR), "optional"),
        (helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [3]), "sparse tensor"),
        (TypeProto(), "value of an unknown type"),
    ],
)
def test_inputs_that_are_not_tensors_are_described(type_: TypeProto, word: str) -> None:
    assert inputs_of(model_of(helper.make_value_info("x", type_))) == (Input("x", word, (), is_tensor=False),)


def test_a_tensor_without_a_type_or_shape() -> None:
    value = helper.make_value_info("x", TypeProto(tensor_type=TypeProto.Tensor()))
    assert inputs_of(model_of(value)) == (Input("x", "undefined", ()),)
