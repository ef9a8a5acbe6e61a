"""Folding changes the layers but not their outputs."""

import pytest
import torch
from torch import Tensor, nn

from exporters.errors import ExportFailed
from exporters.graph.folding import fold_batch_norm


def conv_bn(affine: bool = True, bias: bool = False) -> nn.Sequential:
    """A convolution and a normalization that has seen images."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4, affine=affine), nn.ReLU())
    for _ in range(5):
        layers(images() * 3 + 1)
    return layers


def images() -> Tensor:
    return torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_folded_layers_compute_the_same(affine: bool, bias: bool) -> None:
    layers = conv_bn(affine, bias)
    folded = fold_batch_norm(layers)
    assert set(folded.state_dict()) == {"0.weight", "0.bias"}
    # float32 in another order
    torch.testing.assert_close(folded(images()), layers.eval()(images()), rtol=1e-5, atol=1e-5)


def test_the_module_is_not_changed() -> None:
    layers = conv_bn()
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    fold_batch_norm(layers)
    assert layers.training
    assert layers.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in layers.state_dict().items())


def test_a_layer_may_be_used_twice() -> None:
    relu = nn.ReLU()
    torch.manual_seed(0)
    layers = nn.Sequential(relu, nn.Conv2d(3, 4, 1), relu, nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), relu).eval()
    torch.testing.assert_close(fold_batch_norm(layers)(images()), layers(images()))


def test_a_norm_without_running_statistics_is_refused() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(ExportFailed, match=r"1 has no running statistics.*Recalibrate the network first"):
        fold_batch_norm(layers)


def test_a_norm_without_a_convolution_before_it_is_refused() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))
    with pytest.raises(ExportFailed, match=r"no convolution .* 2, .* one nn\.Sequential, side by side"):
        fold_batch_norm(layers)


class Rounded(nn.Conv2d):
    """Transforms its weight before it convolves, as quantized layers do."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight.round(), self.bias)


def test_a_subclass_of_conv2d_is_not_folded() -> None:
    with pytest.raises(ExportFailed, match="no convolution"):
        fold_batch_norm(nn.Sequential(Rounded(3, 4, 3), nn.BatchNorm2d(4)))
