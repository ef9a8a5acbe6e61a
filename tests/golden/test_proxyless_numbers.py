"""Costs of the space of ProxylessNAS. Structure: mit-han-lab/ProxylessNAS (b23018c) and han-cai/files (a7c9bcd). The
MACs of whole spaces are not published; they were computed with a separate closed formula, kernel by kernel."""

import pytest
import torch

from toolchain.costs.counters import macs_cost
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.variants import variants
from toolchain.spaces import load_space
from toolchain.spaces.mbconv import scaled

SPACES = ("proxyless", "proxyless_mobile", "proxyless_gpu")
GPU_WIDTHS = "stem_channels=40,first_channels=24,stage_widths=32-56-112-128-256-432,head_channels=1728"


@pytest.mark.parametrize(
    ("space", "least", "all_k3e3", "greatest"),
    [
        ("proxyless", 102_528_896, 257_422_208, 606_590_720),
        ("proxyless_mobile", 108_869_888, 291_084_032, 693_483_008),
        ("proxyless_gpu", 182_479_200, 460_908_960, 1_036_673_856),
    ],
)
def test_macs_of_the_three_width_sets(space: str, least: int, all_k3e3: int, greatest: int) -> None:
    loaded = load_space(space)
    macs = macs_cost(loaded)
    assert (macs.least, macs.cost(loaded.all_same("k3e3")), macs.greatest) == (least, all_k3e3, greatest)
    assert macs.cost(loaded.all_same("k7e6")) == greatest


@pytest.mark.parametrize("space", SPACES)
def test_a_skip_is_offered_in_15_of_21_blocks(space: str) -> None:
    """As in the search code, only if stride and channels are kept. The paper's 7^21 (Sec. 4) counts it in all."""
    loaded = load_space(space)
    assert loaded.size == 6**6 * 7**15
    skips = ["skip" in block.by_key for block in loaded.blocks]
    assert skips == [False, True, True, True] * 5 + [False]
    keys = ["k3e3", "k3e6", "k5e3", "k5e6", "k7e3", "k7e6"]  # in the search code's order
    assert [list(block.by_key) for block in loaded.blocks] == [keys + ["skip"] * skip for skip in skips]


def test_maps_and_strides_at_224_px() -> None:
    blocks = load_space("proxyless").blocks
    assert [block.size_px for block in blocks] == [112] + [56] * 4 + [28] * 4 + [14] * 8 + [7] * 4
    assert [block.stride for block in blocks[::4]] == [2, 2, 2, 1, 2, 1]
    assert [block.c_out for block in blocks[::4]] == [24, 40, 80, 96, 192, 320]


def test_the_released_gpu_network_has_all_widths_times_1_35() -> None:
    """Its configuration file lists the widths. They equal the default widths times 1.35."""
    by_multiplier, by_widths = load_space("proxyless_gpu"), load_space(f"proxyless:{GPU_WIDTHS}")
    assert by_multiplier.digest == by_widths.digest


@pytest.mark.parametrize(
    ("channels", "multiplier", "expected"),
    [
        (20, 1.0, 20),  # no multiplier, no rounding
        (24, 0.5, 16),  # 12 lies between 8 and 16; ties are rounded up
        (16, 0.75, 16),
        (24, 0.75, 24),  # 18: 16 would be more than a tenth below
        (32, 0.05, 8),  # never less than 8
        (320, 1.35, 432),
    ],
)
def test_mobilenets_rule_for_multiplied_widths(channels: int, multiplier: float, expected: int) -> None:
    assert scaled(channels, multiplier) == expected


def test_a_multiplier_below_1_keeps_the_head() -> None:
    assert load_space("proxyless:multiplier=0.5").head.channels == 1280
    assert load_space("proxyless:multiplier=1.35").head.channels == 1728


def test_number_of_block_variants() -> None:
    """6 stages: 6 choices in the first block, 7 in the others (the last stage has none), stem and head."""
    assert len(variants(load_space("proxyless"))) == 6 * 6 + 5 * 7 + 2


def test_details_of_the_released_networks() -> None:
    """ReLU6, eps 1e-3, no bias in convolutions, and no shortcut in the fixed block."""
    space = load_space("proxyless")
    with torch.device("meta"):
        net = Network(space, space.all_same("k3e3"), STANDALONE)
    names = {type(layer).__name__ for layer in net.modules()}
    assert "ReLU6" in names
    assert "ReLU" not in names
    assert {layer.eps for layer in net.modules() if isinstance(layer, torch.nn.BatchNorm2d)} == {1e-3}
    assert not [layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d) and layer.bias is not None]
    shortcuts = [layer.shortcut for layer in net.modules() if hasattr(layer, "shortcut")]
    assert shortcuts == [False] + [False, True, True, True] * 5 + [False]
