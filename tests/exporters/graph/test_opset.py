"""Files in an earlier opset, for TensorRT 8.6, which reads 17."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from exporters.errors import ExportFailed
from exporters.graph.opset import in_opset, opset_of
from exporters.graph.to_onnx import export_onnx


class Net(nn.Module):
    """The operators of nastool's networks: convolution, slices, concatenation, ReLU6, mean, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu6(self.conv(x))
        x = torch.cat((x[:, ::2], x[:, 1::2], nn.functional.max_pool2d(x, 3, 1, 1)), 1)
        logits: torch.Tensor = self.linear(x.mean((2, 3)))
        return logits


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_converted_file_computes_the_same(precision: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    export_onnx(Net().eval(), torch.zeros(2, 3, 8, 8), tmp_path / "net.onnx", precision=precision)  # type: ignore[arg-type]
    model = onnx.load(tmp_path / "net.onnx")
    before = model.SerializeToString(deterministic=True)
    converted = in_opset(model, 17, "net.onnx")
    assert (opset_of(model), opset_of(converted), converted.ir_version) == (20, 17, 8)
    assert model.SerializeToString(deterministic=True) == before
    images = np.random.default_rng(0).standard_normal((5, 3, 8, 8), dtype=np.float32)
    expected, computed = (
        ort.InferenceSession(proto.SerializeToString()).run(None, {"images": images})[0] for proto in (model, converted)
    )
    np.testing.assert_array_equal(computed, expected)


def test_an_operator_without_an_equivalent_is_an_error() -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Gelu", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    with pytest.raises(ExportFailed, match=r"odd.onnx cannot be converted to opset 17: .* Use a current TensorRT"):
        in_opset(model, 17, "odd.onnx")
