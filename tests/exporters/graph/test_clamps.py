"""A clamp in place of ReLU6 gives the same graph."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from exporters.graph import to_onnx
from exporters.graph.clamps import Clamp6, replace_relu6
from exporters.graph.graph_hash import model_hash


def net() -> nn.Module:
    torch.manual_seed(0)
    act = nn.ReLU6()
    return nn.Sequential(nn.Conv2d(3, 4, 1), act, nn.Sequential(nn.Conv2d(4, 4, 1), act, nn.ReLU()))


def test_same_values_and_the_same_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = torch.linspace(-9, 9, 2 * 3 * 8 * 8).view(2, 3, 8, 8)
    to_onnx.export_onnx(net(), example, tmp_path / "clamp.onnx")
    monkeypatch.setattr(to_onnx, "replace_relu6", lambda module: None)
    to_onnx.export_onnx(net(), example, tmp_path / "relu6.onnx")
    clamp, relu6 = (onnx.load(tmp_path / f"{name}.onnx") for name in ("clamp", "relu6"))
    assert [node.op_type for node in clamp.graph.node].count("Clip") == 2
    assert model_hash(clamp) == model_hash(relu6)
    replaced = net()
    replace_relu6(replaced)
    assert sum(isinstance(layer, Clamp6) for layer in replaced.modules()) == 2
    assert torch.equal(replaced(example), net()(example))


def test_the_module_is_left_as_it_was(tmp_path: Path) -> None:
    module = net()
    to_onnx.export_onnx(module, torch.zeros(2, 3, 8, 8), tmp_path / "model.onnx")
    assert any(isinstance(layer, nn.ReLU6) for layer in module.modules())
