"""Kernels of small graphs, counted by hand."""

from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from exporters.backends import CompileSpec
from exporters.backends.roofline import Backend, Rates
from exporters.errors import NotOnnx
from exporters.graph.kernels import kernels_of
from exporters.graph.onnx_file import load_model
from exporters.graph.to_onnx import export_onnx


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.relu(self.conv(x) + x)
        return y


def exported(module: nn.Module, shape: tuple[int, int, int], folder: Path) -> onnx.ModelProto:
    file = folder / "net.onnx"
    export_onnx(module.eval(), torch.zeros(2, *shape), file)
    return load_model(file)


def test_norm_activation_and_shortcut_are_fused_with_the_convolution(tmp_path: Path) -> None:
    (kernel,) = kernels_of(exported(Residual(), (4, 6, 6), tmp_path), batch=8)
    image = 4 * 6 * 6
    assert kernel.op == "Conv"
    assert kernel.flops == 2 * 8 * image * 4 * 9
    assert kernel.n_bytes == 4 * (8 * image + 8 * image + 4 * 4 * 9)  # in, out, weights; a fresh norm has no bias


def test_fp16_moves_half(tmp_path: Path) -> None:
    file = tmp_path / "half.onnx"
    export_onnx(nn.Conv2d(4, 4, 3, padding=1, bias=False).half(), torch.zeros(2, 4, 6, 6).half(), file)
    (kernel,) = kernels_of(load_model(file), batch=8)
    assert kernel.n_bytes == 2 * (2 * 8 * 4 * 36 + 4 * 4 * 9)


def test_depthwise_and_classifier(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.Flatten(), nn.Linear(4 * 4 * 4, 5))
    depthwise, linear = kernels_of(exported(net, (4, 6, 6), tmp_path), batch=3)
    assert depthwise.flops == 2 * 3 * (4 * 4 * 4) * 9
    assert linear.flops == 2 * 3 * 64 * 5
    assert linear.n_bytes == 4 * (3 * 64 + 3 * 5 + 64 * 5 + 5)


def test_data_movement_is_a_kernel_and_a_view_is_not(tmp_path: Path) -> None:
    class Shuffle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat((x[:, ::2], x[:, 1::2]), dim=1).flatten(1)

    kernels = kernels_of(exported(Shuffle(), (4, 2, 2), tmp_path), batch=1)
    assert [k.op for k in kernels] == ["Slice", "Slice", "Concat"]
    assert [k.n_bytes for k in kernels] == [4 * 2 * 8, 4 * 2 * 8, 4 * 2 * 16]
    assert all(k.flops == 0 for k in kernels)


def test_an_activation_with_two_consumers_is_counted_once(tmp_path: Path) -> None:
    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.left, self.right = (nn.Conv2d(2, 2, 1) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.first(x))
            y: Tensor = self.left(x) + self.right(x)
            return y

    assert [k.op for k in kernels_of(exported(Fork(), (2, 3, 3), tmp_path), batch=1)] == ["Conv", "Conv", "Conv"]


def test_a_network_without_nodes_costs_nothing(tmp_path: Path) -> None:
    assert kernels_of(exported(nn.Identity(), (2, 3, 3), tmp_path), batch=1) == ()


def test_a_skip_is_estimated_as_next_to_nothing_but_not_as_zero(tmp_path: Path) -> None:
    exported(nn.Identity(), (2, 3, 3), tmp_path)
    compiled = Backend(Rates(2e12, 2e11)).compile(tmp_path / "net.onnx", CompileSpec(batch=8))
    assert 0 < compiled.time(1.0).busy_ms_min < 1e-5


def test_nodes_of_a_local_function_are_counted() -> None:
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 4, 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2, 4, 4])
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 3, 1, 1], [0.0] * 6)
    body = [helper.make_node("Conv", ["x", "w"], ["y"])]
    function = helper.make_function("mine", "F", ["x", "w"], ["y"], body, [helper.make_opsetid("", 20)])
    node = helper.make_node("F", ["images", "w"], ["logits"], domain="mine")
    graph = helper.make_graph([node], "net", [image], [logits], [weight])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("mine", 1)]
    (kernel,) = kernels_of(helper.make_model(graph, opset_imports=opsets, functions=[function]), batch=2)
    assert (kernel.op, kernel.flops) == ("Conv", 2 * 2 * 2 * 16 * 3)


def test_branches_can_not_be_counted() -> None:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    branch = helper.make_graph([helper.make_node("Identity", ["images"], ["y"])], "branch", [], [value])
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 2])
    condition = helper.make_tensor_value_info("condition", TensorProto.BOOL, [])
    node = helper.make_node("If", ["condition"], ["y"], "choose", then_branch=branch, else_branch=branch)
    model = helper.make_model(helper.make_graph([node], "net", [images, condition], [value]))
    with pytest.raises(NotOnnx, match=r"kernels of net cannot be counted: its node choose \(If\) runs other graphs"):
        kernels_of(model, batch=1)


def test_an_unknown_shape_is_refused() -> None:
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 3, 1, 1], [0.0] * 6)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["images", "w"], ["logits"])], "net", [image], [logits], [weight]
    )
    with pytest.raises(NotOnnx, match=r"the shape of (images|logits) in net cannot be inferred.*only the batch"):
        kernels_of(helper.make_model(graph), batch=2)
