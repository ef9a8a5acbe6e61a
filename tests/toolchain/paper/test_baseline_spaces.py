"""Published networks at the size of a smaller space: the same blocks, so their architectures fit."""

import pytest

from toolchain.nets.published import published
from toolchain.paper.baseline_spaces import sized_space
from toolchain.spaces import load_space

NETWORKS = ("fbnet_a", "fbnet_b", "fbnet_c", "proxyless_mobile", "proxyless_gpu")
SMALL = "proxyless_mobile:in_channels=1,size_px=28,classes=10,stem_stride=1,multiplier=0.25"


@pytest.mark.parametrize("name", NETWORKS)
def test_architectures_fit_the_smaller_space(name: str) -> None:
    space = load_space(sized_space(published(name).space, SMALL))
    assert (space.input_shape, space.classes, space.stem.stride) == ((1, 28, 28), 10, 1)
    assert len(space.architecture(published(name).architecture).choices) == len(space.blocks)
    full = load_space(published(name).space)
    for narrow, wide in zip(space.blocks, full.blocks, strict=True):
        assert narrow.c_out < wide.c_out
        assert narrow.stride == wide.stride


@pytest.mark.parametrize("name", NETWORKS)
def test_the_paper_has_the_published_networks_themselves(name: str) -> None:
    assert sized_space(published(name).space, "proxyless") == published(name).space


def test_widths() -> None:
    assert sized_space("fbnet:head_channels=1504", "proxyless:multiplier=0.25") == (
        "fbnet:head_channels=376,stem_channels=8,stage_widths=8-8-8-16-32-48-88"
    )
    assert sized_space("proxyless_gpu", "proxyless:multiplier=0.25") == "proxyless_gpu:multiplier=0.3375"
    assert sized_space("fbnet", "proxyless_gpu") == "fbnet"  # at its own multiplier, 1.35, nothing is narrowed
