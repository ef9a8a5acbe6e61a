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


def test_a_norm_without_a_convolution_before_it_stays() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    folded = fold_batch_norm(layers)
    assert set(folded.state_dict()) == set(layers.state_dict())
    assert torch.equal(folded(images()), layers(images()))


class Residual(nn.Module):
    """Calls its layers one by one, as torchvision's ResNets do. `conv2` has two readers, and `twice` two calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.twice, self.bn3 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        y = self.conv2(x)
        return self.twice(self.bn3(self.twice(x))) + self.bn2(y) + y


def test_pairs_are_found_in_the_graph_of_a_forward_function() -> None:
    torch.manual_seed(0)
    net = Residual()
    for _ in range(5):
        net(images() * 3 + 1)
    folded = fold_batch_norm(net)
    norms = [name for name, layer in folded.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms == ["bn2", "bn3"]
    torch.testing.assert_close(folded(images()), net.eval()(images()), rtol=1e-5, atol=1e-5)


class Branching(nn.Module):
    """Its control flow depends on the images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) if x.sum() > 0 else x


def test_a_forward_function_that_cannot_be_traced_is_refused() -> None:
    with pytest.raises(ExportFailed, match=r"normalization norm cannot be folded, since .* cannot be traced: .*"):
        fold_batch_norm(Branching())


class Rounded(nn.Conv2d):
    """Transforms its weight before it convolves, as quantized layers do."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight.round(), self.bias)


class Activated(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(super().forward(x))


class Renamed(nn.BatchNorm2d):
    """It computes what its base class does."""


@pytest.mark.parametrize("in_graph", [False, True])
def test_a_normalization_with_an_activation_keeps_it(in_graph: bool) -> None:
    """timm's BatchNormAct2d is such a class."""
    layers = conv_bn()
    norm = Activated(4)
    norm.load_state_dict(layers[1].state_dict())
    net: nn.Module = nn.Sequential(layers[0], norm)
    net = Graph(net) if in_graph else net
    torch.testing.assert_close(fold_batch_norm(net)(images()), net.eval()(images()))
    assert any(isinstance(layer, Activated) for layer in fold_batch_norm(net).modules())


def test_a_subclass_without_a_forward_function_of_its_own_is_folded() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), Renamed(4)).eval()
    assert [type(layer) for layer in fold_batch_norm(net)] == [nn.Conv2d]  # type: ignore[arg-type]


def test_a_layer_with_a_hook_is_not_folded() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    net[0].register_forward_hook(lambda _layer, _inputs, output: output + 1)
    torch.testing.assert_close(fold_batch_norm(net)(images()), net(images()))


class Graph(nn.Module):
    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.conv, self.norm = layers

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))  # type: ignore[no-any-return]


def test_a_subclass_of_conv2d_is_not_folded() -> None:
    layers = nn.Sequential(Rounded(3, 4, 3), nn.BatchNorm2d(4)).eval()
    folded = fold_batch_norm(layers)
    assert isinstance(folded[1], nn.BatchNorm2d)  # type: ignore[index]
    assert torch.equal(folded(images()), layers(images()))
