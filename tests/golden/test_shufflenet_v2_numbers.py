"""Costs of the paper's space. Sources: paper Tables 2, 3 and 4; the official repository's architectures
(megvii-model/SinglePathOneShot, 36eed6c), whose MACs the paper prints as FLOPs."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from toolchain.costs.counters import macs_cost, params_cost
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.nets.supernet import Supernet
from toolchain.profiling.variants import variants
from toolchain.spaces.core import SearchSpace

P1 = "0 0 3 1 1 1 0 0 2 0 2 1 1 0 2 0 2 1 3 2"  # Table 3, "ours (fully-equipped)": 319M
P3 = "2 1 0 1 2 0 2 0 2 0 2 3 0 0 0 0 3 2 3 3"  # the official README's: 323M, 3.5M parameters

# MACs of choice_3, choice_5, choice_7, choice_x by block: the first block of each stage, then its other blocks.
BLOCK_MACS = {
    range(1): (13_396_992, 15_805_440, 19_418_112, 13_146_112),
    range(1, 4): (7_325_696, 8_931_328, 11_339_776, 12_343_296),
    range(4, 5): (26_304_768, 28_111_104, 30_820_608, 20_296_192),
    range(5, 8): (10_599_680, 11_603_200, 13_108_480, 16_746_240),
    range(8, 9): (30_670_080, 31_673_600, 33_178_880, 21_199_360),
    range(9, 16): (10_317_440, 10_819_200, 11_571_840, 15_899_520),
    range(16, 17): (30_387_840, 30_889_600, 31_642_240, 20_634_880),
    range(17, 20): (10_176_320, 10_427_200, 10_803_520, 15_476_160),
}


def test_every_block_of_table_2(paper_space: SearchSpace) -> None:
    rows = macs_cost(paper_space).rows
    expected = [macs for positions, macs in BLOCK_MACS.items() for _ in positions]
    assert [tuple(row.values()) for row in rows] == expected


@pytest.mark.parametrize(
    ("architecture", "macs", "params"),
    [
        ("choice_3 " * 20, 295_842_496, 3_154_880),
        ("choice_5 " * 20, 313_654_976, 3_211_968),
        ("choice_7 " * 20, 340_373_696, 3_297_600),
        ("choice_x " * 20, 358_825_920, 3_870_816),
        (P1, 318_729_024, 3_345_088),
        (P3, 322_918_720, 3_558_464),
    ],
)
def test_whole_networks(paper_space: SearchSpace, architecture: str, macs: int, params: int) -> None:
    arch = paper_space.architecture(architecture)
    assert macs_cost(paper_space).cost(arch) == macs
    assert params_cost(paper_space).cost(arch) == params


def test_the_sum_of_variants_equals_the_whole_network(paper_space: SearchSpace) -> None:
    arch = paper_space.architecture(P1)
    with torch.device("meta"):
        net = Network(paper_space, arch, STANDALONE).eval()
        with FlopCounterMode(display=False) as counter:
            net(torch.empty(1, 3, 224, 224))
    assert counter.get_total_flops() == 2 * macs_cost(paper_space).cost(arch)
    assert sum(p.numel() for p in net.parameters()) == params_cost(paper_space).cost(arch)


def test_extremes_and_fixed_part(paper_space: SearchSpace) -> None:
    macs = macs_cost(paper_space)
    assert macs.fixed == 5_419_008 + 32_112_640 + 1_024_000  # stem, last 1x1 convolution, classifier
    assert macs.least == 270_359_360  # choice_3, but choice_x where the stride is 2
    assert macs.greatest == 398_609_216  # choice_x, but choice_7 where the stride is 2


def test_size_of_the_space_and_of_the_supernet(paper_space: SearchSpace) -> None:
    assert paper_space.size == 4**20
    assert len(variants(paper_space)) == 32 + 2  # 32 distinct of 80 choices, stem and head
    with torch.device("meta"):
        assert sum(p.numel() for p in Supernet(paper_space).parameters()) == 8_388_176  # no affine normalization
