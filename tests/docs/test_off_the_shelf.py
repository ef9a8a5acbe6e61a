"""The networks that benchmarks/off_the_shelf.py adapts to a space's images and classes."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from toolchain.spaces import load_space

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("family", ["mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2"])
@pytest.mark.parametrize(
    ("options", "stride"),
    [("in_channels=1,size_px=28,classes=10", 1), ("in_channels=3,size_px=64,classes=8", 2)],
)
def test_networks_take_the_images_of_the_space(
    family: str, options: str, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import off_the_shelf

    space = load_space(f"shufflenet_v2_quick:{options}")
    for width in (0.1, 0.5):
        net = off_the_shelf.build(family, width, space).eval()
        assert net(torch.zeros(2, *space.input_shape)).shape == (2, space.classes)
        first = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
        assert (first.in_channels, first.stride) == (space.in_channels, (stride, stride))
    assert sys.modules.pop("off_the_shelf").FAMILIES == ("mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2")
