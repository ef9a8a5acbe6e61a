"""Parity catches broken exports, on networks whose batch normalization has seen images.

On a fresh network it could not catch all: its statistics (mean 0, variance 1) normalize nothing, activations shrink
from layer to layer, and errors disappear in any absolute tolerance.
"""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend, Session
from exporters.errors import ParityFailed
from exporters.graph.parity import Parity, compare, require, require_accuracy
from exporters.graph.to_onnx import export_onnx
from exporters.timing import Timing

DEPTH = 8
Damage = Callable[[nn.Sequential], None]


def fresh_net() -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for c_in in (3, *[8] * (DEPTH - 1)):
        layers += [nn.Conv2d(c_in, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5, bias=False))


def pictures(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((count, 3, 8, 8), dtype=np.float32)


@pytest.fixture(scope="module")
def net() -> nn.Sequential:
    net = fresh_net()
    for start in range(0, 256, 32):  # populates the statistics
        net(torch.from_numpy(pictures(256)[start : start + 32]))
    return net.eval()


def compiled(module: nn.Module, folder: Path) -> Session:
    export_onnx(module, torch.zeros(2, 3, 8, 8), folder / "net.onnx")
    return Backend().compile(folder / "net.onnx", CompileSpec(batch=1))


def test_a_correct_export_passes_at_every_batch_size(net: nn.Module, tmp_path: Path) -> None:
    parity = compare(net, compiled(net, tmp_path), pictures(70))
    assert parity.relative_error < 1e-5
    assert (parity.top1_agreement, parity.images, parity.batches) == (1.0, 70, (1, 2, 32))
    require(parity)


def scale_weights(net: nn.Sequential) -> None:
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            layer.weight.data *= 1.01


def swap_channels(net: nn.Sequential) -> None:
    weight = net[0].get_parameter("weight")
    weight.data = weight.data[[1, 0, *range(2, 8)]]


def change_eps(net: nn.Sequential) -> None:
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-3


def unfolded(net: nn.Sequential) -> None:
    """Normalizations that were removed without being folded into the convolutions."""
    for place, layer in enumerate(net):
        if isinstance(layer, nn.BatchNorm2d):
            net[place] = nn.Identity()


def other_statistics(net: nn.Sequential) -> None:
    net.train()(torch.from_numpy(pictures(8)))
    net.eval()


@pytest.mark.long
@pytest.mark.parametrize("damage", [scale_weights, swap_channels, change_eps, unfolded, other_statistics])
def test_a_broken_export_is_caught(net: nn.Sequential, tmp_path: Path, damage: Damage) -> None:
    broken = deepcopy(net)
    damage(broken)
    parity = compare(net, compiled(broken, tmp_path), pictures(64))
    assert not parity.passes()
    with pytest.raises(ParityFailed, match=r"fp32 file .* error \d\.\de[-+]\d\d \(1e-04 allowed\), top-1 .* 64 images"):
        require(parity)
    if (
        damage is not change_eps
    ):  # its error is below float16 rounding; the fp32 file, which is always verified, shows it
        with pytest.raises(ParityFailed, match=r"fp16 file .*export it in fp32"):
            require(parity, "fp16")


def test_an_absolute_tolerance_passes_a_broken_export_of_a_fresh_network(tmp_path: Path) -> None:
    net = fresh_net().eval()
    broken = deepcopy(net)
    scale_weights(broken)
    images = pictures(32)
    with torch.no_grad():
        expected, wrong = net(torch.from_numpy(images)), broken(torch.from_numpy(images))
    assert torch.allclose(expected, wrong, rtol=0, atol=1e-3)
    assert not compare(net, compiled(broken, tmp_path), images).passes()


class ConstantFile:
    """A compiled file whose logits all have one value."""

    def __init__(self, value: float) -> None:
        self._value = value

    def run(self, feeds: object) -> dict[str, NDArray[np.float32]]:
        return {"logits": np.full((1, 2), self._value, np.float32)}

    def time(self, min_ms: float) -> Timing:
        raise NotImplementedError

    def close(self) -> None: ...


class ConstantModule(nn.Module):
    """A module whose logits all have one value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def forward(self, x: Tensor) -> Tensor:
        return torch.full((len(x), 2), self._value)


@pytest.mark.parametrize(
    ("expected", "actual"), [(1.0, float("nan")), (1.0, float("inf")), (float("inf"), 1.0), (0.0, 1.0)]
)
def test_outputs_that_can_not_be_compared_do_not_pass(expected: float, actual: float) -> None:
    module = ConstantModule(expected).train()
    parity = compare(module, {1: ConstantFile(actual)}, pictures(1), batches=(1,))
    assert not parity.passes()
    assert module.training


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_whose_outputs_are_not_finite_is_blamed_itself(value: float) -> None:
    parity = compare(ConstantModule(value), {1: ConstantFile(value)}, pictures(1), batches=(1,))
    with pytest.raises(ParityFailed) as caught:
        require(parity)
    assert str(caught.value) == (
        "the network's own outputs are infinite or NaN on some of 1 images, so no file can be compared with it. "
        "Nothing was exported. Retrain it with a lower learning rate, or check the input data"
    )


def test_a_file_that_returns_zeros_like_its_network_has_no_error() -> None:
    parity = compare(ConstantModule(0.0), {1: ConstantFile(0.0)}, pictures(1), batches=(1,))
    assert parity.relative_error == 0.0
    require(parity)


def test_the_thresholds_are_arguments() -> None:
    parity = Parity(relative_error=1e-3, top1_agreement=0.99, images=100, batches=(1,))
    assert not parity.passes()
    assert parity.passes(relative_error=1e-2, top1_agreement=0.95)


def test_accuracy_may_drop_by_the_tolerance_of_the_precision() -> None:
    require_accuracy(0.90, 0.89, "int8", 10_000, top1_agreement=1.0)
    require_accuracy(0.90, 0.95, "int8", 10_000, top1_agreement=1.0)
    with pytest.raises(
        ParityFailed, match=r"int8 file is less accurate.*88\.50% of the hold-out, and 90\.00% in torch \(1\.0% less"
    ):
        require_accuracy(0.90, 0.885, "int8", 10_000, top1_agreement=1.0)


def test_the_tolerance_is_wider_on_few_images() -> None:
    """10 of 200 images change class: then 3 more or fewer correct ones are chance, and 1 % of 200 is 2 images."""
    require_accuracy(0.90, 0.86, "int8", 200, top1_agreement=0.95)
    with pytest.raises(ParityFailed):
        require_accuracy(0.90, 0.85, "int8", 200, top1_agreement=0.95)
    with pytest.raises(ParityFailed):
        require_accuracy(0.90, 0.86, "int8", 50_000, top1_agreement=0.95)
