"""The space of FBNet and its blocks. Source: facebookresearch/mobile-vision, bb8465c."""

from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec, load
from exporters.graph.to_onnx import export_onnx
from toolchain.costs.counters import count_macs, count_params, macs_cost
from toolchain.errors import UnknownSpace
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.fbnet import build_block
from toolchain.spaces import load_space
from toolchain.spaces.core import Choice, ChoiceBlock

KEYS = ["k3e1", "k3e1g2", "k3e3", "k3e6", "k5e1", "k5e1g2", "k5e3", "k5e6", "skip"]


def block(op: str, c_in: int = 8, c_out: int = 8, stride: int = 1) -> nn.Module:
    choice = Choice(op)
    return build_block(ChoiceBlock(c_in, c_out, 6, stride, (choice,)), choice, STANDALONE)


def layer_types(module: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in module.modules() if not list(layer.children())]


def test_size_and_stages() -> None:
    space = load_space("fbnet")
    assert space.size == 9**22
    assert [list(b.by_key) for b in space.blocks] == [KEYS] * 22
    widths = [16] + [24] * 4 + [32] * 4 + [64] * 4 + [112] * 4 + [184] * 4 + [352]
    assert [b.c_out for b in space.blocks] == widths
    assert [b.stride for b in space.blocks] == [1] + [2, 1, 1, 1] * 3 + [1] * 4 + [2, 1, 1, 1] + [1]
    assert space.blocks[-1].out_px == 7
    assert (space.stem.c_out, space.head.channels) == (16, 1984)
    assert load_space("fbnet:head_channels=1504").head.channels == 1504


def test_a_skip_where_shapes_change_is_a_projection() -> None:
    """1x1 convolution with the stride and without bias, batch normalization, ReLU."""
    assert layer_types(block("skip")) == ["Identity"]
    projection = block("skip", 8, 12, stride=2)
    assert layer_types(projection) == ["Conv2d", "BatchNorm2d", "ReLU"]
    with torch.device("meta"):
        assert count_macs(block("skip", 8, 12, stride=2), (8, 6, 6)) == 3 * 3 * 8 * 12
    assert count_params(projection, (8, 6, 6)) == 8 * 12 + 2 * 12
    assert projection(torch.zeros(2, 8, 6, 6)).shape == (2, 12, 3, 3)
    macs = macs_cost(load_space("fbnet"))
    assert [row["skip"] for row in macs.rows[:6]] == [0, 16 * 24 * 56**2, 0, 0, 0, 24 * 32 * 28**2]


@pytest.mark.parametrize("op", ["k3e1", "k5e1"])
def test_without_expansion_there_is_no_first_convolution(op: str) -> None:
    """Unlike in the FBNet paper, the released code has this convolution only if the number of channels changes."""
    kernel = int(op[1])
    with torch.device("meta"):
        assert count_macs(block(op), (8, 6, 6)) == 36 * (8 * kernel**2 + 8 * 8)
        assert count_macs(block(f"{op}g2"), (8, 6, 6)) == 36 * (8 * kernel**2 + 8 * 8 // 2)
    assert layer_types(block(op)) == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d"]
    assert layer_types(block(f"{op}g2")) == ["ChannelShuffle", *layer_types(block(op))]


def test_convolutions_have_a_bias_although_normalization_follows() -> None:
    """Parameters of expansion, depthwise and projection: weights, and bias, scale and offset of each channel."""
    expected = (8 * 24 + 3 * 24) + (24 * 9 + 3 * 24) + (24 * 8 + 3 * 8)
    assert count_params(block("k3e3"), (8, 6, 6)) == expected


def test_channels_are_shuffled_in_two_groups() -> None:
    """The channels of the first half move to the even positions. Expected values by hand."""
    shuffle = next(layer for layer in block("k3e1g2").modules() if isinstance(layer, nn.ChannelShuffle))
    x = torch.arange(8.0).reshape(1, 8, 1, 1)
    assert shuffle(x).flatten().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_shuffle_is_exported_with_a_dynamic_batch(batch: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, path = block("k5e1g2").eval(), tmp_path / "block.onnx"
    export_onnx(net, torch.zeros(2, 8, 6, 6), path)
    compiled = load("onnxruntime").compile(path, CompileSpec(batch=batch))
    x = torch.randn(batch, 8, 6, 6)
    exported = torch.from_numpy(compiled.run({"images": x.numpy()})["logits"])
    compiled.close()
    # float32 sums of 25 and 4 products in another order
    torch.testing.assert_close(exported, net(x).detach(), rtol=1e-5, atol=1e-6)


def test_odd_widths_are_refused_for_two_groups() -> None:
    with pytest.raises(UnknownSpace, match="must be even for the ops with two groups"):
        load_space("fbnet:stem_channels=7")
    assert load_space("fbnet:stem_channels=7,ops=k3e3-skip").size == 2**22
