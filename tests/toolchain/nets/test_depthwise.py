"""The faster weight gradient of large depthwise kernels equals torch's."""

from random import Random

import pytest
import torch
from torch import nn

from toolchain.nets.depthwise import DepthwiseConv2d, accelerate_depthwise, weight_gradient
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import SearchSpace


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (7, 7), (14, 9)])
def test_the_gradient_equals_torchs(kernel: int, stride: int, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, *size, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 1, kernel, kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    y = nn.functional.conv2d(x, weight, None, stride, kernel // 2, 1, 5)
    g = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad(y, weight, g)
    torch.testing.assert_close(weight_gradient(x, g, kernel, stride), expected)  # float64: 1e-7


@pytest.mark.parametrize("size", [4, 20])  # one uses the faster gradient, the other torch's
def test_the_layer_equals_torchs_layer(size: int) -> None:
    plain = nn.Conv2d(6, 6, 5, stride=2, padding=2, groups=6, bias=False)
    quick = DepthwiseConv2d.of(plain)
    assert quick.weight is plain.weight
    x = torch.randn(4, 6, size, size).to(memory_format=torch.channels_last).requires_grad_()
    results = []
    for layer in (plain, quick):
        y = layer(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), (x, plain.weight))))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    torch.testing.assert_close(results[0][2], results[1][2], rtol=1e-5, atol=1e-4)  # float32 sums of 4 x 100 products


def test_only_large_depthwise_convolutions_are_replaced() -> None:
    layers = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False),
        nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False),
        nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=True),
        nn.Conv2d(4, 4, 5, padding=0, groups=4, bias=False),
        nn.Conv2d(4, 8, 5, padding=2, groups=4, bias=False),
        nn.Conv2d(4, 4, 5, padding=2, bias=False),
    )
    accelerate_depthwise(layers)
    assert [type(layer) is DepthwiseConv2d for layer in layers] == [False, True, False, False, False, False]


def test_a_supernet_changes_only_by_rounding(tiny_space: SearchSpace) -> None:
    plain, quick = Supernet(tiny_space), Supernet(tiny_space)
    for supernet in (plain, quick):
        initialize(supernet, torch.Generator().manual_seed(0))
        supernet.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    accelerate_depthwise(quick)
    assert list(plain.state_dict()) == list(quick.state_dict())
    assert any(isinstance(layer, DepthwiseConv2d) for layer in quick.modules())
    rng = Random(0)
    x = torch.randn(8, *tiny_space.input_shape)
    for _ in range(5):
        path = tiny_space.draw(rng)
        logits = [supernet(x, path) for supernet in (plain, quick)]
        assert torch.equal(*logits)
        assert torch.equal(quick(x, path), quick.extract(path)(x))
        for supernet, y in zip((plain, quick), logits, strict=True):
            supernet.zero_grad(set_to_none=True)
            y.square().mean().backward()
        for (name, one), other in zip(plain.named_parameters(), quick.parameters(), strict=True):
            assert (one.grad is None) == (other.grad is None)
            if one.grad is not None and other.grad is not None:
                scale = float(one.grad.abs().max())
                torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-4 * scale, msg=name)
